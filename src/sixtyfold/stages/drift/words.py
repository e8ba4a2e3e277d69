"""Drift as tables and lines for people."""

from __future__ import annotations

from typing import Any

import polars as pl

from sixtyfold.stages.drift.summary import MEASURES

_SHOWN = {
    "kl_top10": "P2",
    "kl_tuned_base": "KL tuned‖base",
    "kl_base_tuned": "KL base‖tuned",
    "js": "JS",
    "answer_logp_change": "first token",
    "whole_logp_change": "whole answer",
}


def summary_table(summary: pl.DataFrame) -> pl.DataFrame:
    """Return one row per group: n and the means with intervals, in nats.

    Args:
        summary: the table `drift_summary`.
    """
    rows: list[dict[str, Any]] = []
    for (split, group), part in summary.group_by("split", "group", maintain_order=True):
        by_measure = {row["measure"]: row for row in part.to_dicts()}
        if split == "position":
            by_measure["answer_logp_change"] = by_measure["logp_change"]
        shown: dict[str, Any] = {
            "facts": group if split == "all" else f"{split} {group}",
            "n": next(iter(by_measure.values()))["n"],
        }
        for measure, name in _SHOWN.items():
            found = by_measure.get(measure)
            shown[name] = "" if found is None else _mean(found)
        rows.append(shown)
    return pl.DataFrame(rows)


def _mean(row: dict[str, Any]) -> str:
    if row["low"] is None:
        return f"{row['mean']:.2f}"
    return f"{row['mean']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def tokens_table(tokens: pl.DataFrame, count: int) -> pl.DataFrame:
    """Return the first `count` tokens of each direction, probabilities in percent."""
    first = pl.concat(
        [tokens.filter(pl.col("direction") == each).head(count) for each in ("up", "down")]
    )
    percents = [
        (100 * pl.col(name)).round(2).alias(name.replace("mean_", "") + " %")
        for name in ("mean_base", "mean_tuned", "mean_change")
    ]
    quoted = pl.format("'{}'", pl.col("text")).alias("token text")
    return first.select(
        quoted,
        *percents,
        pl.col("up").alias("rose in"),
        pl.col("down").alias("fell in"),
        "direction",
    )


def prediction_table(prediction: pl.DataFrame) -> pl.DataFrame:
    """Return how well each measure tells lost facts from kept ones."""

    def bounded(name: str) -> list[str]:
        return [
            "–"
            if row[name] is None
            else f"{row[name]:.2f}"
            if row[f"{name}_low"] is None
            else f"{row[name]:.2f} ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"
            for row in prediction.to_dicts()
        ]

    p_values = ["–" if each is None else f"{each:.4f}" for each in prediction["p_holm"]]
    return pl.DataFrame(
        {
            "predicts loss": prediction["measure"],
            "rank correlation": bounded("rho"),
            "area under curve": bounded("auc"),
            "p Holm": p_values,
            "lost": prediction["n_lost"],
            "kept": prediction["n_kept"],
        }
    )


def words_of(manifest: dict[str, Any]) -> list[str]:
    """Return what else is to be said of a finished drift stage."""
    p2_is = MEASURES["kl_top10"].removeprefix("P2: ")
    legend = (
        f"nats, mean (95%, t over facts; from 20 facts on). P2: {p2_is}; first token, whole "
        "answer: change of the right answer's log-probability; at a position: of that token's"
    )
    lines = [legend]
    p2 = manifest["p2"]
    if p2 is None:
        lines.append("P2's figure needs level-4 facts: give --probe")
    elif p2["low"] is None:
        lines.append(f"P2's figure, level-4 facts: {p2['mean']:.3f} (n = {p2['n']})")
    else:
        bounds = f"{p2['low']:.3f} to {p2['high']:.3f}"
        lines.append(f"P2's figure, level-4 facts: {p2['mean']:.3f} ({bounds}, n = {p2['n']})")
    no_cloze = manifest.get("without_cloze")
    if no_cloze:
        shown = ", ".join(no_cloze[:5]) + (", ..." if len(no_cloze) > 5 else "")
        lines.append(
            f"- no cloze templates for {len(no_cloze)} relations ({shown}): there P2's figure asks "
            "the base by a phrasing of the question"
        )
    outside = {side: each["largest"] for side, each in manifest["mass_outside"].items()}
    if any(outside.values()):
        lines.append(
            f"- the models share {manifest['shared_ids']} tokens; outside these lies at most "
            f"{100 * outside['base']:.2f}% of the base's probability and "
            f"{100 * outside['tuned']:.2f}% of the tuned model's"
        )
    rests = manifest.get("prediction_rests_on")
    if rests is not None:
        lines.append(
            f"of {rests['facts']} facts {rests['answered_by_both_tables']} stand in both answer "
            f"tables; the base answered {rests['known_to_base']}, {rests['lost']} of them were lost"
        )
    return lines
