"""Options of the vLLM engine: how the model is spread over devices and how much of them it takes.

None of them decides a result, so a killed run may go on with others.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sixtyfold.core.spec import Spec


class VllmOptions(Spec):
    """Options of every command that can draw with vLLM; vLLM gives them their meaning."""

    not_recorded: ClassVar[frozenset[str]] = Spec.not_recorded | {
        "tensor_parallel",
        "data_parallel",
        "gpu_memory_utilization",
    }

    tensor_parallel: int = Field(default=1, ge=1)
    """With --engine vllm: devices that share the weights of one copy of the model."""

    data_parallel: int = Field(default=1, ge=1)
    """With --engine vllm: copies of the model that share the prompts."""

    gpu_memory_utilization: float | None = Field(default=None, gt=0, le=1)
    """With --engine vllm: share of a device's memory that vLLM takes; without it vLLM's default on
    a GPU, and on a CPU 4 GiB for its cache."""
