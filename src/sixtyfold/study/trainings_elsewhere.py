"""What trainings of other studies of a store took, for the plan of one that has none yet."""

from __future__ import annotations

import contextlib
import math
from typing import NamedTuple

import polars as pl

from sixtyfold.core.errors import Corrupted, IncompleteInput
from sixtyfold.study.any_store import Store
from sixtyfold.study.jobs import Job


class _Training(NamedTuple):
    model: str
    lora_rank: int | None
    steps: float
    seconds: float


class TrainingsElsewhere:
    """Seconds of all recorded trainings of a store, by model, LoRA rank and steps."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.found: list[_Training] | None = None

    def seconds(self, model: str, lora_rank: int | None, steps: int) -> float | None:
        """Return what a training would take, from the one that is nearest in steps.

        Args:
            model: the untuned model, as its study names it.
            lora_rank: of the training, or None.
            steps: its optimiser steps.

        Returns:
            seconds, in proportion to the steps; None where the store holds no such training.
        """
        if self.found is None:
            self.found = self._look()
        like = [each for each in self.found if (each.model, each.lora_rank) == (model, lora_rank)]
        if not like or steps < 1:
            return None
        nearest = min(like, key=lambda each: abs(math.log(each.steps / steps)))
        return nearest.seconds * steps / nearest.steps

    def _look(self) -> list[_Training]:
        records = {}
        for key in self.store.recorded():
            with contextlib.suppress(Corrupted, IncompleteInput):
                record = self.store.record(key)
                if record.stage == "tune":
                    records[key] = record
        numbers = self.store.numbers(Job(key, "tune", {}, {}) for key in records)
        steps = numbers.filter((pl.col("measure") == "steps") & (pl.col("value") > 0))
        return [
            _Training(
                str(records[key].options.get("model")),
                records[key].options.get("lora_rank"),
                value,
                records[key].seconds,
            )
            for key, value in steps.select("key", "value").iter_rows()
        ]
