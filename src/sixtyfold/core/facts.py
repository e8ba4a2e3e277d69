"""The fact table: its columns, keys and hygiene.

Knows what a fact is (design: subject, relation, accepted objects, question) and how two rows are
recognised as the same fact. Does not know where facts come from (`sources/`).
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from sixtyfold.core.errors import BadInput, Corrupted

FACTS_SCHEMA = pl.Schema(
    {
        "fact_id": pl.String(),
        "relation": pl.String(),
        "subject": pl.String(),
        "objects": pl.List(pl.String()),
        "question": pl.String(),
        "split": pl.String(),
        "domain": pl.String(),
        "flags": pl.List(pl.String()),
        "popularity": pl.Int64(),
    }
)
TEMPLATES_SCHEMA = pl.Schema(
    {"relation": pl.String(), "template_id": pl.Int16(), "text": pl.String()}
)
SPLITS = ("train", "dev", "test")
DOMAINS = ("in", "out")
#: Traps a fact may be flagged with; a user's table may hold flags of its own.
FLAGS = ("ambiguous", "answer_in_subject", "in_several_splits", "several_answers")


def normalise(text: str) -> str:
    """Return the form in which two spellings of one name are equal.

    >>> normalise("  São  Paulo ") == normalise("SÃO PAULO")
    True
    """
    if text.isascii():
        return " ".join(text.lower().split())
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def fact_id(relation: str, subject: str, question: str) -> str:
    """Return the 64-bit key of a fact as 16 hex digits.

    The key hashes the normalised relation and subject, or the normalised question where there is
    no subject.

    >>> fact_id("capital", "France", "q") == fact_id("Capital", "FRANCE ", "another")
    True
    """
    key = (
        f"{normalise(relation)}\x1f{normalise(subject)}" if subject.strip() else normalise(question)
    )
    return hashlib.blake2b(key.encode(), digest_size=8).hexdigest()


def check_facts(frame: pl.DataFrame, origin: str) -> pl.DataFrame:
    """Return the facts in schema order, sorted by key.

    Args:
        frame: rows with at least the columns of `FACTS_SCHEMA` except `popularity`.
        origin: where the rows come from, for the message.

    Raises:
        BadInput: a column is missing, a key is doubled, or an answer, split or domain is not
            allowed.
    """
    missing = [name for name in FACTS_SCHEMA if name not in frame.columns and name != "popularity"]
    if missing:
        raise BadInput(
            f"{origin}: facts need the columns {', '.join(FACTS_SCHEMA)}; "
            f"missing here: {', '.join(missing)}; build facts with 'sixtyfold facts build'"
        )
    if "popularity" not in frame.columns:
        frame = frame.with_columns(popularity=pl.lit(None, dtype=pl.Int64))
    frame = frame.select(list(FACTS_SCHEMA)).cast(FACTS_SCHEMA).sort("fact_id")
    _refuse(frame.filter(pl.col("fact_id").is_duplicated()), origin, "has a doubled fact_id")
    _refuse(frame.filter(pl.col("objects").list.len() == 0), origin, "has no accepted answer")
    _refuse(frame.filter(~pl.col("split").is_in(SPLITS)), origin, f"needs a split of {SPLITS}")
    _refuse(frame.filter(~pl.col("domain").is_in(DOMAINS)), origin, f"needs a domain of {DOMAINS}")
    return frame


def _refuse(rows: pl.DataFrame, origin: str, complaint: str) -> None:
    if not rows.is_empty():
        row = rows.row(0, named=True)
        raise BadInput(
            f"{origin}: fact {row['fact_id']} ({row['question']!r}) {complaint}; "
            f"{rows.height} such rows; mend or drop them"
        )


def text_lists(values: Sequence[Sequence[str]]) -> pl.Series:
    """Return a column of lists of texts; by way of Arrow, which is ten times faster.

    >>> text_lists([["a", "b"], []]).to_list()
    [['a', 'b'], []]
    """
    import pyarrow as pa

    column = pl.Series(pa.array(values, type=pa.list_(pa.large_string())))
    return column.cast(pl.List(pl.String()))


def read_table(path: Path) -> pl.DataFrame:
    """Read one Parquet table.

    Raises:
        BadInput: there is no such file.
        Corrupted: the file is not a readable Parquet table.
    """
    if not path.is_file():
        raise BadInput(f"there is no table {path}; give a directory that a stage finished")
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise Corrupted(
            f"{path} is not a readable Parquet table ({reason}); make it again"
        ) from None


def seeded_order(keys: Sequence[str], seed: int) -> list[int]:
    """Return the indices of `keys` in a shuffle that depends on the seed and each key alone.

    Row order and the presence of other keys change nothing, so the first N of a table stay the
    first N when the table grows.
    """
    ranks = [hashlib.blake2b(f"{seed}\x1f{key}".encode(), digest_size=8).digest() for key in keys]
    return sorted(range(len(keys)), key=lambda index: (ranks[index], keys[index]))
