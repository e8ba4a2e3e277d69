"""The one look at test: the best of each family beside tuned, base and the papers' fixed shares.

Everything here was chosen on dev before. Two questions are asked of every arm: is it better than
the tuned model, and is it better than the best interpolation, which only shrinks the update? Each
question in each domain is one family of tests, adjusted after Holm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.accuracy import accuracy, share
from sixtyfold.core.facts import DOMAINS
from sixtyfold.core.levels import LEVELS
from sixtyfold.core.paired_tests import Difference, holm
from sixtyfold.core.progress import progress
from sixtyfold.core.stage import StageDirectory
from sixtyfold.stages.compare.comparison import macro_difference
from sixtyfold.stages.compare.transitions import transitions
from sixtyfold.stages.restore.candidates import Candidate, Candidates
from sixtyfold.workflows.search_candidates import TUNED, Listed
from sixtyfold.workflows.search_model import CandidateModel

BASE = "base"
#: Percentages that the relative rule puts back in arXiv 2509.16596 without any choice.
FIXED = (10.0, 20.0)
#: What every arm is compared with.
REFERENCES = (TUNED, "interpolation")


class Arm(NamedTuple):
    """One model that is scored on test."""

    name: str
    """`tuned`, `base`, `relative 10% (fixed)`, or the family whose best this is."""
    candidate: Candidate | None
    """None for the base."""


def arms(candidates: Candidates, best: Sequence[Listed]) -> list[Arm]:
    """Return what is scored, the base first: no other model is in memory then."""
    fixed = candidates.ranked("relative", FIXED)
    return [
        Arm(BASE, None),
        Arm(TUNED, candidates.tuned),
        *(
            Arm(f"relative {percent:g}% (fixed)", each)
            for percent, each in zip(FIXED, fixed, strict=True)
        ),
        *(Arm(each.family, each.candidate) for each in best if each.family != TUNED),
    ]


def ask(
    stage: StageDirectory,
    model: CandidateModel,
    scored: Sequence[Arm],
    facts: pl.DataFrame,
) -> pl.DataFrame:
    """Answer the test questions with every arm that was not asked before.

    Two arms of the same weights are asked once and have the same answers.

    Returns:
        columns arm and those of answers; sorted by arm and fact.
    """
    for index, arm in enumerate(progress(scored, "test", len(scored))):
        if stage.has_part("test", index):
            continue
        twin = next(i for i, other in enumerate(scored) if _weights(other) == _weights(arm))
        if twin < index:
            found = stage.read_part("test", twin)
        elif arm.candidate is None:
            found = model.base_answers(facts)
        else:
            found = model.answers(arm.candidate, facts)
        stage.write_part("test", index, found)
    parts = [
        stage.read_part("test", index).select(pl.lit(arm.name).alias("arm"), pl.all())
        for index, arm in enumerate(scored)
    ]
    return pl.concat(parts).sort("arm", "fact_id")


def _weights(arm: Arm) -> tuple[object, ...] | None:
    """Return what two arms of the same weights have in common."""
    return arm.candidate and arm.candidate[:4]


def arms_table(scored: Sequence[Arm], answers: pl.DataFrame) -> pl.DataFrame:
    """Return one row per arm and domain, key (arm, domain).

    Returns:
        columns arm, domain, setting, remaining_norm, accuracy (mean over relations), low, high, n,
        hit (all facts alike), level_4 and level_4_n; then for every reference R the paired
        difference of the accuracies, R_difference, R_low, R_high, R_p, R_p_holm, R_could_see.
    """
    rows = [
        {
            "arm": arm.name,
            "domain": domain,
            "setting": arm.candidate.plan.setting if arm.candidate else BASE,
            "remaining_norm": arm.candidate.remaining if arm.candidate else None,
            **_shares(_of(answers, arm.name, domain)),
        }
        for domain in DOMAINS
        if not answers.filter(pl.col("domain") == domain).is_empty()
        for arm in scored
    ]
    table = pl.DataFrame(rows, schema_overrides={"remaining_norm": pl.Float64})
    there = {arm.name for arm in scored}
    for reference in REFERENCES:
        if reference in there:
            found = pl.DataFrame(list(_differences(scored, answers, reference)))
            table = table.join(found, on=["arm", "domain"], how="left", maintain_order="left")
    return table


def _shares(rows: pl.DataFrame) -> dict[str, Any]:
    found = accuracy(rows)
    known = share(rows.filter(pl.col("level") == LEVELS[-1])["hit"])
    value, low, high, n = found.macro_relation or (None, None, None, 0)
    return {
        "accuracy": value,
        "low": low,
        "high": high,
        "n": n,
        "hit": found.micro and found.micro.value,
        "level_4": known and known.value,
        "level_4_n": known.n if known else 0,
    }


def _differences(
    scored: Sequence[Arm], answers: pl.DataFrame, reference: str
) -> Iterator[dict[str, Any]]:
    """Compare all arms with one of them, domain by domain."""
    for domain in DOMAINS:
        before = _of(answers, reference, domain)
        if before.is_empty():
            continue
        others = [arm.name for arm in scored if arm.name != reference]
        found = {
            name: macro_difference(transitions(before, _of(answers, name, domain)))
            for name in others
        }
        defined = {name: each for name, each in found.items() if each is not None}
        adjusted = holm([each.p for each in defined.values()])
        for (name, each), p_holm in zip(defined.items(), adjusted, strict=True):
            yield {"arm": name, "domain": domain, **_row(each, p_holm, reference)}


def _row(difference: Difference, p_holm: float, reference: str) -> dict[str, float]:
    numbers = {
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "p": difference.p,
        "p_holm": p_holm,
        "could_see": difference.detectable,
    }
    return {f"{reference}_{name}": value for name, value in numbers.items()}


def _of(answers: pl.DataFrame, arm: str, domain: str) -> pl.DataFrame:
    rows = answers.filter((pl.col("arm") == arm) & (pl.col("domain") == domain))
    return rows.drop("arm")
