"""What stands in calibration.json: written by `fit`, read by `predict`, never by hand."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from pydantic import BaseModel, ConfigDict

FILE = "calibration.json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tested(_Part):
    """Errors on what was left out, in 0..1; the fields are those of `effects.Errors`."""

    folds: int
    sets: int
    error: float
    constant: float
    gain: float
    low: float | None


class Coverage(_Part):
    """How many left-out trainings the interval held that was made without their model."""

    covered: int
    trainings: int


class Fold(_Part):
    """Slopes fitted without a model, and how far its trainings fell from them."""

    model: str
    slopes: tuple[float, float]
    residuals: tuple[float, ...]


class Outcome(_Part):
    """One outcome.

    calibrated: whether it beats a constant.
    why: why it is not calibrated; empty where it is.
    slopes: change of the outcome per share of facts of level 0, and of levels 1 and 2, in the place
        of levels 3 and 4.
    folds: what intervals are made from.
    groups: left-out sets, all of one size and kind together; models: left-out models; asked: the
        sets of left-out models, told by questions alone.
    coverage, asked_coverage: of the interval.
    """

    calibrated: bool
    why: str
    sets: int
    slopes: tuple[float, float] | None = None
    folds: tuple[Fold, ...] = ()
    groups: Tested | None = None
    models: Tested | None = None
    asked: Tested | None = None
    coverage: Coverage | None = None
    asked_coverage: Coverage | None = None


class Source(_Part):
    """A table that was fitted on: its place in the repository, and what it holds."""

    name: str
    sha256: str


class Fitted(_Part):
    """Everything that `check` needs to say what tuning on a file may do, or why it does not.

    trainings, sets: how many, of those that can be compared with others.
    sizes: fewest and most examples of such sets; None where there are none.
    reference: shares of the classes that an outcome is told against: the mean over the blocks.
    seen: shares of the classes of every set.
    link: (buckets, classes); None where no model was asked.
    asked, not_asked: models (with their study) that questions tell something of, and that they do
        not.
    protocol: how they were asked, as JSON.
    """

    format: int = 1
    trainings: int
    sets: int
    studies: tuple[str, ...]
    models: tuple[str, ...]
    recipes: tuple[str, ...]
    sizes: tuple[int, int] | None
    reference: tuple[float, float, float] | None
    seen: tuple[tuple[float, float, float], ...]
    link: tuple[tuple[float, float, float], ...] | None
    asked: tuple[str, ...]
    not_asked: tuple[str, ...]
    protocol: str
    outcomes: dict[str, Outcome]
    sources: tuple[Source, ...]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


@cache
def shipped() -> Fitted:
    """Return the calibration of this version."""
    text = (resources.files(__package__) / FILE).read_text("utf-8")
    return Fitted.model_validate_json(text)
