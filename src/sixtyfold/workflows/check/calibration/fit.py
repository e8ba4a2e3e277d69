"""Fit what composition does to accuracy, test it on what was left out, and give the verdict.

The rule, for each outcome. It is calibrated if all of this holds, and no number is given otherwise:

    left-out sets     the gain over a constant is above 0 with 95% certainty (folds: size and kind)
    left-out models   the same (folds: models), of three models or more
    asked             there is a gain where left-out models' sets are told by `check`'s questions

Three conditions, because each stops what the others let through: slopes that differ from model to
model pass the first one in half of the made-up studies of `benchmarks/calibration_false_alarms.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from sixtyfold.workflows.check.calibration.cells import BLOCK, CLASS_NAMES, OUTCOMES
from sixtyfold.workflows.check.calibration.effects import (
    Errors,
    Sets,
    arrays,
    comparable,
    covered,
    errors_of,
    left_out,
    single,
    slopes_of,
)
from sixtyfold.workflows.check.calibration.fitted import (
    Coverage,
    Fitted,
    Fold,
    Outcome,
    Source,
    Tested,
)
from sixtyfold.workflows.check.calibration.link import Asked, can_be_asked, mix_of
from sixtyfold.workflows.check.knowledge import BUCKETS

LEAST_MODELS = 3
"""One is left out, and the interval of the others is made by leaving out one more."""
LEAST_GROUPS = 4
_FITTED = CLASS_NAMES[:2]  # the third share follows


def fit(cells: pl.DataFrame, asked: Sequence[Asked], sources: Mapping[str, str]) -> Fitted:
    """Return the calibration that studies give.

    Args:
        cells: what `cells_of` returned.
        asked: what `asked_of` returned.
        sources: name to SHA-256 of the files they were read from.
    """
    useful = [each for each in asked if can_be_asked(each)]
    kept = _with_others(cells)
    shares = kept.select(CLASS_NAMES).to_numpy()
    blocks = kept.group_by(*BLOCK, maintain_order=True).agg(pl.col(CLASS_NAMES).mean())
    return Fitted(
        trainings=int(kept["seeds"].sum()),
        sets=kept.height,
        studies=_names(kept, "study"),
        models=_names(kept, "model"),
        recipes=_names(kept, "recipe"),
        sizes=(int(kept["size"].min()), int(kept["size"].max())) if kept.height else None,  # type: ignore[arg-type]
        reference=_three(blocks.select(CLASS_NAMES).mean().to_numpy()[0]) if kept.height else None,
        seen=tuple(sorted({_three(row) for row in shares})),
        link=tuple(_three(row) for row in _link(useful)) if useful else None,
        asked=tuple(f"{each.model} ({each.study})" for each in useful),
        not_asked=tuple(f"{each.model} ({each.study})" for each in asked if each not in useful),
        protocol=asked[0].rows["protocol"][0] if asked else "",
        outcomes={name: outcome_of(kept, name, useful) for name in OUTCOMES},
        sources=tuple(Source(name=name, sha256=digest) for name, digest in sorted(sources.items())),
    )


def _with_others(cells: pl.DataFrame) -> pl.DataFrame:
    """Return the cells that have others in their block."""
    return cells.filter(pl.len().over(*BLOCK) > 1)


def _names(cells: pl.DataFrame, column: str) -> tuple[str, ...]:
    return tuple(cells[column].unique().sort().to_list())


def _three(values: Any) -> tuple[float, float, float]:
    one, two, three = (round(float(each), 6) for each in values)
    return one, two, three


def _link(asked: Sequence[Asked]) -> np.ndarray:
    return np.asarray(np.mean([each.link for each in asked], axis=0))


def outcome_of(cells: pl.DataFrame, name: str, asked: Sequence[Asked]) -> Outcome:
    """Fit one outcome and test it.

    Args:
        cells: what `cells_of` returned.
        name: one of `OUTCOMES`.
        asked: models of the studies that can be asked.
    """
    own = _with_others(cells.filter(pl.col(name).is_not_null()))
    sets = sets_of(own, name)
    models, groups = len(np.unique(sets.models)), len(np.unique(sets.groups))
    if models < LEAST_MODELS or groups < LEAST_GROUPS:
        why = (
            f"sets that differ in level alone are there of {models} models and {groups} kinds; "
            f"{LEAST_MODELS} models and {LEAST_GROUPS} kinds are needed to leave one out"
        )
        return Outcome(calibrated=False, why=why, sets=len(sets.outcomes))
    by_model = left_out(sets, sets.models)
    trainings = single(by_model, sets)
    of_groups, of_models = errors_of(left_out(sets, sets.groups)), errors_of(by_model)
    of_asked, held = _asked_errors(own, sets, asked)
    why = _why_not(of_groups, of_models, of_asked)
    return Outcome(
        calibrated=not why,
        why=why,
        sets=len(sets.outcomes),
        slopes=_two(slopes_of(sets)),
        folds=tuple(
            Fold(
                model=model,
                slopes=_two(slopes),
                residuals=tuple(
                    round(float(each), 6) for each in trainings.residuals[trainings.folds == model]
                ),
            )
            for model, slopes in by_model.slopes.items()
        ),
        groups=_tested(of_groups),
        models=_tested(of_models),
        asked=None if of_asked is None else _tested(of_asked),
        coverage=_coverage(covered(sets), sets.seeds),
        asked_coverage=held,
    )


def sets_of(cells: pl.DataFrame, name: str) -> Sets:
    """Return comparable cells as arrays, for one outcome."""
    text = pl.concat_str([pl.col(each).cast(pl.String) for each in BLOCK], separator="\x1f")
    group = pl.concat_str([pl.col("size").cast(pl.String), "levels"], separator=" ")
    return comparable(
        Sets(
            cells.select(_FITTED).to_numpy(),
            cells[name].to_numpy(),
            cells.select(text).to_series().to_numpy().astype(str),
            cells.select(group).to_series().to_numpy().astype(str),
            cells["model"].to_numpy().astype(str),
            arrays([np.array(each) - np.mean(each) for each in cells[f"{name}_seeds"].to_list()]),
        )
    )


def _asked_errors(
    cells: pl.DataFrame, sets: Sets, asked: Sequence[Asked]
) -> tuple[Errors | None, Coverage | None]:
    """Predict sets of models left out from what questions say of their files.

    The link is the other studies' where there are any.
    """
    shares, known = _asked_shares(cells, asked), np.zeros(len(sets.outcomes), dtype=bool)
    if shares:
        stand_in = sets.shares.copy()
        for at, mix in shares.items():
            stand_in[at], known[at] = mix, True
        # A block is told by questions as a whole or not at all.
        for block in np.unique(sets.blocks[~known]):
            known[sets.blocks == block] = False
    if not known.any():
        return None, None
    found = left_out(sets, sets.models, stand_in)
    own = found._replace(
        folds=found.folds[known], actual=found.actual[known], predicted=found.predicted[known]
    )
    held = covered(sets, stand_in)[known]
    return errors_of(own), _coverage(held, sets.seeds[known])


def _asked_shares(cells: pl.DataFrame, asked: Sequence[Asked]) -> dict[int, np.ndarray]:
    """Return row of `cells` to its shares of the fitted classes, as its questions tell them."""
    found = {}
    for own in asked:
        others = [each for each in asked if each.study != own.study] or [own]
        link = _link(others)
        told = {row["levels"]: row for row in own.rows.iter_rows(named=True)}
        for at, cell in enumerate(cells.iter_rows(named=True)):
            if (cell["study"], cell["model"]) == (own.study, own.model) and cell["levels"] in told:
                buckets = np.array([told[cell["levels"]][name] for name in BUCKETS])
                found[at] = mix_of(link, buckets).shares[: len(_FITTED)]
    return found


def _why_not(groups: Errors, models: Errors, asked: Errors | None) -> str:
    """Return why a constant is not beaten; empty where it is."""
    for words, errors in (("sets", groups), ("models", models)):
        if errors.low is None or errors.low <= 0:
            return f"on left-out {words} it does not beat a constant for sure ({_against(errors)})"
    if asked is None:
        return "no model of the studies was asked with check's questions, or none can be asked"
    if asked.gain <= 0:
        return f"told by questions alone it does not beat a constant ({_against(asked)})"
    return ""


def _against(errors: Errors) -> str:
    return (
        f"mean error {100 * errors.error:.1f} points, of a constant {100 * errors.constant:.1f}, "
        f"{errors.sets} sets"
    )


def _two(slopes: np.ndarray) -> tuple[float, float]:
    return round(float(slopes[0]), 6), round(float(slopes[1]), 6)


def _tested(errors: Errors) -> Tested:
    return Tested(
        **{
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in errors._asdict().items()
        }
    )


def _coverage(held: np.ndarray, seeds: np.ndarray) -> Coverage:
    return Coverage(covered=int(held.sum()), trainings=sum(len(each) for each in seeds))
