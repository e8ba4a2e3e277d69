"""Which split a fact belongs to when its source has none."""

from __future__ import annotations

import hashlib

TRAIN_SHARE = 0.5
DEV_SHARE = 0.2


def hashed_split(fact_id: str, seed: str) -> str:
    """Return train, dev or test in the proportion 50:20:30, from the fact's key alone.

    Other facts, their number and their order change nothing.

    >>> hashed_split("0123456789abcdef", "0") == hashed_split("0123456789abcdef", "0")
    True
    """
    digest = hashlib.blake2b(f"{seed}\x1f{fact_id}".encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    if place < TRAIN_SHARE:
        return "train"
    return "dev" if place < TRAIN_SHARE + DEV_SHARE else "test"
