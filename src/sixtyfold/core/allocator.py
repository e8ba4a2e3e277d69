"""Keep freed memory in the process instead of giving it back after every step.

A step of a model makes and frees the same large tensors again and again. glibc gives memory of that
size back to the system and takes it anew, which costs page faults (docs/decisions/009).
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's malloc.h
_LARGEST = 1 << 25  # glibc allows no more


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks of up to 32 MB; call before torch is used.

    Returns:
        whether it was done; other C libraries have other allocators.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_TRIM_THRESHOLD, (1 << 31) - 1) and mallopt(_MMAP_THRESHOLD, _LARGEST))
