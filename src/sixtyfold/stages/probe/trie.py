"""Accepted answers of a fact as a trie of tokens.

Every node reached by spelling an accepted answer is terminal: there, an end of word makes a hit.
The events "this spelling, then an end of word" of two terminal nodes must not overlap, so a
spelling that goes on from a terminal node with an end of word (" of America" after
" United States") is left out: its event is part of the shorter one's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Node(NamedTuple):
    """One prefix of accepted spellings; node 0 is the empty one."""

    path: tuple[int, ...]
    terminal: bool
    children: dict[int, int]


class Trie(NamedTuple):
    """Nodes in the order they were made: a parent comes before its children."""

    nodes: tuple[Node, ...]

    def leaves(self, first: int, longest: int) -> list[tuple[int, ...]]:
        """Return the maximal spellings of at most `longest` tokens that begin with `first`."""
        paths = [
            node.path
            for node in self.nodes
            if node.terminal and node.path[0] == first and len(node.path) <= longest
        ]
        return [
            path
            for path in paths
            if not any(other[: len(path)] == path and other != path for other in paths)
        ]


def build_trie(spellings: Iterable[Sequence[int]], ends_word: NDArray[np.bool_] | None) -> Trie:
    """Build the trie of a fact.

    Args:
        spellings: non-empty token sequences of accepted answers.
        ends_word: bool[V], tokens that end a word; None where a hit needs no end of word.

    >>> ends = np.array([False, False, False, True])
    >>> trie = build_trie([(1,), (1, 2), (1, 3)], ends)
    >>> [(node.path, node.terminal) for node in trie.nodes]
    [((), False), ((1,), True), ((1, 2), True)]
    """
    nodes: list[Node] = [Node((), False, {})]
    for spelling in sorted(set(map(tuple, spellings)), key=lambda each: (len(each), each)):
        here = 0
        for depth, token in enumerate(spelling):
            inside = nodes[here].terminal and (ends_word is None or bool(ends_word[token]))
            if inside:
                break
            if token not in nodes[here].children:
                nodes[here].children[token] = len(nodes)
                nodes.append(Node(tuple(spelling[: depth + 1]), False, {}))
            here = nodes[here].children[token]
        else:
            nodes[here] = nodes[here]._replace(terminal=True)
    return Trie(tuple(nodes))
