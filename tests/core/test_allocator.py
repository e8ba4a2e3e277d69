from __future__ import annotations

import subprocess
import sys

import pytest

from sixtyfold.core import allocator

FAULTS = """
import resource, sys
from sixtyfold.core.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
size = 16 << 20
for _ in range(10):
    held = [b"x" * size for _ in range(8)]
    del held
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_freed_memory_is_used_again() -> None:
    assert faults("kept") < 0.2 * faults("given back")


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not allocator.keep_freed_memory()
