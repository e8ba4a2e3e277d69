"""Libraries that tell their makers about every use are told not to, unless the user says so."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SILENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def printed(code: str, **env: str) -> str:
    """Run code in a process of its own, whose environment says nothing of reports."""
    rest = {name: value for name, value in os.environ.items() if name not in SILENT}
    done = subprocess.run(
        [sys.executable, "-c", code], env=rest | env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_hugging_face_is_told_nothing() -> None:
    asked = "from huggingface_hub import constants; print(constants.HF_HUB_DISABLE_TELEMETRY)"
    assert printed(f"import sixtyfold; {asked}") == "True"
    assert printed(asked) == "False"


@pytest.mark.parametrize("name", SILENT)
def test_what_the_user_says_is_left(name: str) -> None:
    told = f"import sixtyfold, os; print(os.environ['{name}'])"
    assert printed(told) == SILENT[name]
    assert printed(told, **{name: "else"}) == "else"
