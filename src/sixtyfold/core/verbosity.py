"""How much is said on the error stream while a command runs. Results are not said here."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Literal

from sixtyfold.core.visible_text import visible

Verbosity = Literal["quiet", "normal", "verbose"]

_verbosity: ContextVar[Verbosity] = ContextVar("verbosity", default="normal")


@contextlib.contextmanager
def saying(how_much: Verbosity) -> Iterator[None]:
    """Say as much as this in a block; threads that it starts say as much as usual."""
    before = _verbosity.set(how_much)
    try:
        yield
    finally:
        _verbosity.reset(before)


def is_quiet() -> bool:
    """Whether only errors and warnings are said."""
    return _verbosity.get() == "quiet"


def is_verbose() -> bool:
    """Whether details are said as well."""
    return _verbosity.get() == "verbose"


def tell(line: str) -> None:
    """Say a line, unless only errors are said."""
    if not is_quiet():
        sys.stderr.write(f"{visible(line, longest=len(line))}\n")
        sys.stderr.flush()


def tell_detail(line: str) -> None:
    """Say a line where details are asked for."""
    if is_verbose():
        tell(line)
