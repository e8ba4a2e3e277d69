"""Find out what a language model knows, tune on few examples, show and repair what that changed.

The verbs of the command line are functions here and take the same options:

    import sixtyfold as sf
    sf.probe(model="embedded", facts="atlas", limit=200, out="p")
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__version__ = "0.1.0"
_VERBS = (
    "run", "probe", "select", "tune", "evaluate", "compare", "drift", "diff", "restore", "search",
    "report", "plant",
)  # fmt: skip
__all__ = ["__version__", *_VERBS]


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in _VERBS:
        raise AttributeError(f"module 'sixtyfold' has no attribute '{name}'")
    from sixtyfold.verbs import verb

    return verb(name)


def __dir__() -> list[str]:
    return sorted(__all__)
