"""The sums of `weight_changes` by layer, by block type and over the whole model."""

from __future__ import annotations

import polars as pl

#: The group of tensors outside the layers.
NO_LAYER = "none"
_ADDED = ("numel", "changed", "sum_abs", "sum_squared", "sum_relative", "sum_base_squared")


def groups(changes: pl.DataFrame) -> pl.DataFrame:
    """Add up tensors.

    Args:
        changes: the table `weight_changes`, in the order of its key.

    Returns:
        one row per group: `split` (model, region, layer, block), `group`, the sums, and from them
        `share_changed`, `mean_abs`, `rms` (root mean square of the update), `mean_relative`,
        `relative_norm` (update norm over base norm, null for a base of zeros) and
        `share_of_squared` (of the model's sum of squared updates, null where nothing changed).
        Layers and blocks count all their tensors, norms included; tensors outside the layers are
        the group `none` of the split `layer`.
    """
    named = [
        changes.with_columns(split=pl.lit("model"), group=pl.lit("all")),
        changes.filter("in_region").with_columns(split=pl.lit("region"), group=pl.lit("all")),
        changes.sort("layer", nulls_last=True, maintain_order=True).with_columns(
            split=pl.lit("layer"), group=pl.col("layer").cast(pl.String).fill_null(NO_LAYER)
        ),
        changes.sort("block", maintain_order=True).with_columns(
            split=pl.lit("block"), group=pl.col("block")
        ),
    ]
    kept = ["split", "group", *_ADDED]
    sums = [
        frame.select(kept).group_by("split", "group", maintain_order=True).agg(pl.col(_ADDED).sum())
        for frame in named
    ]
    return pl.concat(sums).with_columns(
        share_changed=pl.col("changed") / pl.col("numel"),
        mean_abs=pl.col("sum_abs") / pl.col("numel"),
        rms=(pl.col("sum_squared") / pl.col("numel")).sqrt(),
        mean_relative=pl.col("sum_relative") / pl.col("numel"),
        relative_norm=_ratio(pl.col("sum_squared"), pl.col("sum_base_squared")).sqrt(),
        share_of_squared=_ratio(pl.col("sum_squared"), pl.lit(changes["sum_squared"].sum())),
    )


def _ratio(above: pl.Expr, below: pl.Expr) -> pl.Expr:
    return pl.when(below > 0).then(above / below)
