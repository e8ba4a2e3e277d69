"""How much of the change the most changed weights hold, and where those weights are."""

from __future__ import annotations

import numpy as np
import polars as pl

from sixtyfold.core.bit_histogram import sum_buckets
from sixtyfold.stages.diff.changes import KINDS, MEASURES, TensorChanges
from sixtyfold.stages.diff.profile import NON_NEGATIVE, Profile

#: Percentages of arXiv 2509.16596, table 3.
TOPS = (1.0, 3.0, 5.0, 10.0, 20.0, 40.0, 60.0)

PROFILES_SCHEMA = pl.Schema(
    {
        "tensor": pl.String(),
        "measure": pl.String(),
        "kind": pl.String(),
        "bucket": pl.UInt16(),
        "number": pl.Float64(),
        "mass": pl.Float64(),
    }
)


class Gathered:
    """The profiles of several tensors: summed, and each tensor's own relative changes."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], Profile] = {}
        self._frames = [pl.DataFrame(schema=PROFILES_SCHEMA)]

    def add(self, found: TensorChanges) -> None:
        """Take up what was measured on one tensor."""
        for key, profile in found.profiles.items():
            self._sums[key] = self._sums[key].plus(profile) if key in self._sums else profile
            if key == ("relative", "update"):
                self._frames.append(_filled(found.row["tensor"], key, profile))

    def table(self) -> pl.DataFrame:
        """Return the filled buckets, columns of `PROFILES_SCHEMA`.

        Returns:
            rows with no tensor name: the sums; rows with one: the tensor's own relative changes,
            from which `places` tells where the top lies.
        """
        sums = [_filled(None, key, profile) for key, profile in self._sums.items()]
        return pl.concat([*self._frames, *sums])


def _filled(tensor: str | None, key: tuple[str, str], profile: Profile) -> pl.DataFrame:
    filled = np.flatnonzero(profile.numbers)
    columns = {
        "tensor": [tensor] * filled.size,
        "measure": [key[0]] * filled.size,
        "kind": [key[1]] * filled.size,
        "bucket": filled.astype(np.uint16),
        "number": profile.numbers[filled],
        "mass": profile.masses[filled],
    }
    return pl.DataFrame(columns, PROFILES_SCHEMA)


def concentration(profiles: pl.DataFrame) -> pl.DataFrame:
    """Return the share of each measure's sum that the top weights hold, next to the nulls.

    Args:
        profiles: the tables of `Gathered` that cover the region.

    Returns:
        one row per measure and percentage: `measure`, `top_percent`, `share`,
        `null_permutation`, `null_gaussian` (0..1, null where nothing changed), `weights`.
    """
    rows: list[dict[str, str | float | None]] = []
    for measure in MEASURES:
        found = {kind: whole_profile(profiles, measure, kind) for kind in KINDS}
        weights = round(float(found["update"].numbers.sum()))
        rows.extend(
            {
                "measure": measure,
                "top_percent": top,
                "share": found["update"].share_of_top(top),
                "null_permutation": found["permutation"].share_of_top(top),
                "null_gaussian": found["gaussian"].share_of_top(top),
                "weights": weights,
            }
            for top in TOPS
        )
    floats = dict.fromkeys(("share", "null_permutation", "null_gaussian"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides=floats).sort("measure", "top_percent")


def whole_profile(profiles: pl.DataFrame, measure: str, kind: str) -> Profile:
    """Return the profile of all tensors together."""
    rows = profiles.filter(
        pl.col("tensor").is_null(), pl.col("measure") == measure, pl.col("kind") == kind
    )
    buckets = rows["bucket"].to_numpy().astype(np.intp)
    columns = (rows[name].to_numpy() for name in ("number", "mass"))
    return Profile(*(sum_buckets(buckets, column, NON_NEGATIVE) for column in columns))


def places(profiles: pl.DataFrame, changes: pl.DataFrame) -> pl.DataFrame:
    """Return where the weights of largest relative change lie (arXiv 2509.16596, tables 9, 10).

    Args:
        profiles: the same.
        changes: the table `weight_changes`.

    Returns:
        one row per percentage, layer and block: `top_weights` (the bucket in which the top ends,
        under one percent wide, is dealt out in proportion), `share_of_top`, `share_of_region`.
    """
    rows = profiles.filter(pl.col("tensor").is_not_null())
    whole = whole_profile(profiles, "relative", "update")
    spots = changes.filter("in_region").select("tensor", "layer", "block", "numel")
    region = spots["numel"].sum()
    frames = []
    for top in TOPS:
        bucket, inside = whole.boundary(top)
        part = inside / float(whole.numbers[bucket]) if inside else 0.0
        taken = (
            pl.when(pl.col("bucket") > bucket)
            .then(pl.col("number"))
            .when(pl.col("bucket") == bucket)
            .then(pl.col("number") * part)
            .otherwise(0.0)
        )
        per_tensor = rows.group_by("tensor").agg(top_weights=taken.sort_by("bucket").sum())
        joined = spots.join(per_tensor, on="tensor", how="left", maintain_order="left")
        frames.append(
            joined.sort("tensor")
            .group_by("layer", "block", maintain_order=True)
            .agg(pl.col("numel").sum(), pl.col("top_weights").sum())
            .with_columns(
                top_percent=pl.lit(top),
                share_of_top=pl.col("top_weights") / pl.col("top_weights").sum(),
                share_of_region=pl.col("numel") / region,
            )
        )
    columns = ["top_percent", "layer", "block", "numel", "top_weights"]
    return pl.concat(frames).select(*columns, "share_of_top", "share_of_region").sort(columns[:3])
