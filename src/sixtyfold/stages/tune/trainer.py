"""TRL's trainer, with a proof of which examples reached the model in which step.

Each row of the data set carries its number. Where a batch is made, its tensors are compared with
the examples; where a step is logged, the numbers of the rows it trained on, over all processes,
are written beside its loss. They are part of the trainer's state, so a continued training has
them too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from accelerate.data_loader import SeedableRandomSampler
from datasets import Dataset
from trl import SFTTrainer

from sixtyfold.core.checkpoint_saving import told_as_disk_errors
from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.stages.tune.examples import IGNORED, Example
from sixtyfold.stages.tune.processes import Processes


class ProvingTrainer(SFTTrainer):  # type: ignore[misc]
    """An `SFTTrainer` that writes down what it trained on."""

    def __init__(
        self, examples: Sequence[Example], end: int, processes: Processes, **options: Any
    ) -> None:
        """Take what `SFTTrainer` takes, the data set excepted.

        Args:
            examples: the training examples.
            end: the id of the end token; fills up the last batch where processes share it.
            processes: those that train together.
            options: passed on; `args.remove_unused_columns` must be off.
        """
        self._examples = examples
        self._processes = processes
        self._rows: list[int] = []
        super().__init__(train_dataset=data_set(examples, end), **options)
        self.data_collator: Any = CheckedCollator(self.data_collator, examples)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:  # noqa: ARG002 - as inherited
        order = SeedableRandomSampler(range(len(self._examples)), data_seed=self.args.data_seed)
        processes = self.args.world_size
        at_once = self.args.per_device_train_batch_size * processes
        return FilledOrder(order, at_once if processes > 1 else 1)

    def get_train_dataloader(self) -> Any:
        """Return the loader; every wrapper of it passes the number of the epoch on."""
        loader = super().get_train_dataloader()
        if self.args.world_size > 1:
            shard = loader.batch_sampler
            shard.sampler = shard.batch_sampler.sampler
        return loader

    def training_step(self, model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
        """Run one part of a batch, noting its rows."""
        self._rows += inputs.pop("rows").tolist()
        return super().training_step(model, inputs, *rest, **more)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write a step's rows beside its loss.

        Raises:
            SixtyfoldError: the loss is not a number.
        """
        super().log(logs, start_time)
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):  # in every process: it is their mean
            self._processes.together(True, self._refuse_loss)
        self.state.log_history[-1]["rows"] = self._rows_of_all()
        self._rows = []

    def _refuse_loss(self) -> None:
        raise SixtyfoldError(
            f"the loss of step {self.state.global_step} is not a number; "
            "lower --learning-rate; nothing was saved"
        )

    def _rows_of_all(self) -> list[int]:
        """Return the rows of this step over all processes, without those that fill up."""
        share = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps
        mine = torch.full((share,), len(self._examples), device=self.accelerator.device)
        mine[: len(self._rows)] = torch.tensor(self._rows, dtype=torch.long, device=mine.device)
        every = self.accelerator.gather(mine).tolist()
        return sorted(row for row in every if row < len(self._examples))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with told_as_disk_errors(self.args.output_dir):
            super()._save_checkpoint(model, trial)


class FilledOrder(torch.utils.data.Sampler[int]):  # type: ignore[misc]
    """An order of rows, filled up to a multiple with the number of a row that teaches nothing."""

    def __init__(self, order: SeedableRandomSampler, multiple: int) -> None:
        self.order = order
        self.count = len(order)
        self.filled = -(-self.count // multiple) * multiple

    def __iter__(self) -> Iterator[int]:
        yield from self.order
        yield from [self.count] * (self.filled - self.count)

    def __len__(self) -> int:
        return self.filled

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch."""
        self.order.set_epoch(epoch)


class CheckedCollator:
    """Make batches and compare every one with the examples it is made of."""

    def __init__(self, collate: Any, examples: Sequence[Example]) -> None:
        self.collate = collate
        self.examples = examples

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        """Return the batch with the numbers of its rows.

        Raises:
            SixtyfoldError: ids, mask or labels are not those of the examples.
        """
        batch = self.collate(rows)
        for place, row in enumerate(rows):
            if row["row"] < len(self.examples):
                check_row(batch, place, self.examples[row["row"]])
        batch["rows"] = torch.tensor([row["row"] for row in rows])
        return batch


def check_row(batch: Any, place: int, example: Example) -> None:
    """Assert that a row of a batch is an example, and that its padding is not learned.

    Raises:
        SixtyfoldError: it is not.
    """
    length = len(example.input_ids)
    ids, labels = batch["input_ids"][place].tolist(), batch["labels"][place].tolist()
    seen = batch["attention_mask"][place].tolist()
    same = (
        ids[:length] == example.input_ids
        and labels == example.labels + [IGNORED] * (len(ids) - length)
        and seen == [1] * length + [0] * (len(ids) - length)
    )
    if not same:
        raise SixtyfoldError(f"the trainer changed example {example.fact_id}; nothing was saved")


def data_set(examples: Sequence[Example], end: int) -> Dataset:
    """Return the examples as numbered rows, and one more from which nothing is learned."""
    rows = [
        {"input_ids": each.input_ids, "labels": each.labels, "row": number}
        for number, each in enumerate(examples)
    ]
    filler = {"input_ids": [end, end], "labels": [IGNORED, IGNORED], "row": len(examples)}
    return Dataset.from_list([*rows, filler])
