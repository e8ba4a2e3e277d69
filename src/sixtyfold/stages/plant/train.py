"""Train the planted model, from scratch or from where a killed run stopped.

Nothing is drawn while it trains: which texts a step sees follows from the seed and the step's
number, so that a training taken up again ends at the same weights, on the same machine.
"""

from __future__ import annotations

import contextlib
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from sixtyfold.core.atomic_files import write_atomic
from sixtyfold.core.errors import Corrupted
from sixtyfold.core.progress import progress
from sixtyfold.core.random_streams import random_stream
from sixtyfold.stages.plant.spec import PlantSpec

_IGNORED = -100
_SECONDS_BETWEEN_STATES = 60.0
_SMALL = 5_000_000
"""Weights below which the threads of a processor wait for each other longer than they compute."""


class Training:
    """A model with what trains it, and its next step."""

    def __init__(self, model: Any, sequences: Sequence[Sequence[int]], spec: PlantSpec) -> None:
        """Take a model on its device, the sequences of one pass, and the spec."""
        self.model = model
        self.ids = [torch.tensor(each) for each in sequences]
        self.steps = batches(len(sequences), spec)
        self.step = 0
        self.loss = torch.zeros(())
        self._optimiser = torch.optim.AdamW(
            model.parameters(), lr=spec.learning_rate, weight_decay=0.01
        )
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self._optimiser, len(self.steps)
        )

    def advance(self) -> None:
        """Make one optimiser step."""
        some = [self.ids[index] for index in self.steps[self.step]]
        padding = self.model.config.pad_token_id
        device = self.model.device
        input_BL = pad_sequence(some, batch_first=True, padding_value=padding).to(device)
        labels_BL = pad_sequence(some, batch_first=True, padding_value=_IGNORED).to(device)
        self.loss = self.model(input_ids=input_BL, labels=labels_BL).loss
        self._optimiser.zero_grad()
        self.loss.backward()
        self._optimiser.step()
        self._schedule.step()
        self.step += 1

    def save(self, path: Path) -> None:
        """Write all that decides the next steps."""
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
        }
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, lambda temporary: torch.save(state, temporary))

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote.

        Raises:
            Corrupted: the file is damaged.
        """
        try:
            state = torch.load(path, map_location=self.model.device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self._optimiser.load_state_dict(state["optimiser"])
            self._schedule.load_state_dict(state["schedule"])
        except (RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
            reason = " ".join(str(error).split())[:200]
            raise Corrupted(
                f"the state {path} cannot be read ({reason}); remove it to start anew"
            ) from None
        self.step = state["step"]


def batches(sequences: int, spec: PlantSpec) -> list[Any]:
    """Return the indices of the sequences of every step; each pass has an order of its own."""
    return [
        order[start : start + spec.batch]
        for number in range(spec.passes)
        for order in [random_stream(spec.seed, "order", number).permutation(sequences)]
        for start in range(0, sequences, spec.batch)
    ]


def train_model(training: Training, state: Path, every: int | None) -> float:
    """Train to the end, in place, and return the last loss.

    Args:
        training: at its start.
        state: file of the last state kept; where there is one, the training goes on from it.
        every: steps between states; None: a minute; 0: none are kept.

    Raises:
        Corrupted: the state is damaged.
    """
    if state.is_file():
        training.load(state)
    due = _due(every)
    total = len(training.steps)
    training.model.train()
    with threads_for(training.model), errors_only():
        for _ in progress(range(training.step, total), "plant", total - training.step):
            training.advance()
            if training.step < total and due(training.step):
                training.save(state)
    training.model.eval()
    return float(training.loss.detach())


@contextlib.contextmanager
def threads_for(model: Any) -> Iterator[None]:
    """Run a small model on one thread in a block: faster, and the same bytes on any processor.

    On 2 cores shared with another job a model of 0.6M weights made a step 6 times slower on 2.
    """
    before = torch.get_num_threads()
    if model.num_parameters() < _SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def errors_only() -> Iterator[None]:
    """Hold back the warnings of transformers in a block.

    GPT-2 warns of padding without an attention mask; here it stands on the right, where no token
    sees it and no label is learned.
    """
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _due(every: int | None) -> Callable[[int], bool]:
    """Return what says, step by step, whether a state is to be kept."""
    if every is not None:
        return lambda step: every > 0 and step % every == 0
    last = time.monotonic()

    def after_a_minute(_: int) -> bool:
        nonlocal last
        if time.monotonic() - last < _SECONDS_BETWEEN_STATES:
            return False
        last = time.monotonic()
        return True

    return after_a_minute
