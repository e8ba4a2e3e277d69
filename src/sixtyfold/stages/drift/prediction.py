"""Does drift predict which facts are lost?

Of the facts the base answered, some are lost after tuning and some are kept: every measure of
drift is asked how well it tells them apart. Facts the base did not answer cannot be lost and are
left out. All measures are one family, adjusted after Holm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from sixtyfold.core.answer_files import Answers, read_answers
from sixtyfold.core.errors import BadInput
from sixtyfold.core.paired_tests import holm
from sixtyfold.core.rank_tests import separation
from sixtyfold.stages.drift.spec import DriftSpec
from sixtyfold.stages.drift.summary import with_changes

PREDICTORS = ("kl_top10", "kl_tuned_base", "kl_base_tuned", "js",
              "answer_logp_change", "whole_logp_change")  # fmt: skip
PREDICTION_SCHEMA = pl.Schema(
    {
        "measure": pl.String(),
        "n_lost": pl.Int64(),
        "n_kept": pl.Int64(),
        **dict.fromkeys(("rho", "rho_low", "rho_high", "auc", "auc_low", "auc_high"), pl.Float64()),
        "p": pl.Float64(),
        "p_holm": pl.Float64(),
    }
)


def both_answers(spec: DriftSpec) -> tuple[Answers, Answers] | None:
    """Read the two answer tables, or return None where none were given.

    Raises:
        BadInput: one is no table of answers, or their hits were decided by different rules.
    """
    if spec.answers_base is None or spec.answers_tuned is None:
        return None
    base, tuned = read_answers(spec.answers_base), read_answers(spec.answers_tuned)
    if None not in (base.match, tuned.match) and base.match != tuned.match:
        raise BadInput(
            f"{spec.answers_base} was matched with '{base.match}', {spec.answers_tuned} with "
            f"'{tuned.match}'; evaluate both with the same --match"
        )
    return base, tuned


def outcomes(facts: pl.DataFrame, base: pl.DataFrame, tuned: pl.DataFrame) -> pl.DataFrame:
    """Return the facts that both tables answer, with `hit_base` and `hit_tuned`.

    Raises:
        BadInput: there is none.
    """
    found = facts.join(
        base.select("fact_id", hit_base=pl.col("hit")), on="fact_id", how="inner"
    ).join(tuned.select("fact_id", hit_tuned=pl.col("hit")), on="fact_id", how="inner")
    if found.is_empty():
        raise BadInput(
            f"none of the {facts.height} facts stands in both answer tables ({base.height} and "
            f"{tuned.height} facts); give answers to the same split of the same facts"
        )
    return found


def drift_prediction(found: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return the table `drift_prediction`: one row a measure of drift.

    Args:
        found: the `drift` table's columns with `hit_base` and `hit_tuned`.
        seed: of the permutations.

    Returns:
        Columns of `PREDICTION_SCHEMA`; `rho` is Spearman's correlation of the measure with being
        lost, `auc` the probability that a lost fact has the larger value. Null where nothing, or
        everything, was lost.
    """
    known = with_changes(found).filter(pl.col("hit_base"))
    lost = ~known["hit_tuned"].to_numpy().astype(bool)
    rows: list[dict[str, Any]] = []
    for measure in PREDICTORS:
        result = separation(known[measure].to_numpy(), lost, seed) if known.height else None
        row: dict[str, Any] = {"measure": measure, "n_lost": int(lost.sum())}
        row["n_kept"] = int((~lost).sum())
        if result is not None:
            told = result._asdict()
            row |= {name: told[name] for name in PREDICTION_SCHEMA if name in told}
        rows.append(row)
    tested = [row for row in rows if "p" in row]
    for row, p_holm in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p_holm
    return pl.DataFrame(rows, schema=PREDICTION_SCHEMA)


def counted(found: pl.DataFrame, facts: int) -> dict[str, int]:
    """Say how many facts the prediction rests on."""
    known = found.filter(pl.col("hit_base"))
    return {
        "facts": facts,
        "answered_by_both_tables": found.height,
        "known_to_base": known.height,
        "lost": int(np.sum(~known["hit_tuned"].to_numpy().astype(bool))),
    }
