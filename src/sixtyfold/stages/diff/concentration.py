"""How much of the change the most changed weights hold, and where those weights are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from sixtyfold.core.bit_histogram import Masses
from sixtyfold.stages.diff.changes import BF16_MEASURE, KINDS, MEASURES, TensorChanges
from sixtyfold.stages.diff.groups import NO_LAYER
from sixtyfold.stages.diff.papers_rounding import printed_share
from sixtyfold.stages.diff.profile import Profile

PROFILES_SCHEMA = pl.Schema(
    {
        "split": pl.String(),
        "group": pl.String(),
        "measure": pl.String(),
        "kind": pl.String(),
        "buckets": pl.List(pl.UInt16()),
        "numbers": pl.List(pl.Float64()),
        "masses": pl.List(pl.Float64()),
    }
)


class Key(NamedTuple):
    """What a profile is of."""

    split: str
    """region, layer, block or tensor."""
    group: str
    """Which of them, by number or name; `all` of the region."""
    measure: str
    kind: str


#: The profile from which the top of the whole region is read.
WHOLE = Key("region", "all", "relative", "update")


class Filled(NamedTuple):
    """The buckets of a profile that hold anything."""

    buckets: npt.NDArray[np.uint16]
    numbers: Masses
    masses: Masses

    @classmethod
    def of(cls, profile: Profile) -> Filled:
        """Leave the empty buckets out."""
        filled = np.flatnonzero(profile.numbers)
        return cls(filled.astype(np.uint16), profile.numbers[filled], profile.masses[filled])

    def profile(self) -> Profile:
        """Return the profile with its empty buckets."""
        whole = Profile.empty()
        buckets = self.buckets.astype(np.intp)
        whole.numbers[buckets], whole.masses[buckets] = self.numbers, self.masses
        return whole


class Gathered:
    """Profiles summed over the region, its layers and its block types.

    Of a single tensor only the relative changes are kept, from which `places` tells where the top
    lies.
    """

    def __init__(self) -> None:
        self._sums: dict[Key, Profile] = {}
        self._tensors: dict[Key, Filled] = {}

    def add(self, found: TensorChanges) -> None:
        """Take up what was measured on one tensor."""
        row = found.row
        layer = NO_LAYER if row["layer"] is None else str(row["layer"])
        groups = [("region", "all"), ("layer", layer), ("block", row["block"])]
        for (measure, kind), profile in found.profiles.items():
            for split, group in groups:
                key = Key(split, group, measure, kind)
                if key in self._sums:
                    self._sums[key].add(profile)
                else:
                    self._sums[key] = profile.copy()
            if (measure, kind) == (WHOLE.measure, WHOLE.kind):
                key = Key("tensor", row["tensor"], measure, kind)
                self._tensors[key] = Filled.of(profile)

    def table(self) -> pl.DataFrame:
        """Return one row per profile, columns of `PROFILES_SCHEMA`, sorted by key."""
        found = self._tensors | {key: Filled.of(each) for key, each in self._sums.items()}
        rows = [(*key, *found[key]) for key in sorted(found)]
        columns = dict(zip(PROFILES_SCHEMA, zip(*rows, strict=True), strict=True)) if rows else {}
        return pl.DataFrame(
            [pl.Series(name, columns.get(name, ()), kind) for name, kind in PROFILES_SCHEMA.items()]
        )


class Profiles:
    """The tables of several `Gathered` added up; keeps filled buckets only."""

    def __init__(self) -> None:
        self._kept: dict[Key, Filled] = {}

    def add(self, table: pl.DataFrame) -> None:
        """Take up what `Gathered.table` returned."""
        for place, names in enumerate(table.select(Key._fields).iter_rows()):
            # copies: a view of one row would keep the whole table in memory
            columns = (table[name][place].to_numpy().copy() for name in Filled._fields)
            key, more = Key(*names), Filled(*columns)
            known = self._kept.get(key)
            self._kept[key] = (
                more if known is None else Filled.of(known.profile().plus(more.profile()))
            )

    def __getitem__(self, key: Key) -> Profile:
        """Return one profile, empty where nothing was added to it."""
        return self._kept[key].profile() if key in self._kept else Profile.empty()

    def groups(self, split: str) -> list[str]:
        """Return the groups of a split, numbers in their order."""
        found = {key.group for key in self._kept if key.split == split}
        return sorted(found, key=lambda name: (int(name) if name.isdecimal() else -1, name))

    def measures(self) -> list[str]:
        """Return the measures in the order of `MEASURES`."""
        found = {key.measure for key in self._kept}
        return [measure for measure in (*MEASURES, BF16_MEASURE) if measure in found]


def concentration(profiles: Profiles, tops: Sequence[float], splits: Sequence[str]) -> pl.DataFrame:
    """Return the share of each measure's sum that the top weights hold, next to the nulls.

    Args:
        profiles: of everything in the region.
        tops: percentages.
        splits: region, layer, block. The top is ranked inside each group.

    Returns:
        one row per group, measure and percentage: `split`, `group`, `measure`, `top_percent`,
        `share`, `null_permutation`, `null_gaussian` (0..1, null where nothing changed), `weights`.
    """
    rows: list[dict[str, str | float | None]] = []
    for split in splits:
        for group in profiles.groups(split):
            for measure in profiles.measures():
                found = {kind: profiles[Key(split, group, measure, kind)] for kind in KINDS}
                rows.extend(_shares(split, group, measure, found, tops))
    floats = dict.fromkeys(("share", "null_permutation", "null_gaussian"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides=floats)


def _shares(
    split: str, group: str, measure: str, found: dict[str, Profile], tops: Sequence[float]
) -> list[dict[str, str | float | None]]:
    share = printed_share if measure == BF16_MEASURE else Profile.share_of_top
    weights = round(float(found["update"].numbers.sum()))
    return [
        {
            "split": split,
            "group": group,
            "measure": measure,
            "top_percent": top,
            "share": share(found["update"], top),
            "null_permutation": share(found["permutation"], top),
            "null_gaussian": share(found["gaussian"], top),
            "weights": weights,
        }
        for top in tops
    ]


def places(profiles: Profiles, changes: pl.DataFrame, tops: Sequence[float]) -> pl.DataFrame:
    """Return where the weights of largest relative change lie.

    Args:
        profiles: the same.
        changes: the table `weight_changes`.
        tops: percentages.

    Returns:
        one row per percentage, layer and block: `numel`, `top_weights` (the bucket in which the top
        ends, under one percent wide, is dealt out in proportion), `share_of_top` (null where the
        percentage is less than half a weight), `share_of_region`. `places_by` sums it as arXiv
        2509.16596, tables 9 and 10, do.
    """
    spots = changes.filter("in_region").select("tensor", "layer", "block", "numel").sort("tensor")
    numbers = [
        profiles[WHOLE._replace(split="tensor", group=name)].numbers for name in spots["tensor"]
    ]
    whole, region = profiles[WHOLE], spots["numel"].sum()
    frames = []
    for top in tops:
        bucket, inside = whole.boundary(top)
        part = inside / float(whole.numbers[bucket]) if inside else 0.0
        taken = [float(each[bucket + 1 :].sum() + part * each[bucket]) for each in numbers]
        frames.append(
            spots.with_columns(top_weights=pl.Series(taken, dtype=pl.Float64))
            .group_by("layer", "block", maintain_order=True)
            .agg(pl.col("numel").sum(), pl.col("top_weights").sum())
            .with_columns(
                top_percent=pl.lit(top),
                share_of_top=_share_of(pl.col("top_weights"), float(sum(taken))),
                share_of_region=pl.col("numel") / region,
            )
        )
    columns = ["top_percent", "layer", "block", "numel", "top_weights"]
    return pl.concat(frames).select(*columns, "share_of_top", "share_of_region").sort(columns[:3])


def _share_of(part: pl.Expr, whole: float) -> pl.Expr:
    return part / whole if whole else pl.lit(None, dtype=pl.Float64)


def places_by(table: pl.DataFrame, by: str) -> pl.DataFrame:
    """Sum `places` by `layer` or by `block`; `share_restored` is the share of its own weights."""
    return (
        table.group_by("top_percent", by, maintain_order=True)
        .agg(
            pl.col("numel", "top_weights", "share_of_region").sum(),
            share_of_top=pl.when(pl.col("share_of_top").is_not_null().all()).then(
                pl.col("share_of_top").sum()
            ),
        )
        .with_columns(share_restored=pl.col("top_weights") / pl.col("numel"))
        .sort("top_percent", by)
    )
