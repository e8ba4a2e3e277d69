"""The compare stage: two answer tables in, `transitions.parquet` and `comparison.json` out."""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.answer_files import Answers, read_answers
from sixtyfold.core.errors import BadInput
from sixtyfold.core.lm_eval_options import SampleOptions
from sixtyfold.core.lm_eval_samples import check_same_questions
from sixtyfold.core.stage import Finished, finished, open_stage
from sixtyfold.stages.compare.comparison import comparison
from sixtyfold.stages.compare.spec import CompareSpec
from sixtyfold.stages.compare.transitions import transitions


class _Sides(NamedTuple):
    before: Answers
    after: Answers
    rows: pl.DataFrame

    @property
    def counts(self) -> dict[str, int]:
        shared = self.rows.height
        return {
            "only_before": self.before.table.height - shared,
            "only_after": self.after.table.height - shared,
        }


def run(spec: CompareSpec) -> Finished:
    """Compare two answer tables.

    Raises:
        IncompleteInput: a directory is not a finished result of `evaluate`.
        BadInput: a table is no answers table, the two share no fact, their hits were decided by
            different matching rules, or two lm-eval logs asked different things.
    """
    sides = _sides(spec)
    inputs = {"before": sides.before.fingerprint, "after": sides.after.fingerprint}
    with open_stage("compare", spec, inputs) as directory:
        if directory.complete:
            return finished(spec.out, "compare")
        directory.write_table("transitions", sides.rows)
        directory.write_json("comparison", comparison(sides.rows))
        return directory.finish(
            rows={"transitions": sides.rows.height},
            **sides.counts,
            rules={"before": _rule(sides.before), "after": _rule(sides.after)},
        )


def plan(spec: CompareSpec) -> dict[str, Any]:
    """Return what a run would compare, without doing it; raises what `run` raises."""
    sides = _sides(spec)
    return {"facts": sides.rows.height, **sides.counts}


def _sides(spec: CompareSpec) -> _Sides:
    options = SampleOptions(**{name: getattr(spec, name) for name in SampleOptions.model_fields})
    before, after = read_answers(spec.before, options), read_answers(spec.after, options)
    if None not in (before.match, after.match) and before.match != after.match:
        raise BadInput(
            f"{spec.before} was matched with '{before.match}', {spec.after} with '{after.match}'; "
            "evaluate both with the same --match"
        )
    if before.asked is not None and after.asked is not None:
        check_same_questions(before.asked, after.asked, other_prompts=spec.other_prompts)
    return _Sides(before, after, transitions(before.table, after.table))


def _rule(answers: Answers) -> str | None:
    """Return by what rule the hits were decided; None where a bare table does not say."""
    if answers.asked is None:
        return answers.match
    return ", ".join(answers.asked["rule"].unique().sort())
