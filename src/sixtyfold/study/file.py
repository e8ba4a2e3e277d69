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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.core.models import ModelOptions
from sixtyfold.core.spec import Spec
from sixtyfold.study.stages import STAGES, StageKind

Options = dict[str, Any]

#: What `ModelOptions` and the name of a model may say in the list of models.
_OF_A_MODEL = ("name", "model", *ModelOptions.model_fields)
_DECIDED_BY_THE_STUDY = ("out", "plan", "seed")
_AXES = ("select", "tune")
_ASKED = ("drift", "diff", "search")


class ModelEntry(Spec):
    """A model of the study: `--model` and its options."""

    name: str
    """What it is called in results."""

    model: str
    """`embedded`, a directory, a .gguf file or a Hugging Face id."""

    options: Options = Field(default_factory=dict)
    """Model options (dtype, device, revision, ...)."""


class Grid(Spec):
    """Trainings: the product of the axes in `select` and `tune`, for every model and seed."""

    name: str
    """What it is called in results."""

    select: Options = Field(default_factory=dict)
    """Options of `sixtyfold select`; a list is an axis."""

    tune: Options = Field(default_factory=dict)
    """Options of `sixtyfold tune`; a list is an axis."""

    choose: str | None = None
    """An axis of `tune` whose best value, by mean dev accuracy over the seeds, is chosen for each
    combination of the others. Only the chosen trainings are asked on test and looked into."""

    without: tuple[Options, ...] = ()
    """Combinations to leave out: those that agree with all the options named in one entry."""

    drift: Options | None = None
    """With options of `sixtyfold drift`: measure it."""

    diff: Options | None = None
    """With options of `sixtyfold diff`: measure it."""

    own: bool = False
    """Ask every (chosen) training its own examples too."""

    search: Options | None = None
    """With options of `sixtyfold search`: search repairs of every (chosen) training."""

    @model_validator(mode="after")
    def _sections_are_known(self) -> Self:
        if "replicas" in self.select:
            raise ValueError(f"grid {self.name}: replicas are told by the seeds of the study")
        for size in _values(self.select.get("size", 60)):
            if "," in str(size):
                raise ValueError(
                    f"grid {self.name}: size: {size} is a ladder in one directory; "
                    f"give a list, size: [{str(size).replace(',', ', ')}]"
                )
        for stage in _AXES:
            for options in _product(getattr(self, stage)):
                check_options(stage, options, f"grids: {self.name}: {stage}")
        for stage in _ASKED:
            if getattr(self, stage) is not None:
                check_options(stage, getattr(self, stage), f"grids: {self.name}: {stage}")
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
        for entry in self.without:
            if not set(entry) <= named:
                unknown = min(set(entry) - named)
                raise ValueError(
                    f"grid {self.name}: without names {unknown!r}{suggestion(unknown, named)}; "
                    f"the grid sets {', '.join(sorted(named))}"
                )
        return self

    def combinations(self) -> Iterator[tuple[Options, Options]]:
        """Yield the select and tune options of every training of one model and seed.

        Values are as the stages' specs read them, so that 1e-5 and 0.00001 are one.
        """
        seen = []
        for select, tune in itertools.product(_product(self.select), _product(self.tune)):
            both = (as_read("select", select), as_read("tune", tune))
            left_out = any(_agrees({**both[0], **both[1]}, entry) for entry in self.without)
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

    models: tuple[ModelEntry, ...] = (ModelEntry(name="embedded", model="embedded"),)
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
    """Seeds of the choice of examples and of the training, together."""

    grids: tuple[Grid, ...] = ()
    """Trainings."""

    keep_checkpoints: bool = False
    """Keep tuned weights in the store; without it they are removed once nothing needs them."""

    resources: dict[str, Options] = Field(default_factory=dict)
    """For Ray: stage to cpus, gpus and memory (bytes) of one of its jobs; `all` for the others."""

    @field_validator("models", mode="before")
    @classmethod
    def _models_by_reference(cls, value: Any) -> Any:
        entries = value if isinstance(value, list | tuple) else [value]
        return tuple(_model_entry(each) for each in entries)

    @field_validator("seeds")
    @classmethod
    def _different_seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError("allowed: one or more different whole numbers")
        return value

    @model_validator(mode="after")
    def _sections_are_known(self) -> Self:
        for stage in ("facts", "probe", "evaluate"):
            check_options(stage, getattr(self, stage) or {}, stage)
        fields = {name for kind in STAGES.values() for name in kind.spec_class().model_fields}
        for name in self.shared:
            if name not in fields:
                raise ValueError(
                    f"shared names {name!r}, which no stage has{suggestion(name, fields)}"
                )
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


def check_options(stage: str, options: Options, where: str) -> None:
    """Refuse options that a stage does not have or allow.

    Raises:
        ValueError: names `where`, the option and what is allowed.
    """
    kind = STAGES[stage]
    own = set(kind.spec_class().model_fields) - set(kind.reads) - set(_DECIDED_BY_THE_STUDY)
    if stage == "facts":
        own |= {"facts", "seed"}
    for name in options:
        if name not in own:
            hint = suggestion(name, own)
            decided = (
                " (the study decides it)" if name in {*kind.reads, *_DECIDED_BY_THE_STUDY} else ""
            )
            raise ValueError(f"{where}: unknown option '{name}'{decided}{hint}")
    try:
        kind.spec_class().parse({**_placeholders(kind), **options})
    except BadInput as error:
        raise ValueError(f"{where}: {error}") from None


def as_read(stage: str, options: Options) -> Options:
    """Return options as JSON values of what the stage's spec makes of them."""
    kind = STAGES[stage]
    spec = kind.spec_class().parse({**_placeholders(kind), **options})
    values = spec.model_dump(mode="json")
    return {name: values[name] for name in options}


def _placeholders(kind: StageKind) -> Options:
    """Return something for the fields that the study fills in later: needed ones, and the probe."""
    fields = kind.spec_class().model_fields
    filled = [name for name in kind.reads if name == "probe" or fields[name].is_required()]
    return {**dict.fromkeys(filled, "..."), "out": "..."}


def _product(options: Mapping[str, Any]) -> Iterator[Options]:
    names = list(options)
    values = [_values(value) for value in options.values()]
    for chosen in itertools.product(*values):
        yield dict(zip(names, chosen, strict=True))


def _values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _agrees(options: Options, entry: Options) -> bool:
    return all(str(options[name]) == str(value) for name, value in entry.items())


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
