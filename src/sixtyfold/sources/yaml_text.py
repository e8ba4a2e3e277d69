"""YAML of a user's file, read so that nothing in it is lost: a doubled key is an error."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.reader import ReaderError

from sixtyfold.core.errors import BadInput

_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """The safe loader, refusing doubled keys and naming the line of a value it cannot read."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Build a value."""
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, AttributeError, ArithmeticError) as error:
            told = f" ({error})" if isinstance(error, ValueError) else ""
            reason = f"{str(node.value)[:80]!r} is no value{told}; put it in quotes"
            raise ConstructorError(None, None, reason, node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping after looking for doubled keys."""
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.tag == _MERGE:  # what is merged in may be overridden
                continue
            name = self.construct_object(key, deep=True)
            if isinstance(name, Hashable):  # the parent refuses the others
                if name in seen:
                    reason = f"the key {str(name)[:80]!r} stands twice"
                    raise ConstructorError(None, None, reason, key.start_mark)
                seen.add(name)
        return super().construct_mapping(node, deep=deep)


def read_mapping(text: str, origin: str, form: str) -> dict[Any, Any]:
    """Parse a text that is one mapping.

    Args:
        text: YAML; JSON is read as well.
        origin: the option and file, for messages.
        form: what is expected, for messages.

    Raises:
        BadInput: it is not readable, holds something else, or a key stands twice.

    >>> read_mapping("a: [b]", "--aliases f", "'answer: [alias]'")
    {'a': ['b']}
    """
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except (ValueError, ArithmeticError, RecursionError, yaml.YAMLError) as error:
        reason = _reason(error, text)
        raise BadInput(f"{origin} is not readable YAML ({reason}); needed is {form}") from None
    if not isinstance(content, dict):
        kind = "nothing" if content is None else f"a {type(content).__name__}"
        raise BadInput(f"{origin} holds {kind}; needed is {form}")
    return content


def _reason(error: Exception, text: str) -> str:
    """Say in one line what is wrong and on which line."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"line {line}: {text[error.position]!r} is no character of YAML"
    mark = getattr(error, "problem_mark", None)
    told = str(getattr(error, "problem", None) or error)
    if told.startswith("but "):
        told = f"{getattr(error, 'context', '')} {told}"
    where = f"line {mark.line + 1}: " if mark else ""
    return where + " ".join(told.split())[:200]


def read_text(path: Path, origin: str, form: str) -> str:
    """Return a file's text.

    Raises:
        BadInput: it cannot be read or is not UTF-8; the message names the line.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BadInput(f"{origin} cannot be read ({error.strerror}); needed is {form}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadInput(
            f"{origin}, line {line}: not UTF-8 (byte 0x{error.object[error.start]:02x}); "
            "save the file as UTF-8"
        ) from None
