"""The compare stage: two answer tables in, `transitions.parquet` and `comparison.json` out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.accuracy import check_answers
from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import read_table
from sixtyfold.core.stage import Finished, finished, open_stage
from sixtyfold.stages.compare.comparison import comparison
from sixtyfold.stages.compare.spec import CompareSpec
from sixtyfold.stages.compare.transitions import transitions


class Answers(NamedTuple):
    """One side of a comparison."""

    table: pl.DataFrame
    fingerprint: str
    match: str | None
    """The matching rule its hits were decided by; None where a bare table does not say."""


def run(spec: CompareSpec) -> Finished:
    """Compare two answer tables.

    Raises:
        IncompleteInput: a directory is not a finished result of `evaluate`.
        BadInput: a table is no answers table, the two share no fact, or their hits were decided
            by different matching rules.
    """
    before, after = read_answers(spec.before), read_answers(spec.after)
    _refuse_other_rule(spec, before, after)
    inputs = {"before": before.fingerprint, "after": after.fingerprint}
    rows = transitions(before.table, after.table)
    with open_stage("compare", spec, inputs) as directory:
        if directory.complete:
            return finished(spec.out, "compare")
        directory.write_table("transitions", rows)
        directory.write_json("comparison", comparison(rows))
        return directory.finish(
            rows={"transitions": rows.height},
            only_before=before.table.height - rows.height,
            only_after=after.table.height - rows.height,
        )


def plan(spec: CompareSpec) -> dict[str, Any]:
    """Return what a run would compare, without doing it; raises what `run` raises."""
    before, after = read_answers(spec.before), read_answers(spec.after)
    _refuse_other_rule(spec, before, after)
    shared = transitions(before.table, after.table).height
    return {
        "facts": shared,
        "only_before": before.table.height - shared,
        "only_after": after.table.height - shared,
    }


def read_answers(path: Path) -> Answers:
    """Read the answers of a finished `evaluate` directory, or of a bare Parquet table.

    Raises:
        IncompleteInput: the directory is not a finished result of `evaluate`.
        BadInput: there is no such file, or it is no answers table.
        Corrupted: the file is not readable.
    """
    if path.suffix == ".parquet":
        frame = check_answers(read_table(path), str(path))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        return Answers(frame, digest, None)
    result = finished(path, "evaluate")
    frame = check_answers(result.table("answers"), str(path))
    return Answers(frame, result.fingerprint, result.manifest.get("spec", {}).get("match"))


def _refuse_other_rule(spec: CompareSpec, before: Answers, after: Answers) -> None:
    if None not in (before.match, after.match) and before.match != after.match:
        raise BadInput(
            f"{spec.before} was matched with '{before.match}', {spec.after} with '{after.match}'; "
            "evaluate both with the same --match"
        )
