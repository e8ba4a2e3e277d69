"""Numbers for the cards of checkpoints, out of the evaluations that the workflows make anyway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from sixtyfold.core.accuracy import accuracy
from sixtyfold.core.facts import DOMAINS
from sixtyfold.core.model_card import Number, put_numbers
from sixtyfold.core.stage import Finished
from sixtyfold.workflows.console import DOMAIN_WORDS, LABELS, paired_words, transition_words

_OWN = "this model"
_BEFORE = {"tuned": "the best-prompted base", "restored": "the tuned model"}
_MACRO = "Percent of questions answered right, mean over relations."
_ON_DEV = "The model was chosen on these facts, so its number here is too good."


def put_run_numbers(run: Path, summary: Mapping[str, Any]) -> None:
    """Put the test numbers of a run into the cards of its tuned and restored checkpoints.

    Args:
        run: directory of `sixtyfold run`.
        summary: its `summary.json`.
    """
    moved = {"tuned": "base_to_tuned", "restored": "tuned_to_restored"}
    for name, transition in moved.items():
        if summary[name] is None:
            continue
        words = [f"{_MACRO} Nothing was chosen on test."]
        counts = summary["transitions"][transition]
        if counts is not None:
            words.append(f"Test facts from {_BEFORE[name]} to this: {transition_words(counts)}.")
        if name == "tuned" and summary["gain_over_best_prompt"] is not None:
            gains = paired_words(summary["gain_over_best_prompt"])
            words.append(f"Over the best-prompted base, paired, in points: {gains}.")
        numbers = list(_of_models(summary, name))
        put_numbers(run / name, numbers, words, _OWN)


def put_search_numbers(result: Finished, checkpoint: Path) -> None:
    """Put what a search measured of its choice into the card of the restored checkpoint."""
    chosen = result.json("chosen")
    if "test" not in result.manifest["rows"]:
        own = Number(_OWN, "judged", "dev", *(chosen[k] for k in ("accuracy", "low", "high", "n")))
        put_numbers(checkpoint, [own], [_MACRO, _ON_DEV], _OWN)
        return
    shown = {"tuned": "tuned", "base": "base", chosen["family"]: _OWN}
    numbers = [
        Number(
            shown[row["arm"]],
            DOMAIN_WORDS.get(row["domain"], row["domain"]),
            "test",
            *(row[name] for name in ("accuracy", "low", "high", "n")),
        )
        for row in result.table("test").iter_rows(named=True)
        if row["arm"] in shown and row["accuracy"] is not None
    ]
    words = [_MACRO, "The repair was chosen on dev and scored once on test."]
    put_numbers(checkpoint, numbers, words, _OWN)


def put_chosen_numbers(checkpoint: Path, answers: pl.DataFrame) -> None:
    """Put the answers of a training that was chosen among several into its card.

    Args:
        checkpoint: of the chosen training.
        answers: of that training alone, to dev and maybe test facts.
    """
    numbers = []
    for split in ("dev", "test"):
        for domain in DOMAINS:
            of = (pl.col("split") == split) & (pl.col("domain") == domain)
            found = accuracy(answers.filter(of)).macro_relation
            if found is not None:
                numbers.append(Number(_OWN, DOMAIN_WORDS[domain], split, *found))
    put_numbers(checkpoint, numbers, [_MACRO, _ON_DEV], _OWN)


def _of_models(summary: Mapping[str, Any], own: str) -> Iterator[Number]:
    """Give the test numbers of all models of a run, this one first."""
    for key in (own, *(key for key in LABELS if key != own)):
        for domain in DOMAINS:
            found = (summary[key] or {}).get(domain, {}).get("macro_relation")
            if found is not None:
                label = _OWN if key == own else LABELS[key]
                yield Number(label, DOMAIN_WORDS[domain], "test", **found)
