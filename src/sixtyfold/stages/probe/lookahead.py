"""Look-ahead: the probability that an accepted answer is spelled from here.

For a row of a batch and a first token, R(node) is the probability, at temperature T, that the text
goes on from that trie node to a hit:

    R(node) = [terminal] · P(end of word | node) + Σ_child P(child | node) · R(child)

computed by running every spelling once behind the row's cache. Exact for the spellings of the
trie; all other spellings are caught when they are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from sixtyfold.engines.torch_engine import Batch
from sixtyfold.stages.probe.distribution import Distribution
from sixtyfold.stages.probe.trie import Trie

_PAIRS_AT_ONCE = 96


class Ask(NamedTuple):
    """A question to the look-ahead: from this row, beginning with this token."""

    row: int
    trie: Trie
    first: int


class Promise(NamedTuple):
    """Answer: R of every node below the first token, by node index.

    The mass of these events has been counted and removed; whoever draws into the branch goes on
    with what is left.
    """

    trie: Trie
    reach: dict[int, float]


NOTHING = Promise(Trie(()), {})


def look_ahead(
    batch: Batch,
    asks: Sequence[Ask],
    ends_word: torch.Tensor | None,
    distribution: Distribution,
    tokens_left: int,
) -> list[Promise]:
    """Compute R for each ask.

    Args:
        batch: the rows; stays as it is.
        asks: what to look at.
        ends_word: float32 [V], 1 for tokens that end a word; None where a hit needs none.
        distribution: gives probabilities at the sampling temperature.
        tokens_left: tokens that may still be drawn, the first one included. A spelling that fills
            them is a hit without an end of word, as the text ends there.

    Returns:
        one promise per ask.
    """
    pairs = [
        (number, leaf)
        for number, ask in enumerate(asks)
        for leaf in ask.trie.leaves(ask.first, tokens_left)
    ]
    facts: list[dict[tuple[int, ...], _Seen]] = [{} for _ in asks]
    order = sorted(range(len(pairs)), key=lambda index: (len(pairs[index][1]), index))
    for start in range(0, len(order), _PAIRS_AT_ONCE):
        some = [pairs[index] for index in order[start : start + _PAIRS_AT_ONCE]]
        _run(batch, asks, some, facts, ends_word, distribution)
    return [
        Promise(ask.trie, _reach(ask, seen, tokens_left))
        for ask, seen in zip(asks, facts, strict=True)
    ]


class _Seen(NamedTuple):
    """What the model says behind a prefix: mass of word ends, and of each child of its node."""

    ends: float
    children: dict[int, float]


@torch.inference_mode()
def _run(
    batch: Batch,
    asks: Sequence[Ask],
    pairs: Sequence[tuple[int, tuple[int, ...]]],
    facts: list[dict[tuple[int, ...], _Seen]],
    ends_word: torch.Tensor | None,
    distribution: Distribution,
) -> None:
    branch = batch.fork([asks[number].row for number, _ in pairs])
    p_PLV = distribution(branch.extend([leaf for _, leaf in pairs]))
    ends_PL = (
        torch.ones(p_PLV.shape[:2]) if ends_word is None else (p_PLV @ ends_word).clamp(0, 1)
    ).tolist()
    wanted = [
        (place, depth, token)
        for place, (number, leaf) in enumerate(pairs)
        for depth, node in enumerate(_nodes(asks[number].trie, leaf))
        for token in asks[number].trie.nodes[node].children
    ]
    at = torch.tensor(wanted, dtype=torch.long, device=p_PLV.device).reshape(-1, 3).unbind(1)
    masses = dict(zip(wanted, p_PLV[at].tolist(), strict=True))
    for place, (number, leaf) in enumerate(pairs):
        trie = asks[number].trie
        for depth, node in enumerate(_nodes(trie, leaf)):
            children = {
                child: masses[place, depth, token]
                for token, child in trie.nodes[node].children.items()
            }
            facts[number].setdefault(leaf[: depth + 1], _Seen(ends_PL[place][depth], children))


def _nodes(trie: Trie, path: tuple[int, ...]) -> list[int]:
    """Return the nodes that a spelling passes, without the root."""
    nodes = [0]
    for token in path:
        nodes.append(trie.nodes[nodes[-1]].children[token])
    return nodes[1:]


def _reach(ask: Ask, seen: dict[tuple[int, ...], _Seen], tokens_left: int) -> dict[int, float]:
    """Sum up from the leaves; children have larger indices than their parents."""
    reach: dict[int, float] = {}
    for index in range(len(ask.trie.nodes) - 1, 0, -1):
        node = ask.trie.nodes[index]
        if node.path not in seen:
            continue
        here = seen[node.path]
        total = 0.0
        if node.terminal:
            total += 1.0 if len(node.path) == tokens_left else here.ends
        total += sum(p * reach.get(child, 0.0) for child, p in here.children.items())
        reach[index] = min(1.0, total)
    return reach
