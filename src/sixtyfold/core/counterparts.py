"""Which tensors belong together: by their names, by being tied, by holding the same bytes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sixtyfold.core.checkpoint import Checkpoint
from sixtyfold.core.tensor_names import canonical, place
from sixtyfold.core.weight_files import Weights

_EMBEDDINGS = ("embed_tokens", "wte", "embed_in", "word_embeddings")
_BLOCK = 1 << 18


def token_embedding(checkpoint: Checkpoint) -> Weights | None:
    """Return the token embedding, the tensor that a tied head repeats; None if it is not clear."""
    names = [
        name
        for name in checkpoint.tensors
        if name.split(".")[-2:-1] and name.split(".")[-2] in _EMBEDDINGS and name.endswith("weight")
    ]
    return checkpoint.tensors[names[0]] if len(names) == 1 else None


def same_bytes(one: Weights, other: Weights) -> bool:
    """Compare two tensors run by run, up to the first difference."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one is other:
        return True
    for start in range(0, one.numel, _BLOCK):
        stop = min(start + _BLOCK, one.numel)
        first, second = one.raw(start, stop), other.raw(start, stop)
        kind = f"u{first.itemsize}"
        same = np.array_equal(first.view(kind), second.view(kind))
        one.release(start, stop)
        other.release(start, stop)
        if not same:
            return False
    return True


class Names:
    """The names of a checkpoint's tensors, found whatever prefix another one gives them.

    Args:
        checkpoint: where tensors are looked for.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._own = checkpoint.tensors
        self._short = _unique((_shortened(name), name) for name in self._own)

    def find(self, name: str) -> str | None:
        """Return the name of the tensor that another checkpoint calls `name`, None if none is."""
        return name if name in self._own else self._short.get(_shortened(name))


def _shortened(name: str) -> str:
    """Return what is left of a name whatever class and version a model was saved by.

    >>> _shortened("embed_out.weight") == _shortened("lm_head.weight")
    True
    """
    short = canonical(name)
    if place(name).block == "head":  # GPT-NeoX stores as embed_out what transformers calls lm_head
        return f"head.{short.rsplit('.', 1)[-1]}"
    return short


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return short name to name, without the short names that more than one tensor has."""
    names: dict[str, list[str]] = {}
    for short, name in pairs:
        names.setdefault(short, []).append(name)
    return {short: found[0] for short, found in names.items() if len(found) == 1}
