"""The specification of a stage: written once, used by the command line, Python and manifests.

A spec is a frozen pydantic model whose attribute docstrings are its help text. This module knows
how specs are parsed and how they are written into a manifest; it knows no stage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from sixtyfold.core.errors import BadInput, suggestion


class Spec(BaseModel):
    """Base of all stage specifications."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    #: Fields that say where things are or how much is shown, not what is computed.
    not_recorded: ClassVar[frozenset[str]] = frozenset({"out", "json_output", "plan", "quiet"})

    @classmethod
    def parse(cls, options: dict[str, Any]) -> Self:
        """Build a spec from plain options.

        Args:
            options: option name to value, names with underscores.

        Raises:
            BadInput: an option is unknown (with the nearest known one) or its value not allowed.
        """
        try:
            return cls.model_validate(options)
        except ValidationError as error:
            raise BadInput(cls.explain(error)) from None

    @classmethod
    def explain(cls, error: ValidationError) -> str:
        """Turn the first complaint of pydantic into one line."""
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or cls.__name__
        if first["type"] == "extra_forbidden":
            hint = suggestion(name, cls.model_fields)
            return f"unknown option '{name}' for {cls.__name__}{hint}"
        if first["type"] == "missing":
            return f"option '{name}' is needed and was not given"
        reason = str(first["msg"]).removeprefix("Value error, ")
        if not first["loc"]:  # of options together
            return reason
        return f"option '{name}' was given {first.get('input')!r}: {reason}"

    def recorded(self) -> dict[str, Any]:
        """Return the fields that decide the result, as JSON values."""
        values = self.model_dump(mode="json")
        return {key: value for key, value in values.items() if key not in self.not_recorded}


class StageSpec(Spec):
    """What every stage that writes a directory takes."""

    #: Fields that name an input. What lies there is known by its fingerprint, so the name itself
    #: is written down but does not make two results different.
    places: ClassVar[frozenset[str]] = frozenset(
        {"model", "base", "tuned", "other", "facts", "probe", "selection", "before", "after", "run"}
        | {"text"}  # of a planting
    )

    out: Path
    """Directory to write. A killed run continues when the same command is given again."""

    plan: bool = False
    """Print what would be done (counts, memory, estimated time) and do nothing."""
