"""What a person sees of a diff; the rest is `console.py`'s."""

from __future__ import annotations

from typing import Any

from sixtyfold.console import show_stage
from sixtyfold.core.spec import Spec
from sixtyfold.core.stage import Finished
from sixtyfold.printing import print_frame, say

_LONG = {"weight_changes", "group_concentration", "places", "spectrum"}


def show_diff(result: Finished, spec: Spec, *, silent: bool) -> dict[str, Any]:
    """Show what changed where, how far it concentrates beside its nulls, and what was asked for."""
    tables = {name: result.table(name) for name in result.manifest["rows"] if name not in _LONG}
    totals = {"changes": result.json("changes")}
    if "overlap" in result.manifest["rows"]:
        totals["overlap"] = result.json("overlap")
    if not silent:
        _show(result, totals)
    rows = {name: table.to_dicts() for name, table in tables.items()}
    extra = {f"{name}_totals": value for name, value in totals.items()}
    return {**show_stage(result, spec, silent=silent), **rows, **extra}


def _show(result: Finished, totals: dict[str, Any]) -> None:
    from sixtyfold.stages.diff import words

    changes, shares, places = totals["changes"], *map(result.table, ("concentration", "places"))
    say(words.changed_line(changes))
    print_frame(words.sums_table(result.table("weight_groups"), "block"))
    print_frame(words.places_table(places, "block"))
    say(words.layers_line(places))
    print_frame(words.concentration_table(shares, changes))
    say(words.FOOT)
    for line in words.notes(changes, shares["top_percent"]):
        say(line)
    if "spectrum" in result.manifest["rows"]:
        spectrum = result.table("spectrum")
        if spectrum.height:
            print_frame(words.spectrum_table(spectrum))
        say(words.spectrum_line(spectrum, result.manifest["no_matrices"]))
    if "overlap" in totals:
        say(words.overlap_line(totals["overlap"]))
        print_frame(words.overlap_table(result.table("overlap")))
        say(words.OVERLAP_FOOT)
