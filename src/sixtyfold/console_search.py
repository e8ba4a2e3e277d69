"""What a person sees when `sixtyfold search` ends; with `--json`, what a script gets."""

from __future__ import annotations

from typing import Any

from sixtyfold.console import show_stage
from sixtyfold.core.stage import Finished
from sixtyfold.printing import print_frame, say
from sixtyfold.workflows.search_spec import SearchSpec


def show_search(result: Finished, spec: SearchSpec, *, silent: bool) -> dict[str, Any]:
    """Show the best of each family on dev, the test, what was chosen and what that means."""
    from sixtyfold.workflows.search_words import FOOT, arms_words, best_table, conclusions

    chosen = result.json("chosen")
    candidates, curve = result.table("candidates"), result.table("curve")
    test = result.table("test") if "test" in result.manifest["rows"] else None
    if not silent:
        print_frame(best_table(candidates, curve))
        if test is not None:
            print_frame(arms_words(test))
            say(FOOT)
        for line in conclusions(chosen, test):
            say(line)
        if spec.checkpoint:
            say(f"checkpoint: {result.path / 'restored'}")
    return {
        **show_stage(result, spec, silent=silent),
        "chosen": chosen,
        "curve": curve.to_dicts(),
        "test": None if test is None else test.to_dicts(),
    }
