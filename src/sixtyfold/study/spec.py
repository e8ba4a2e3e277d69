"""Options of `sixtyfold study`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from sixtyfold.core.spec import Spec


class StudySpec(Spec):
    """What every command of a study takes."""

    file: Path
    """The study file (YAML)."""

    store: str | None = None
    """Where results lie, in the place of the file's own `store`: a directory or an fsspec URL."""


class StudyRunSpec(StudySpec):
    """Run what is left of a study. A killed one continues when the same command is given again."""

    ray: str | None = None
    """Run jobs on a Ray cluster: its address, `auto`, or `local` to start one on this machine."""

    ray_grows: bool = False
    """The cluster adds nodes when jobs need them: wait for one that is large enough. Without it a
    study that asks for more than any node has is refused."""

    verify: bool = False
    """Read every file of what is recorded first, and make again what is not what was written;
    without this its size is looked at, and its contents when a job reads it."""

    instead: bool = False
    """Take the place of a study of the same name that another file describes."""

    plan: bool = False
    """Print what would be done (cells, what is there already, tokens, hours, disk, whether levels
    have enough facts) and do nothing."""


class StudyStatusSpec(StudySpec):
    """Say what is done, running, failed and left, and what was made otherwise.

    That is by other versions of packages, or from earlier weights of a model of the same name.
    """

    verify: bool = False
    """Also read every file of what is recorded and name those that are not what was written."""


class StudyResultsSpec(StudySpec):
    """The results as one tidy table: one row = one number."""

    out: Path | None = None
    """File to write: .csv or .parquet. Without it the main figures are printed."""

    figures: Path | None = None
    """Directory to draw figures in, as PNG and as Vega-Lite."""

    measure: str = "macro_relation"
    """The measure that is printed."""

    role: str = "test"
    """What was asked: test, dev, own, probe, compare, drift, diff, search (search-2, ...)."""


class StudyContrastSpec(StudySpec):
    """How accurate trainings are, or how they differ, with intervals over facts and seeds.

    With `--vary size --against 240` every size is compared with 240, paired over test facts and
    seeds; with `--against base` every training is compared with the untuned model.
    """

    vary: str | None = None
    """In what two trainings differ: size, levels, grid, or another axis of a grid."""

    against: str | None = None
    """The value of it that the others are compared with, or `base`: the untuned model."""

    grid: tuple[str, ...] = ()
    """Of which grids; all without it."""

    measure: str = "accuracy"
    """`accuracy`, or a measure of drift: kl_top10, kl_tuned_base, kl_base_tuned, js,
    answer_logp_change, whole_logp_change."""

    split: Literal["dev", "test"] = "test"
    """Whose answers."""

    out: Path | None = None
    """File to write: .csv or .parquet, with every domain, level and way of averaging. Without it
    the means over relations are printed."""

    @model_validator(mode="after")
    def _two_sides(self) -> Self:
        if self.vary is not None and self.against is None:
            raise ValueError(
                f"--vary {self.vary} was given without --against; name the value of {self.vary} "
                "that the others are compared with"
            )
        if self.vary is None and self.against not in (None, "base"):
            raise ValueError(
                f"--against {self.against} was given without --vary; name what differs, "
                "such as --vary size"
            )
        return self


class StudyRepairsSpec(StudySpec):
    """What putting weights back did: the searches of a study, its seeds taken together.

    Every arm, chosen on dev by each search for itself, is compared on test with the tuned model and
    with the best interpolation; intervals hold for other facts and other trainings.
    """

    out: Path | None = None
    """File to write: .csv or .parquet. Without it the table is printed."""


class StudyCleanSpec(StudySpec):
    """Remove what no study of the store needs.

    Such as results of an earlier version of its file, or of earlier weights of a model. A study is
    known by its name: what one of another name needed when it was last run is kept.
    """

    yes: bool = False
    """Remove it; without this, what would be removed is listed."""


class SqlSpec(Spec):
    """Ask a store in SQL (DuckDB).

    Views: `results` (`cells` joined with `numbers`) and one for every kind of table (`answers`,
    `probe`, `weight_changes`, ...), each with the columns `key` and `stage`. `show tables` lists
    them, `describe answers` the columns of one.
    """

    query: str
    """What to select. One statement that reads."""

    store: str = "runs/store"
    """The store: a directory or an fsspec URL."""

    format: Literal["table", "csv"] = "table"
    """How rows are printed."""

    rows: int = Field(default=50, ge=1)
    """Most rows that are printed as a table; csv and --json hold all."""
