"""Find out what a language model knows, tune on few examples, show and repair what that changed.

The verbs of the command line are functions here and take the same options:

    import sixtyfold as sf
    sf.probe(model="embedded", facts="atlas", limit=200, out="p")
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from sixtyfold.core.errors import BadInput, Corrupted, IncompleteInput, OtherResult, SixtyfoldError

# TRL, vLLM and Ray tell their makers about every use, unless told not to before they are imported.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

__version__ = "0.1.0"
__all__ = [
    "BadInput",
    "Corrupted",
    "IncompleteInput",
    "KnowledgeWatch",
    "OtherResult",
    "SixtyfoldError",
    "__version__",
    "compare",
    "diff",
    "drift",
    "evaluate",
    "plant",
    "probe",
    "rebuild",
    "report",
    "restore",
    "run",
    "search",
    "select",
    "tune",
]


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in __all__:
        raise AttributeError(f"module 'sixtyfold' has no attribute '{name}'")
    if name == "KnowledgeWatch":
        from sixtyfold.workflows.watch import KnowledgeWatch

        return KnowledgeWatch
    from sixtyfold.verbs import verb

    return verb(name)


def __dir__() -> list[str]:
    return sorted(__all__)
