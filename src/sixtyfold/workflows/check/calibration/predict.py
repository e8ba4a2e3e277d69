"""What tuning on a file may do: points above or below the studies' mean set, or why no number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from sixtyfold.workflows.check.calibration.cells import CLASS_NAMES, OUTCOMES
from sixtyfold.workflows.check.calibration.effects import LeftOut, interval
from sixtyfold.workflows.check.calibration.fitted import Coverage, Fitted, Outcome, Tested
from sixtyfold.workflows.check.calibration.link import mix_of
from sixtyfold.workflows.check.knowledge import BUCKETS

MOST_UNEXPLAINED = 0.05
"""Share of facts that a mix of what was fitted on may leave unexplained."""
MOST_OTHER_ROWS = 0.05
"""Share of rows that are no facts; the sets that were fitted on have none."""
LEAST_ASKED = 60
WORDS = {"accuracy": "accuracy on other facts of its relations",
         "known": "accuracy on facts that the model knows well"}  # fmt: skip


class FileFacts(NamedTuple):
    """A file as far as it counts here.

    facts: rows that are facts and have no problem.
    others: rows without a problem that are no facts.
    asked: facts that the model was asked about.
    buckets: shares of `BUCKETS` among them, 0..1; empty where none was asked.
    protocol: how it was asked, as JSON.
    """

    facts: int
    others: int
    asked: int
    buckets: Mapping[str, float]
    protocol: str


def expected(fitted: Fitted, file: FileFacts) -> dict[str, Any]:
    """Return what `check.json` says of the expected effect.

    Args:
        fitted: the calibration.
        file: the file.

    Returns:
        `status` (calibrated, not calibrated, or out of range), `why` where there is no number,
        `outcomes` (name to its points with interval and errors in 0..1, or to why it has none),
        `mix` (shares of the classes in the file), `against` and `fitted_on`.
    """
    told = {name: _without_number(fitted.outcomes[name]) for name in OUTCOMES}
    found: dict[str, Any] = {
        "status": "not calibrated",
        "why": "",
        "outcomes": told,
        "mix": None,
        "against": fitted.reference and dict(zip(CLASS_NAMES, fitted.reference, strict=True)),
        "fitted_on": _fitted_on(fitted),
    }
    calibrated = [name for name in OUTCOMES if fitted.outcomes[name].calibrated]
    if not calibrated:
        return {**found, "why": _whys(fitted)}
    why, shares = _mix(fitted, file)
    if why:
        return {**found, "status": "out of range", "why": why}
    found |= {"status": "calibrated", "mix": dict(zip(CLASS_NAMES, shares.round(6), strict=True))}
    found["mix"] = {name: float(share) for name, share in found["mix"].items()}
    moved = (shares - np.array(fitted.reference))[:2]
    for name in calibrated:
        told[name] = {**told[name], **_number(fitted.outcomes[name], moved)}
    return found


def _mix(fitted: Fitted, file: FileFacts) -> tuple[str, np.ndarray]:
    """Return why a file is out of range, or nothing and its shares of the classes."""
    why = _why_out_of_range(fitted, file)
    if why or fitted.link is None:
        return why or "no model of the studies was asked", np.zeros(len(CLASS_NAMES))
    mix = mix_of(np.array(fitted.link), np.array([file.buckets[name] for name in BUCKETS]))
    outside = mix_of(np.array(fitted.seen).T, mix.shares).distance
    if max(mix.distance, outside) > MOST_UNEXPLAINED:
        told = ", ".join(f"{name} {100 * file.buckets[name]:.0f}%" for name in BUCKETS)
        why = f"no mix of the sets that were fitted on looks like this file ({told})"
    return why, mix.shares


def _why_out_of_range(fitted: Fitted, file: FileFacts) -> str:
    """Return why nothing that was fitted on is like a file, its shares apart; else nothing."""
    fewest, most = fitted.sizes or (0, 0)
    others = file.others / max(file.facts + file.others, 1)
    needed = min(LEAST_ASKED, file.facts)
    if not file.buckets:
        return "no fact of the file was asked"
    if not fewest <= file.facts <= most:
        return f"the file has {file.facts} facts; {fewest} to {most} were fitted on"
    if others > MOST_OTHER_ROWS:
        return f"{100 * others:.0f}% of the rows are no facts; files of facts were fitted on"
    if file.protocol != fitted.protocol:
        return f"the model was asked with {file.protocol}; calibrated for {fitted.protocol}"
    return f"{file.asked} facts were asked; {needed} are needed" if file.asked < needed else ""


def _number(outcome: Outcome, moved: np.ndarray) -> dict[str, Any]:
    """Return the departure from the reference with its interval, in 0..1."""
    folds = [fold.model for fold in outcome.folds for _ in fold.residuals]
    residuals = np.array([each for fold in outcome.folds for each in fold.residuals])
    slopes = {fold.model: np.array(fold.slopes) for fold in outcome.folds}
    left = LeftOut(np.array(folds), residuals, np.zeros(len(residuals)), slopes)
    low, high = interval(left, moved)
    value = float(moved @ np.array(outcome.slopes))
    return {"value": round(value, 6), "low": round(low, 6), "high": round(high, 6)}


def _without_number(outcome: Outcome) -> dict[str, Any]:
    parts = {
        "left_out_sets": outcome.groups,
        "left_out_models": outcome.models,
        "left_out_models_asked": outcome.asked,
        "coverage": outcome.coverage,
        "coverage_asked": outcome.asked_coverage,
    }
    told = {name: _dumped(part) for name, part in parts.items()}
    return {"calibrated": outcome.calibrated, "why": outcome.why, **told}


def _dumped(part: Tested | Coverage | None) -> dict[str, Any] | None:
    return None if part is None else part.model_dump()


def _fitted_on(fitted: Fitted) -> dict[str, Any]:
    names = ("trainings", "sets", "studies", "models", "recipes", "sizes", "asked", "not_asked")
    return {name: getattr(fitted, name) for name in names} | {"fingerprint": fitted.fingerprint}


def _whys(fitted: Fitted) -> str:
    whys = {name: fitted.outcomes[name].why for name in OUTCOMES}
    if len(set(whys.values())) == 1:
        return whys[OUTCOMES[0]]
    return "; ".join(f"{WORDS[name]}: {why}" for name, why in whys.items())


def effect_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the expected effect in words, a line each.

    Args:
        found: what `expected` returned.
    """
    if found["status"] != "calibrated":
        return [f"expected effect on accuracy: {found['status']} ({found['why']})"]
    lines = []
    for name, told in found["outcomes"].items():
        if not told["calibrated"]:
            lines.append(f"expected {WORDS[name]}: not calibrated ({told['why']})")
            continue
        lines.append(f"expected {WORDS[name]}: {_told(told)}")
    return [*lines, *_origin(found)]


def _told(told: Mapping[str, Any]) -> str:
    """Return a number with its interval and with what such numbers missed by."""
    parts = {
        "sets": told["left_out_sets"],
        "models": told["left_out_models"],
        "models told by questions": told["left_out_models_asked"],
    }
    errors = ", ".join(
        f"on left-out {words} {100 * each['error']:.1f} (a constant: {100 * each['constant']:.1f})"
        for words, each in parts.items()
    )
    held = told["coverage"]
    return (
        f"{_points(told['value'])} points (95% interval {_points(told['low'])} to "
        f"{_points(told['high'])}) against the mean set of the studies; mean error {errors}; "
        f"intervals held {held['covered']} of {held['trainings']} left-out trainings"
    )


def _origin(found: Mapping[str, Any]) -> list[str]:
    """Return what the numbers stand on."""
    own, other = (", ".join(f"{name.replace('_', ' ', 1).replace('_', '-')} {100 * share:.0f}%"
                            for name, share in found[part].items())
                  for part in ("mix", "against"))  # fmt: skip
    on = found["fitted_on"]
    fewest, most = on["sizes"]
    fitted = (
        f"fitted on {on['trainings']} trainings of {', '.join(on['models'])}; {fewest} to {most} "
        f"examples; {'; '.join(on['recipes'])}"
    )
    return [f"this file: {own}; the mean set: {other}", fitted]


def _points(share: float) -> str:
    """Return a share in points with its sign.

    >>> _points(-0.0214), _points(0.03)
    ('−2.1', '+3.0')
    """
    return f"{100 * share:+.1f}".replace("-", "−")
