"""The options in the sections of a study file, checked by the specs of their stages."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.study.stages import STAGES, StageKind

Options = dict[str, Any]

_DECIDED = ("out", "plan", "seed")
_DECIDED_OF = {"select": ("replicas",), "evaluate": ("split",)}
"""Options that the study decides: of all stages, and of single ones."""


def check_shared(options: Options) -> None:
    """Refuse shared options that are not for several stages.

    Raises:
        ValueError: names the option, and where it belongs.
    """
    having: dict[str, list[str]] = {}
    for stage, kind in STAGES.items():
        for name in set(kind.spec_class().model_fields) - set(kind.reads):
            having.setdefault(name, []).append(stage)
    for name in ("out", "plan", "split"):
        having.pop(name, None)
    for name in options:
        if name not in having:
            raise ValueError(
                f"shared names {name!r}, which no stage has or the study decides"
                f"{suggestion(name, having)}"
            )
        if len(having[name]) == 1:
            only = having[name][0]
            raise ValueError(f"shared names {name!r}, which only {only} has; give it there")


def check_options(stage: str, options: Options, where: str) -> None:
    """Refuse options that a stage does not have or allow.

    Raises:
        ValueError: names `where`, the option and what is allowed.
    """
    kind = STAGES[stage]
    decided = {*kind.reads, *_DECIDED, *_DECIDED_OF.get(stage, ())}
    own = set(kind.spec_class().model_fields) - decided
    if stage == "facts":
        own |= {"facts", "seed"}
    for name in options:
        if name not in own:
            hint = " (the study decides it)" if name in decided else suggestion(name, own)
            raise ValueError(f"{where}: unknown option '{name}'{hint}")
    places = _placeholders(kind)
    if options.get("lm_eval_task") is not None:
        del places["probe"]
    try:
        kind.spec_class().parse({**places, **options})
    except BadInput as error:
        raise ValueError(f"{where}: {error}") from None


def as_read(stage: str, options: Options) -> Options:
    """Return options as JSON values of what the stage's spec makes of them."""
    kind = STAGES[stage]
    spec = kind.spec_class().parse({**_placeholders(kind), **options})
    values = spec.model_dump(mode="json")
    return {name: values[name] for name in options}


def check_axes(options: Options, where: str) -> None:
    """Refuse axes without values, and lists in lists.

    Raises:
        ValueError: names `where` and the option.
    """
    for name, value in options.items():
        if value == []:
            raise ValueError(f"{where}: {name} is a list of nothing; give values, or leave it out")
        if any(isinstance(each, list) for each in values_of(value)):
            raise ValueError(f"{where}: {name}: {value} holds a list in a list; give one list")


def product_of(options: Mapping[str, Any]) -> Iterator[Options]:
    """Yield every combination of options of which some are lists."""
    names = list(options)
    values = [values_of(value) for value in options.values()]
    for chosen in itertools.product(*values):
        yield dict(zip(names, chosen, strict=True))


def values_of(value: Any) -> list[Any]:
    """Return the values of an axis, or the one value of an option."""
    return value if isinstance(value, list) else [value]


def agrees(options: Options, entry: Options) -> bool:
    """Whether options, as their specs read them, have the values of an entry of a file."""
    return all(_same(options[name], value) for name, value in entry.items())


def _same(value: Any, given: Any) -> bool:
    if isinstance(value, float):  # YAML takes 1e-5 for a word
        with contextlib.suppress(TypeError, ValueError):
            return value == float(given)
    return str(value) == str(given)


def _placeholders(kind: StageKind) -> Options:
    """Return something for the fields that the study fills in later: needed ones, and the probe."""
    fields = kind.spec_class().model_fields
    filled = [name for name in kind.reads if name == "probe" or fields[name].is_required()]
    return {**dict.fromkeys(filled, "..."), "out": "..."}
