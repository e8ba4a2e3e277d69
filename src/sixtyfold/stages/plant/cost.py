"""What a planting would cost: bytes by count, seconds by making a few of its steps."""

from __future__ import annotations

import time

from sixtyfold.stages.plant.spec import PlantSpec
from sixtyfold.stages.plant.train import Training, errors_only, threads_for

_STATES = 16
"""Bytes a weight takes in training: itself, its gradient, Adam's two states, float32."""
_KEPT = 24
"""Numbers a layer keeps for the backward pass, per token and unit of its width, about."""
_LOGITS = 3
"""Copies of the logits that the loss and its gradient hold."""
_TIMED = 10
"""Steps that are timed, after one that warms up."""


def gigabytes(training: Training, spec: PlantSpec) -> float:
    """Return the memory of the largest step, weights and optimiser included."""
    lengths = [len(each) for each in training.ids]
    tokens = max(len(step) * max(lengths[index] for index in step) for step in training.steps)
    vocabulary = training.model.get_input_embeddings().num_embeddings
    numbers = _KEPT * spec.layers * spec.hidden + _LOGITS * vocabulary
    return float(_STATES * training.model.num_parameters() + 4 * tokens * numbers) / 1e9


def seconds(training: Training) -> float:
    """Return the time of the whole training, from its first steps; makes these."""
    training.model.train()
    timed = min(_TIMED, len(training.steps) - 1)
    with threads_for(training.model), errors_only():
        training.advance()
        if timed == 0:
            return 0.0
        start = time.perf_counter()
        for _ in range(timed):
            training.advance()
        float(training.loss.detach())  # waits for a GPU
        return (time.perf_counter() - start) / timed * len(training.steps)
