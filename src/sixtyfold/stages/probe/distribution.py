"""Next-token probabilities in memory that is kept (docs/decisions/009)."""

from __future__ import annotations

import torch


class Distribution:
    """Turns logits into probabilities; a result holds until the next call."""

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature
        self._memory = torch.empty(0)

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Return float32 probabilities at the temperature, in the shape of the logits [..., V]."""
        size = logits.numel()
        if self._memory.numel() < size or self._memory.device != logits.device:
            self._memory = torch.empty(size, device=logits.device)
        p = self._memory[:size].view(logits.shape).copy_(logits).div_(self.temperature)
        return torch.softmax(p, -1, out=p)
