"""The table of rows and its summary: what is recommended for each row, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import polars as pl

from sixtyfold.stages.probe.aggregate import Recall
from sixtyfold.workflows.check.calibration.predict import FileFacts
from sixtyfold.workflows.check.kinds import Measured
from sixtyfold.workflows.check.knowledge import BUCKETS, best_form, bucket_of, bucket_shares, key_of
from sixtyfold.workflows.check.problems import NAMES, Problem
from sixtyfold.workflows.check.rows import SftRow

Recommendation = Literal["keep", "drop", "hold back"]
RECOMMENDATIONS: tuple[Recommendation, ...] = ("keep", "drop", "hold back")
ROWS_SCHEMA = pl.Schema(
    {
        "row": pl.Int64(),
        "place": pl.String(),
        "kind": pl.String(),
        "problem": pl.String(),
        "other_row": pl.Int64(),
        "question": pl.String(),
        "answer": pl.String(),
        "tokens_prompt": pl.Int32(),
        "tokens_answer": pl.Int32(),
        "recall": pl.Float64(),
        "recall_low": pl.Float64(),
        "recall_high": pl.Float64(),
        "knowledge": pl.String(),
        "logp_per_token": pl.Float64(),
        "recommendation": pl.String(),
        "reason": pl.String(),
    }
)
#: Facts of these buckets are held back, by option.
_HELD = {"none": (), "unknown": ("unknown",), "weak": ("unknown", "weak")}


class Looked(NamedTuple):
    """All that was found out about the rows, by row index unless said otherwise.

    recalls: form → key of the fact → recall; empty where no fact was asked.
    logp: index of a row that is no fact → mean log-probability of an answer token, in nats.
    """

    rows: Sequence[SftRow]
    measured: Sequence[Measured]
    problems: Sequence[Problem | None]
    recalls: Mapping[str, Mapping[str, Recall]]
    logp: Mapping[int, float]


def rows_table(found: Looked, hold_back: str) -> pl.DataFrame:
    """Return the table `rows`, one row per row of the file, in its order.

    Args:
        found: what was found out.
        hold_back: none, unknown or weak.
    """
    known = found.recalls[best_form(found.recalls)] if found.recalls else {}
    return pl.DataFrame(
        [_row(found, index, known, hold_back) for index in range(len(found.rows))],
        schema=ROWS_SCHEMA,
    )


def _row(found: Looked, index: int, known: Mapping[str, Recall], hold_back: str) -> dict[str, Any]:
    row, tokens, problem = found.rows[index], found.measured[index], found.problems[index]
    recall = known.get(key_of(row)) if tokens.kind == "fact" and may_be_asked(problem) else None
    knowledge = bucket_of(recall.value) if recall else None
    recommendation, reason = _recommend(problem, recall, hold_back)
    return {
        "row": index + 1,
        "place": row.place,
        "kind": tokens.kind,
        "problem": problem.name if problem else None,
        "other_row": problem.other if problem else None,
        "question": row.question,
        "answer": row.answer.strip(),
        "tokens_prompt": len(tokens.prompt),
        "tokens_answer": len(tokens.answer),
        "recall": recall.value if recall else None,
        "recall_low": recall.low if recall else None,
        "recall_high": recall.high if recall else None,
        "knowledge": knowledge,
        "logp_per_token": found.logp.get(index),
        "recommendation": recommendation,
        "reason": reason or (f"no fact: {tokens.why}" if tokens.kind == "text" else ""),
    }


def may_be_asked(problem: Problem | None) -> bool:
    """Whether the model is asked about a fact: also one that contradicts another row."""
    return problem is None or problem.name == "contradiction"


def _recommend(
    problem: Problem | None, recall: Recall | None, hold_back: str
) -> tuple[Recommendation, str]:
    if problem is not None:
        return "drop", problem.reason
    if recall is None:
        return "keep", ""
    bucket = bucket_of(recall.value)
    words = f"{bucket}: recall {recall.value:.2f} ({recall.low:.2f}–{recall.high:.2f})"
    return ("hold back" if bucket in _HELD[hold_back] else "keep"), words


def summary(table: pl.DataFrame, found: Looked, protocol: str) -> dict[str, Any]:
    """Return what `check.json` says.

    Args:
        table: the table `rows`.
        found: what it was made from.
        protocol: how knowledge was measured, in words.
    """
    return {
        "rows": table.height,
        "kinds": _counts(table["kind"], ("fact", "text", "unreadable")),
        "problems": _counts(table["problem"], NAMES),
        "recommendations": _counts(table["recommendation"], RECOMMENDATIONS),
        "knowledge": _knowledge(table, found, protocol) if found.recalls else None,
        "text": _text(table) if found.logp else None,
        "other_rows": table.filter((pl.col("kind") == "text") & pl.col("problem").is_null()).height,
    }


def file_facts(told: Mapping[str, Any], protocol: str) -> FileFacts:
    """Return what the expected effect depends on.

    Args:
        told: what `summary` returned.
        protocol: what `asked_how` returned.
    """
    known = told["knowledge"]
    if known is None or not known["asked"]:
        return FileFacts(0, told["other_rows"], 0, {}, protocol)
    shares: dict[str, float] = {name: known["buckets"][name]["value"] for name in BUCKETS}
    return FileFacts(known["facts"], told["other_rows"], known["asked"], shares, protocol)


def _counts(values: pl.Series, names: Sequence[str]) -> dict[str, int]:
    return {name: int((values == name).sum()) for name in names}


def _knowledge(table: pl.DataFrame, found: Looked, protocol: str) -> dict[str, Any]:
    """Count what is known of the facts that would be trained on: those without a problem."""
    asked = table.filter(pl.col("knowledge").is_not_null() & pl.col("problem").is_null())
    recalls = [
        Recall(*row) for row in asked.select("recall", "recall_low", "recall_high").iter_rows()
    ]
    facts = table.filter((pl.col("kind") == "fact") & pl.col("problem").is_null()).height
    return {
        "facts": facts,
        "asked": len(recalls),
        "buckets": bucket_shares(recalls) if recalls else dict.fromkeys(BUCKETS),
        "form": best_form(found.recalls),
        "mean_recall_by_form": {
            form: round(sum(each.value for each in own.values()) / len(own), 6)
            for form, own in found.recalls.items()
        },
        "protocol": protocol,
    }


def _text(table: pl.DataFrame) -> dict[str, Any]:
    """Summarise the log-probability per answer token of the rows that are no facts."""
    scored = table.filter(pl.col("logp_per_token").is_not_null())
    values, tokens = scored["logp_per_token"].to_numpy(), scored["tokens_answer"].to_numpy()
    return {
        "rows": scored.height,
        "tokens": int(tokens.sum()),
        "mean_logp_per_token": round(float((values * tokens).sum() / tokens.sum()), 6),
        "lowest_tenth_below": round(float(scored["logp_per_token"].quantile(0.1) or 0.0), 6),
    }
