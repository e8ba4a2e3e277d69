"""Answers to compare, whatever wrote them: `evaluate`, a user's own table, a log of lm-eval.

A user's own table needs `fact_id` and `hit`; columns it lacks are null here and may come from the
other side of a comparison. Computes nothing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import polars as pl

from sixtyfold.core.accuracy import ANSWERS_SCHEMA, check_answers
from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import DOMAINS, read_table
from sixtyfold.core.levels import LEVELS
from sixtyfold.core.lm_eval_options import SampleOptions
from sixtyfold.core.lm_eval_samples import is_sample_log, read_samples
from sixtyfold.core.stage import finished

TABLES = (".parquet", ".csv", ".jsonl")
_YES = {"true": True, "1": True, "1.0": True, "yes": True,
        "false": False, "0": False, "0.0": False, "no": False}  # fmt: skip
#: Columns of a CSV that are never read as numbers: an id 007 stays 007.
_TEXTS = {name: kind for name, kind in ANSWERS_SCHEMA.items() if kind == pl.String}


class Answers(NamedTuple):
    """The answers of one model."""

    table: pl.DataFrame
    fingerprint: str
    match: str | None
    """The rule `evaluate` decided its hits by; None of other answers."""
    asked: pl.DataFrame | None = None
    """What an lm-eval log asked (`SampleLog.asked`); None of other answers."""


def read_answers(path: Path, samples: SampleOptions | None = None) -> Answers:
    """Read the answers of one model.

    Args:
        path: a directory that `evaluate` finished; a Parquet, CSV or JSONL table with at least
            `fact_id` and `hit`; a `samples_TASK_DATE.jsonl` of lm-eval, or a directory of these.
        samples: how lm-eval logs are read.

    Returns:
        the answers, `ANSWERS_SCHEMA`; columns that a bare table lacks are null.

    Raises:
        IncompleteInput: the directory holds neither a finished result of `evaluate` nor logs.
        BadInput: there is no such file, or it is no table of answers.
        Corrupted: the file is not readable.
    """
    options = samples or SampleOptions()
    if is_sample_log(path):
        log = read_samples(path, options)
        return Answers(log.table, log.fingerprint, None, log.asked)
    if path.suffix.lower() in TABLES:
        frame = check_own_table(_read_own(path), str(path))
        return Answers(frame, hashlib.sha256(path.read_bytes()).hexdigest()[:16], None)
    if path.is_file():
        raise BadInput(
            f"{path} is no form of answers; allowed: a directory of 'sixtyfold evaluate', a table "
            f"({', '.join(TABLES)}), a samples_TASK_DATE.jsonl of lm-eval or a directory of these"
        )
    result = finished(path, "evaluate")
    frame = check_answers(result.table("answers"), str(path))
    return Answers(frame, result.fingerprint, result.manifest.get("spec", {}).get("match"))


def _read_own(path: Path) -> pl.DataFrame:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return read_table(path)
    if not path.is_file():
        raise BadInput(f"there is no table {path}; give a table or a directory of 'evaluate'")
    try:
        if suffix == ".jsonl":
            return pl.read_ndjson(path, infer_schema_length=None)
        return pl.read_csv(path, infer_schema_length=None, schema_overrides=_TEXTS)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{path} is not a readable {suffix[1:]} table ({reason})") from None


def check_own_table(frame: pl.DataFrame, origin: str) -> pl.DataFrame:
    """Return a user's answers in schema order, sorted by key; columns it lacks are null.

    Args:
        frame: rows with at least fact_id and hit (true/false, 1/0 or yes/no).
        origin: where the rows come from, for the message.

    Raises:
        BadInput: fact_id or hit is missing, a key is doubled or empty, or a hit, domain or level
            is none.

    >>> table = check_own_table(pl.DataFrame({"fact_id": [7], "hit": [1]}), "mine")
    >>> table.select("fact_id", "hit", "relation").row(0)
    ('7', True, None)
    """
    missing = [name for name in ("fact_id", "hit") if name not in frame.columns]
    if missing:
        raise BadInput(
            f"{origin}: a table of answers needs the columns fact_id and hit (and may have "
            f"relation, domain, split, level, answer); missing here: {', '.join(missing)}"
        )
    absent = [
        pl.lit(None, dtype=kind).alias(name)
        for name, kind in ANSWERS_SCHEMA.items()
        if name not in frame.columns
    ]
    frame = frame.with_columns(absent).with_columns(_as_hit(frame["hit"], origin))
    for name, allowed in (("domain", DOMAINS), ("level", LEVELS)):
        wrong = [each for each in frame[name].drop_nulls() if each not in allowed]
        if wrong:
            shown = ", ".join(map(str, allowed))
            raise BadInput(f"{origin}: {name} {wrong[0]!r} is none; allowed: {shown}, or empty")
    if frame["fact_id"].null_count():
        raise BadInput(f"{origin}: {frame['fact_id'].null_count()} rows have no fact_id; fill them")
    return check_answers(frame, origin)


def _as_hit(values: pl.Series, origin: str) -> pl.Series:
    """Return yes/no values in any of their usual spellings as booleans."""
    texts = [None if each is None else str(each).strip().lower() for each in values]
    wrong = [each for each in texts if each is not None and each not in _YES]
    if wrong:
        raise BadInput(
            f"{origin}: hit {wrong[0]!r} is neither yes nor no; allowed: true/false, 1/0, yes/no"
        )
    hits = [None if each is None else _YES[each] for each in texts]
    return pl.Series("hit", hits, dtype=pl.Boolean)
