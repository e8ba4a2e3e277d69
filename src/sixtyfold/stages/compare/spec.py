"""What `sixtyfold compare` takes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from sixtyfold.core.lm_eval_options import SampleOptions
from sixtyfold.core.spec import Spec, StageSpec


class CompareSpec(SampleOptions, StageSpec):
    """Two answer tables, fact by fact: kept, lost, gained, and whether it could be chance."""

    #: Places; the manifest carries the fingerprints of what lies there.
    not_recorded: ClassVar[frozenset[str]] = Spec.not_recorded | {"before", "after"}

    before: Path
    """Answers of the first model: a directory of `sixtyfold evaluate`, a table (Parquet, CSV or
    JSONL with fact_id and hit), an lm-eval sample log or a directory of these."""

    after: Path
    """Answers of the second model to the same facts, in any of these forms."""

    other_prompts: bool = False
    """Of lm-eval logs: compare although the two were prompted differently."""
