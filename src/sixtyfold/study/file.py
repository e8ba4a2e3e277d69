"""The study file: one YAML file that describes a whole experiment.

    name: sizes
    models: [embedded]
    facts: {facts: atlas, test: 400}
    probe: {templates: 7}
    seeds: [0, 1, 2]
    grids:
      - name: natural
        select: {size: [60, 240, 960]}
        tune: {learning_rate: [1e-5, 1e-4]}
        choose: learning_rate

A section holds options of the stage it is named after, and every option is checked by that stage's
own spec. In `select` and `tune` of a grid a list is an axis: the grid is the product of its axes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from sixtyfold.core.errors import suggestion
from sixtyfold.core.models import ModelOptions
from sixtyfold.core.spec import Spec
from sixtyfold.study.options import (
    Options,
    agrees,
    as_read,
    check_axes,
    check_options,
    check_shared,
    product_of,
    values_of,
)
from sixtyfold.study.stages import STAGES

#: What `ModelOptions` and the name of a model may say in the list of models.
_OF_A_MODEL = ("name", "model", *ModelOptions.model_fields)
_AXES = ("select", "tune")
BASE = "base"
"""What the cells of untuned models are called in the place of a grid, or how that starts."""


class ModelEntry(Spec):
    """A model of the study: `--model` and its options."""

    name: str
    """What it is called in results."""

    model: str
    """`embedded`, a directory, a .gguf file or a Hugging Face id."""

    options: Options = Field(default_factory=dict)
    """Model options (dtype, device, revision, ...)."""


class Resources(Spec):
    """What a job takes of a Ray cluster."""

    cpus: float = Field(default=1, ge=0)
    """CPU cores; Ray counts them and does not bind jobs to them."""

    gpus: float = Field(default=0, ge=0)
    """GPUs; parts of one are allowed."""

    memory: int | None = Field(default=None, ge=1)
    """Bytes; not counted without it."""


def _different(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError("allowed: one or more different whole numbers")
    return seeds


class Grid(Spec):
    """Trainings: the product of the axes in `select` and `tune`, for every model and seed."""

    name: str = Field(min_length=1)
    """What it is called in results."""

    select: Options = Field(default_factory=dict)
    """Options of `sixtyfold select`; a list is an axis."""

    tune: Options = Field(default_factory=dict)
    """Options of `sixtyfold tune`; a list is an axis."""

    choose: str | None = None
    """An axis of `tune` whose best value, by mean dev accuracy over the seeds, is chosen for each
    combination of the others. Only the chosen trainings are asked on test and looked into."""

    seeds: tuple[int, ...] | None = None
    """Seeds in the place of the study's: what trains fast can be repeated more often."""

    without: tuple[Options, ...] = ()
    """Combinations to leave out: those that agree with all the options named in one entry."""

    drift: Options | None = None
    """With options of `sixtyfold drift`: measure it."""

    diff: Options | None = None
    """With options of `sixtyfold diff`: measure it."""

    own: bool = False
    """Ask every (chosen) training its own examples too."""

    search: tuple[Options, ...] | None = None
    """With options of `sixtyfold search`: search repairs of every (chosen) training. A list is
    several searches, called search, search-2, ... in results."""

    @field_validator("seeds")
    @classmethod
    def _different_seeds(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return value if value is None else _different(value)

    @field_validator("search", mode="before")
    @classmethod
    def _one_search_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, dict) else value

    @field_validator("select", mode="before")
    @classmethod
    def _levels_are_words(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "levels" not in value:
            return value
        given = value["levels"]
        words = [str(each) if type(each) is int else each for each in values_of(given)]
        return {**value, "levels": words if isinstance(given, list) else words[0]}

    @field_validator("name")
    @classmethod
    def _is_no_untuned_model(cls, value: str) -> str:
        if value == BASE or value.startswith(f"{BASE}, "):
            raise ValueError("results of untuned models are called so; give it another name")
        return value

    @model_validator(mode="after")
    def _sections_are_known(self) -> Self:
        if "replicas" in self.select:
            raise ValueError(f"grid {self.name}: replicas are told by the seeds of the study")
        for stage in _AXES:
            check_axes(getattr(self, stage), f"grids: {self.name}: {stage}")
        for size in values_of(self.select.get("size", 60)):
            if "," in str(size):
                raise ValueError(
                    f"grid {self.name}: size: {size} is a ladder in one directory; "
                    f"give a list, size: [{str(size).replace(',', ', ')}]"
                )
        for stage in _AXES:
            for options in product_of(getattr(self, stage)):
                check_options(stage, options, f"grids: {self.name}: {stage}")
        for stage in ("drift", "diff"):
            if getattr(self, stage) is not None:
                check_options(stage, getattr(self, stage), f"grids: {self.name}: {stage}")
        for options in self.search or ():
            check_options("search", options, f"grids: {self.name}: search")
        return self

    @model_validator(mode="after")
    def _choice_and_exceptions_name_what_is_set(self) -> Self:
        axes = [name for name, value in self.tune.items() if isinstance(value, list)]
        if self.choose is not None and self.choose not in axes:
            raise ValueError(
                f"grid {self.name}: choose: {self.choose} is no list in its tune section; "
                f"lists there: {', '.join(axes) or 'none'}"
            )
        named = {name for stage in _AXES for name in getattr(self, stage)}
        every = [{**select, **tune} for select, tune in self._product()]
        for entry in self.without:
            if not set(entry) <= named:
                unknown = min(set(entry) - named)
                raise ValueError(
                    f"grid {self.name}: without names {unknown!r}{suggestion(unknown, named)}; "
                    f"the grid sets {', '.join(sorted(named)) or 'nothing'}"
                )
            if not any(agrees(each, entry) for each in every):
                raise ValueError(f"grid {self.name}: without: no combination has {entry}")
        if every and all(any(agrees(each, entry) for entry in self.without) for each in every):
            raise ValueError(f"grid {self.name}: without leaves nothing of it")
        return self

    def _product(self) -> Iterator[tuple[Options, Options]]:
        for select, tune in itertools.product(product_of(self.select), product_of(self.tune)):
            yield as_read("select", select), as_read("tune", tune)

    def combinations(self) -> Iterator[tuple[Options, Options]]:
        """Yield the select and tune options of every training of one model and seed.

        Values are as the stages' specs read them, so that 1e-5 and 0.00001 are one.
        """
        seen = []
        for both in self._product():
            left_out = any(agrees({**both[0], **both[1]}, entry) for entry in self.without)
            if both not in seen and not left_out:
                seen.append(both)
                yield both


class StudyFile(Spec):
    """A whole experiment."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """What it is called in the store."""

    about: str = ""
    """What it asks, in words."""

    store: str = "runs/store"
    """Where results lie: a directory or an fsspec URL (s3://bucket/prefix)."""

    models: tuple[ModelEntry, ...] = Field(
        default=(ModelEntry(name="embedded", model="embedded"),), min_length=1
    )
    """References of models, or mappings with `model`, `name` and model options."""

    shared: Options = Field(default_factory=dict)
    """Options given to every stage that has them (prompt_form, match, device, ...)."""

    facts: Options = Field(default_factory=dict)
    """Options of `sixtyfold facts build`."""

    probe: Options | None = Field(default_factory=dict)
    """Options of `sixtyfold probe`; null probes nothing, and levels are unknown."""

    shards: int = Field(default=1, ge=1)
    """Parts in which each model is probed, which can run on different machines."""

    base: bool = True
    """Ask every base model too: plainly, with worked examples, through its chat template."""

    evaluate: Options = Field(default_factory=dict)
    """Options of `sixtyfold evaluate`, for base and tuned models alike."""

    seeds: tuple[int, ...] = (0,)
    """Seeds of the choice of examples and of the training, together. A grid may have its own."""

    grids: tuple[Grid, ...] = ()
    """Trainings."""

    keep_checkpoints: bool = False
    """Keep tuned weights in the store; without it they are removed once nothing needs them."""

    resources: dict[str, Resources] = Field(default_factory=dict)
    """For Ray: stage to cpus, gpus and memory (bytes) of one of its jobs; `all` for the others."""

    def seeds_of(self, grid: Grid) -> tuple[int, ...]:
        """Return the seeds that a grid is trained with."""
        return grid.seeds or self.seeds

    @field_validator("models", mode="before")
    @classmethod
    def _models_by_reference(cls, value: Any) -> Any:
        entries = value if isinstance(value, list | tuple) else [value]
        return tuple(_model_entry(each) for each in entries)

    @field_validator("seeds")
    @classmethod
    def _different_seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _different(value)

    @model_validator(mode="after")
    def _sections_are_known(self) -> Self:
        for stage in ("facts", "probe", "evaluate"):
            check_options(stage, getattr(self, stage) or {}, stage)
        check_shared(self.shared)
        for what, names in (
            ("model", [m.name for m in self.models]),
            ("grid", [g.name for g in self.grids]),
        ):
            doubled = sorted({name for name in names if names.count(name) > 1})
            if doubled:
                raise ValueError(f"the {what} {doubled[0]!r} stands twice; give each another name")
        known = ("all", *STAGES)
        unknown = sorted(set(self.resources) - set(known))
        if unknown:
            raise ValueError(
                f"resources names {unknown[0]!r}{suggestion(unknown[0], known)}; "
                f"allowed: {', '.join(known)}"
            )
        return self


def _model_entry(given: Any) -> Any:
    if isinstance(given, str):
        return {"name": Path(given).name or given, "model": given}
    if not isinstance(given, dict) or "model" not in given:
        return given
    unknown = sorted(set(given) - set(_OF_A_MODEL))
    if unknown:
        raise ValueError(
            f"a model was given {unknown[0]!r}{suggestion(unknown[0], _OF_A_MODEL)}; "
            f"allowed: {', '.join(_OF_A_MODEL)}"
        )
    options = {name: value for name, value in given.items() if name not in ("name", "model")}
    name = given.get("name", Path(str(given["model"])).name)
    return {"name": name, "model": given["model"], "options": options}
