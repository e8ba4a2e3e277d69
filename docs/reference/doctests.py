"""Shows the doctests of docstrings as code, wherever they stand in the text.

An extension of griffe, which reads the docstrings for the reference (see `mkdocs.yml`).
"""

from __future__ import annotations

import re
from typing import Any

import griffe

#: From a line that begins with the prompt to the next blank line or the end.
_DOCTEST = re.compile(r"^>>> .*?(?=^\s*$|\Z)", re.MULTILINE | re.DOTALL)


def as_code(text: str) -> str:
    r"""Put every doctest of a text into a fenced block.

    >>> print(as_code("Double it.\n\n>>> 2 * 2\n4"))
    Double it.
    <BLANKLINE>
    ```pycon
    >>> 2 * 2
    4
    ```
    <BLANKLINE>
    """
    return _DOCTEST.sub(lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", text)


class Doctests(griffe.Extension):
    """Rewrites docstrings once they are read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_code(obj.docstring.value)
