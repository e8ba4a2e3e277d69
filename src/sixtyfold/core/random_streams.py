"""Random streams that depend on what they are for, never on the order in which they are used."""

from __future__ import annotations

import hashlib

import numpy as np


def random_stream(*purpose: str | int) -> np.random.Generator:
    """Return the generator of one purpose, such as (seed, tensor name, first weight).

    >>> one, same = random_stream(0, "w", 5), random_stream(0, "w", 5)
    >>> one.random() == same.random() != random_stream(0, "w", 6).random()
    True
    """
    text = "\x1f".join(str(part) for part in purpose)
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.SFC64(key))
