"""Which of lm-eval's answers count: options of every command that reads some."""

from __future__ import annotations

from sixtyfold.core.spec import Spec


class SampleOptions(Spec):
    """How answers that lm-eval judged are read."""

    metric: str | None = None
    """Of lm-eval: the yes/no metric that counts; without it `hit`, `exact_match`, `acc`."""

    answer_filter: str | None = None
    """Of lm-eval: the filter whose answers count, where the task has several."""

    relation_field: str | None = None
    """Of lm-eval: the document's field that stands for the relation; the task without it."""
