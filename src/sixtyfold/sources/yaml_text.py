"""YAML of a user's file, read so that nothing in it is lost: a doubled key is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sixtyfold.core.errors import BadInput


class _Loader(yaml.SafeLoader):
    """The safe loader, refusing doubled keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping after looking for doubled keys."""
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        for place, name in enumerate(names):
            if name in names[:place]:
                line = node.value[place][0].start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: the key {name!r} stands twice")
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
    except (ValueError, yaml.YAMLError, RecursionError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{origin} is not readable YAML ({reason}); needed is {form}") from None
    if not isinstance(content, dict):
        raise BadInput(f"{origin} holds no mapping; needed is {form}")
    return content


def read_text(path: Path, origin: str, form: str) -> str:
    """Return a file's text.

    Raises:
        BadInput: it cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"{origin} cannot be read ({error.strerror}); needed is {form}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{origin} is not UTF-8 ({error.reason}); convert the file") from None
