"""The candidates of a search: every family at the same strengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sixtyfold.core.progress import progress
from sixtyfold.stages.restore.alternatives import FAMILIES
from sixtyfold.stages.restore.candidates import Candidate, Candidates
from sixtyfold.stages.restore.names import FamilyName
from sixtyfold.workflows.search_spec import SearchSpec

#: The family name of the tuned model as it is.
TUNED = "tuned"


class Listed(NamedTuple):
    """One candidate of a search."""

    family: str
    """`tuned`, or the candidate's family."""
    candidate: Candidate


class Pool(NamedTuple):
    """What a search chooses from."""

    listed: list[Listed]
    """The tuned model first, then the families in the order given, weakest repair first."""
    notes: list[str]
    """Which norms a family could not meet."""


def pool(candidates: Candidates, spec: SearchSpec) -> Pool:
    """Return the tuned model and, per family, one candidate per percentage of `top`.

    The relative rule puts back these percentages; the other families leave the same norms. Where a
    family cannot leave so little of the update, it is tried at as many norms that it can.
    """
    relative = candidates.ranked("relative", sorted(spec.top))
    shares = [each.remaining for each in relative]
    listed = [Listed(TUNED, candidates.tuned)]
    notes: list[str] = []
    for family in progress(spec.families, "candidates", len(spec.families)):
        own = relative if family == "relative" else _made(candidates, family, shares, notes)
        listed += [Listed(family, each) for each in own]
    return Pool(listed, notes)


def _made(
    candidates: Candidates, family: FamilyName, shares: Sequence[float], notes: list[str]
) -> list[Candidate]:
    lowest = FAMILIES[family].lowest(candidates.update)
    wanted = reachable(shares, lowest)
    if wanted != list(shares):
        notes.append(
            f"family '{family}' leaves at least {lowest:.3f} of the update's norm; it is tried at "
            f"{', '.join(f'{share:.3f}' for share in wanted)}"
        )
    found = candidates.nearest_norm(family, wanted)
    missed = map(candidates.missed, found, wanted)
    notes += [each for each in missed if each is not None]
    return found


def reachable(shares: Sequence[float], lowest: float) -> list[float]:
    """Return as many shares as given, those below `lowest` spread evenly from it towards 1.

    >>> reachable([0.9, 0.5, 0.2], 0.4)
    [0.9, 0.5, 0.4]
    >>> reachable([0.9, 0.3, 0.2], 0.4)
    [0.9, 0.7, 0.4]
    >>> reachable([0.9, 0.4, 0.2], 0.4)  # as many, even if one comes twice
    [0.9, 0.4, 0.4]
    """
    met = [share for share in shares if share >= lowest]
    others = np.linspace(lowest, 1.0, len(shares) - len(met), endpoint=False)
    return sorted([*met, *others.tolist()], reverse=True)
