"""What tuning changed in the weights, as tables and lines for people."""

from __future__ import annotations

from typing import Any

import polars as pl

from sixtyfold.stages.diff.changes import BF16_MEASURE
from sixtyfold.stages.diff.concentration import places_by
from sixtyfold.stages.diff.spectrum import RANKS

FOOT = (
    "share: of the change that the top weights hold. shuffled: the same with the update in random "
    "order within each tensor, Gaussian: with normal weights and updates. Relative change divides "
    "by small weights and concentrates whatever was learned: only what stands above these is "
    "about where tuning acted"
)
OVERLAP_FOOT = (
    "shuffled: the same with the other update in random order within each tensor. By relative "
    "change even unrelated updates share their top: both divide by the same base"
)
#: Share of Σr from which the weights whose base is zero or nearly so are worth a second figure.
_VISIBLE = 0.001
#: Percentage at which places are shown, where it was asked for; else the nearest one.
_SHOWN_TOP = 10.0


def sums_table(groups: pl.DataFrame, split: str) -> pl.DataFrame:
    """Return share changed, mean change and share of ΣΔ² by group of a split.

    Args:
        groups: the table `weight_groups`.
        split: model, region, layer or block.
    """
    rows = groups.filter(pl.col("split") == split)
    return pl.DataFrame(
        {
            split: rows["group"],
            "weights": [f"{each:,}" for each in rows["numel"]],
            "changed": _percents(rows["share_changed"]),
            "mean |Δ|": _small(rows["mean_abs"]),
            "‖Δ‖/‖base‖": _percents(rows["relative_norm"], 3),
            "mean r": _small(rows["mean_relative"]),
            "of ΣΔ²": _percents(rows["share_of_squared"]),
        }
    )


def concentration_table(concentration: pl.DataFrame, changes: dict[str, Any]) -> pl.DataFrame:
    """Return the shares of the top weights beside their nulls, in percent.

    Args:
        concentration: the table of this name.
        changes: `changes.json`; where base weights near zero hold nothing of Σr the second figure
            says nothing new.
    """
    zeros = _share_near_zero(changes) > _VISIBLE
    shown = ["relative", *(["nonzero-base relative"] if zeros else []), "absolute", BF16_MEASURE]
    rows = concentration.filter(pl.col("measure").is_in(shown))
    # Shuffling leaves the sizes of the changes as they are.
    by_size = pl.col("measure") == "absolute"
    rows = rows.with_columns(null_permutation=pl.when(~by_size).then("null_permutation"))
    return pl.DataFrame(
        {
            "ranked by": [NAMES[each] for each in rows["measure"]],
            "top": [f"{each:g}%" for each in rows["top_percent"]],
            "share": _percents(rows["share"], 2),
            "shuffled": _percents(rows["null_permutation"], 2),
            "Gaussian": _percents(rows["null_gaussian"], 2),
        }
    )


NAMES = {
    "relative": "r = |Δ|/|base|",
    "nonzero-base relative": "r, |base| ≥ 1e-6",
    "absolute": "|Δ|",
    BF16_MEASURE: "r, papers' rounding",
}


def places_table(places: pl.DataFrame, by: str) -> pl.DataFrame:
    """Return where the top weights by r lie, by `layer` or `block`, at the shown percentage.

    Args:
        places: the table of this name.
        by: `layer` or `block`.
    """
    top = shown_top(places)
    rows = places_by(places, by).filter(pl.col("top_percent") == top)
    if by == "block":
        rows = rows.sort("share_of_top", descending=True)
    names = ["outside" if each is None else str(each) for each in rows[by]]
    return pl.DataFrame(
        {
            by: names,
            f"of the top {top:g}%": _percents(rows["share_of_top"], 2),
            "of all weights": _percents(rows["share_of_region"], 2),
            "of its own weights": _percents(rows["share_restored"], 2),
        }
    )


def layers_line(places: pl.DataFrame) -> str:
    """Say how evenly the top weights by r are spread over the layers.

    Args:
        places: the table `places`.
    """
    top = shown_top(places)
    rows = places_by(places, "layer").filter(
        pl.col("top_percent") == top, pl.col("layer").is_not_null()
    )
    if rows.is_empty():
        return f"none of the top {top:g}% lies inside a layer"
    if rows["share_of_top"].has_nulls():
        return f"top {top:g}% of the region is less than half a weight"
    ordered = rows.sort("share_of_top", "layer").to_dicts()
    least, most = ordered[0], ordered[-1]
    return (
        f"top {top:g}% by r over {rows.height} layers: {_one(least['share_of_top'], 2)} (layer "
        f"{least['layer']}) to {_one(most['share_of_top'], 2)} (layer {most['layer']})"
    )


def shown_top(places: pl.DataFrame) -> float:
    """Return the percentage nearest to the one of the papers' tables 9 and 10 shown here."""
    return float(min(places["top_percent"].unique().sort(), key=lambda top: abs(top - _SHOWN_TOP)))


def spectrum_table(spectrum: pl.DataFrame) -> pl.DataFrame:
    """Return median stable rank and shares of low-rank parts by block type, beside chance.

    Args:
        spectrum: the table of this name.
    """
    rows = []
    for (block,), part in spectrum.sort("block").group_by("block", maintain_order=True):
        row = {
            "block": block,
            "matrices": part.height,
            "stable rank": _median(part["stable_rank"], "{:.1f}", 1),
            "by chance": _median(part["stable_rank_chance"], "{:.0f}", 1),
        }
        for rank in RANKS[::2]:
            share = _median(part[f"share_{rank}"], "{:.1f}%", 100)
            chance = _median(part[f"chance_{rank}"], "{:.1f}%", 100)
            row[f"rank {rank} (chance)"] = f"{share} ({chance})"
        rows.append(row)
    return pl.DataFrame(rows)


def spectrum_line(spectrum: pl.DataFrame, no_matrices: int) -> str:
    """Say how the spectrum is to be read and how exact it is.

    Args:
        spectrum: the table of this name.
        no_matrices: tensors of the region without a spectrum.
    """
    error = float(spectrum["error"].to_numpy().max(initial=0.0))
    how = "all singular values found"
    if spectrum.is_empty():
        return f"the region has no matrix: {no_matrices} tensors left out of the spectrum"
    if error:
        how = f"of large matrices the largest found; a share may be too low by {100 * error:.2f}%"
    left = f"; {no_matrices} tensors that are no matrices left out" if no_matrices else ""
    return (
        "medians over matrices: stable rank ΣΔ²/σ1², share of ΣΔ² that a part of this rank "
        f"explains; chance: independent entries; {how}{left}"
    )


def overlap_table(overlap: pl.DataFrame) -> pl.DataFrame:
    """Return what the tops of two updates share, beside the same after shuffling one of them.

    Args:
        overlap: the table of this name.
    """
    columns: dict[str, Any] = {
        "ranked by": [NAMES[each] for each in overlap["measure"]],
        "top": [f"{each:g}%" for each in overlap["top_percent"]],
    }
    named = {"share_common": "in both tops", "jaccard": "Jaccard", "sign_agreement": "same sign"}
    for name, shown in named.items():
        columns[shown] = _percents(overlap[name])
        columns[f"{shown}, shuffled"] = _percents(overlap[f"null_{name}"])
    return pl.DataFrame(columns)


def changed_line(changes: dict[str, Any]) -> str:
    """Say how much of the region moved.

    Args:
        changes: `changes.json`.
    """
    relative = changes["update_norm"] / changes["base_norm"] if changes["base_norm"] else None
    size = "" if relative is None else f", {100 * relative:.2f}% of the base's"
    return (
        f"{changes['changed']:,} of {changes['weights']:,} weights of the region changed "
        f"({100 * changes['share_changed']:.1f}%); norm of the update "
        f"{changes['update_norm']:.4g}{size}"
    )


def notes(changes: dict[str, Any], tops: pl.Series) -> list[str]:
    """Return what a reader of the tables must know about this pair.

    Args:
        changes: `changes.json`.
        tops: percentages of the concentration.
    """
    lines = []
    near_zero = _share_near_zero(changes)
    if near_zero > _VISIBLE:
        lines.append(
            f"- {changes['near_zero_base']:,} base weights are 0 or nearly so and hold "
            f"{100 * near_zero:.1f}% of Σr: read the second figure too, without |base| < 1e-6"
        )
    everything = [top for top in tops.unique().sort() if top / 100 >= changes["share_changed"] > 0]
    if everything:
        lines.append(
            f"- only {100 * changes['share_changed']:.1f}% of the weights changed: restoring the "
            f"top {everything[0]:g}% undoes the whole update"
        )
    if changes["inexact"]:
        lines.append(
            f"- {changes['inexact']:,} base weights are not exact in the tuned model's number "
            "format; updates are counted from their rounded values"
        )
    if changes["added_rows"]:
        lines.append(f"- {changes['added_rows']:,} added embedding rows are in no figure")
    return lines


def _share_near_zero(changes: dict[str, Any]) -> float:
    """Return the share of Σr that weights with |base| < 1e-6 hold."""
    whole = changes["sum_relative"]
    return float(changes["sum_relative_near_zero"] / whole) if whole else 0.0


def overlap_line(totals: dict[str, Any]) -> str:
    """Say how alike two updates are over all weights.

    Args:
        totals: `overlap.json`.
    """
    return (
        f"cosine of the two updates {_number(totals['cosine'])} (shuffled "
        f"{_number(totals['null_cosine'])}); {totals['changed_both']:,} weights changed in both, "
        f"same sign {_one(totals['sign_agreement'], 1)} (shuffled "
        f"{_one(totals['null_sign_agreement'], 1)})"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _one(share: float | None, digits: int) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f}%"


def _percents(shares: pl.Series, digits: int = 1) -> list[str]:
    return ["–" if share is None else _one(share, digits) for share in shares]


def _small(values: pl.Series) -> list[str]:
    return [f"{value:.3g}" for value in values]


def _median(values: pl.Series, form: str, factor: float) -> str:
    found = values.drop_nulls()
    if found.is_empty():
        return "–"
    middle = float(found.sort().to_numpy()[[(found.len() - 1) // 2, found.len() // 2]].mean())
    return form.format(factor * middle)
