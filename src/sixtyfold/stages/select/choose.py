"""Choose facts: balanced, seeded, nested.

All facts of the pool are put in one order; a training set is a beginning of it. So every smaller
set is part of every larger one, and row order decides nothing. The order goes in rounds: one fact
from each relation in turn, each relation in its own seeded order (or in rounds over its answers and
answer lengths). With shares of levels each turn takes a level that is behind its share, in the
whole set and in that relation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import normalise, seeded_order
from sixtyfold.stages.select.mixture import Mixture
from sixtyfold.stages.select.spec import SelectSpec

_LATE = 0.6  # keeps every level within one fact of its share (simulated over random shares)
_ALL = ""  # the one group there is where relations are not balanced


class Shortfall(NamedTuple):
    """A relation or level with fewer facts in a set than its share."""

    what: str
    wanted: float
    taken: int


def in_training_order(
    pool: pl.DataFrame, spec: SelectSpec, seed: int, relations: Sequence[str]
) -> pl.DataFrame:
    """Return the facts of the pool in the order in which training sets take them.

    Args:
        pool: candidate facts of the allowed levels: fact_id, relation, level, objects.
        spec: what to balance over, and shares of levels.
        seed: decides the order; row order does not.
        relations: the relations to balance over; one of them may have no fact in the pool.
    """
    rows = _ranked(pool, seed, spec)
    turn = {relations[place]: turn for turn, place in enumerate(seeded_order(relations, seed))}
    if spec.mixture.shares is not None:
        taken = _by_shares(rows, spec.mixture, sorted(turn, key=turn.__getitem__), spec)
        return pool[taken]
    if not spec.balanced("relations"):
        return pool[rows.sort("position")["row"]]
    rounds = rows.with_columns(
        round=pl.int_range(pl.len()).over("relation", order_by="position"),
        turn=pl.col("relation").replace_strict(turn, return_dtype=pl.Int32),
    )
    return pool[rounds.sort("round", "turn")["row"]]


def _ranked(pool: pl.DataFrame, seed: int, spec: SelectSpec) -> pl.DataFrame:
    """Return row, relation, level and `position`: the order inside whatever group takes turns.

    The position of a fact among all is its seeded rank; with balanced answers or lengths, facts
    that repeat an answer (a length) come in later rounds.
    """
    order = seeded_order(pool["fact_id"].to_list(), seed)
    group = ["relation", "level"] if spec.mixture.shares is not None else ["relation"]
    rows = pl.DataFrame(
        {
            "row": order,
            "relation": pool["relation"].gather(order)
            if spec.balanced("relations")
            else pl.repeat(_ALL, len(order), eager=True, dtype=pl.String),
            "level": pool["level"].gather(order),
            "position": pl.int_range(len(order), eager=True),
        }
    )
    if spec.balanced("answers") or spec.balanced("length"):
        firsts = pool["objects"].list.first().gather(order)
        rows = rows.with_columns(
            answers=pl.Series([normalise(each) for each in firsts], dtype=pl.String),
            length=answer_length(firsts),
        )
    keys = [name for name in ("length", "answers") if spec.balanced(name)]
    # From the innermost rounds to the outermost: over answers inside each length, then lengths.
    while keys:
        again = pl.int_range(pl.len()).over([*group, *keys], order_by="position")
        rows = rows.sort(again, "position").with_columns(position=pl.int_range(pl.len()))
        keys.pop()
    return rows


def answer_length(answers: pl.Series) -> pl.Series:
    """Return the number of words of each answer, 4 standing for more."""
    return answers.str.split(" ").list.len().clip(upper_bound=4).cast(pl.Int8)


def _by_shares(
    rows: pl.DataFrame, mixture: Mixture, turns: Sequence[str], spec: SelectSpec
) -> list[int]:
    """Return rows so that every beginning keeps both the rounds and the shares of levels.

    Each step takes from the relation with the fewest facts so far (of equal ones, the first in
    turn), and from it the level that `_next_level` says.
    """
    relations = turns if spec.balanced("relations") else (_ALL,)
    waiting: dict[str, dict[int, deque[int]]] = {name: {} for name in relations}
    ordered = rows.sort("position").select("row", "relation", "level")
    for row, relation, level in ordered.iter_rows():
        waiting[relation].setdefault(level, deque()).append(row)
    shares = dict(zip(mixture.levels, mixture.shares or (), strict=True))
    everywhere = _Counted(shares)
    inside = {name: _Counted(shares) for name in relations}
    taken: list[int] = []
    left = [name for name in relations if waiting[name]]
    while left:
        name = min(left, key=lambda each: inside[each].total)
        level = _next_level(waiting[name], everywhere, inside[name])
        taken.append(waiting[name][level].popleft())
        everywhere.add(level)
        inside[name].add(level)
        if not waiting[name][level]:
            del waiting[name][level]
            if not waiting[name]:
                left.remove(name)
    return taken


class _Counted:
    """How many facts of each level were taken, against the shares they should have."""

    def __init__(self, shares: Mapping[int, float]) -> None:
        self.shares = shares
        self.total = 0
        self.taken = dict.fromkeys(shares, 0)

    def add(self, level: int) -> None:
        self.total += 1
        self.taken[level] += 1

    def behind(self, level: int) -> float:
        """Return by how much a level is behind its share when one more fact is taken."""
        return self.shares[level] * (self.total + 1) - self.taken[level]


def _next_level(waiting: Iterable[int], everywhere: _Counted, inside: _Counted) -> int:
    """Return the level to take from a relation.

    A level that is well behind its share comes at once, and none that has its share comes
    before its time; between those two bounds the relation's own shares decide. Without that,
    relations and levels, both taken in turn, would go in step and each relation get one level.
    """
    levels = sorted(waiting)
    if max(map(everywhere.behind, levels)) >= _LATE:
        return max(levels, key=everywhere.behind)
    due = [level for level in levels if everywhere.behind(level) > 0] or levels
    return max(due, key=lambda level: (inside.behind(level), everywhere.behind(level)))


def shortfalls(chosen: pl.DataFrame, spec: SelectSpec, relations: Sequence[str]) -> list[Shortfall]:
    """Return what a set has less of than balance and shares ask for.

    A relation is short where another has at least two facts more; a level where its count is more
    than one and a half below its share (rounding alone takes up to one).
    """
    found = []
    if spec.balanced("relations"):
        counts = {name: int((chosen["relation"] == name).sum()) for name in relations}
        most = max(counts.values())
        each = chosen.height / len(relations)
        found += [Shortfall(name, each, n) for name, n in counts.items() if n < most - 1]
    for level, share in zip(spec.mixture.levels, spec.mixture.shares or (), strict=False):
        taken = int((chosen["level"] == level).sum())
        if taken < share * chosen.height - 1.5:
            found.append(Shortfall(f"level {level}", share * chosen.height, taken))
    return found


def first(
    ordered: pl.DataFrame, size: str, spec: SelectSpec, relations: Sequence[str]
) -> pl.DataFrame:
    """Return the beginning of the order that is the set of a size.

    Args:
        ordered: what `in_training_order` returned.
        size: a number, or `all`.
        spec: what to balance over and whether to stop where something is short.
        relations: the relations to balance over.

    Raises:
        BadInput: the pool is too small, or a relation or level is short and `short` is error.
    """
    if size == "all":
        return ordered
    if int(size) > ordered.height:
        raise BadInput(
            f"--size {size} is larger than the pool of {ordered.height} facts of the allowed "
            "levels; lower it, allow more levels or probe more training facts"
        )
    chosen = ordered.head(int(size))
    short = shortfalls(chosen, spec, relations)
    if short and spec.short == "error":
        listed = ", ".join(f"{each.what} has {each.taken} of {each.wanted:.0f}" for each in short)
        raise BadInput(
            f"--size {size} over {len(relations)} relations is more than there is: {listed}; "
            "use --short fill, other --levels or a smaller --size"
        )
    return chosen
