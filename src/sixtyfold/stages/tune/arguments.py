"""The options of TRL's trainer that follow from a spec."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

from sixtyfold.core.errors import BadInput
from sixtyfold.core.models import resolve_dtype
from sixtyfold.stages.tune.processes import Processes, examples_at_once
from sixtyfold.stages.tune.spec import TuneSpec

_OPTIMIZERS = {"adamw": "adamw_torch_fused", "adamw-8bit": "adamw_bnb_8bit"}
RECORDED = (
    *("optim", "adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay", "max_grad_norm"),
    *("lr_scheduler_type", "warmup_steps", "learning_rate", "bf16", "fp16"),
    *("per_device_train_batch_size", "gradient_accumulation_steps", "seed", "data_seed"),
)
"""Options of the trainer that a record of a training names."""


def trainer_arguments(spec: TuneSpec, device: str, processes: Processes, folder: Path) -> Any:
    """Return the `SFTConfig` of a spec.

    Args:
        spec: the options given.
        device: where it trains, as `resolve_device` returned it.
        processes: those that train together.
        folder: where the trainer's own checkpoints go.

    Raises:
        BadInput: a package is missing, or batch, processes and device do not fit together.
    """
    from trl import SFTConfig

    check_options(spec, device)
    recipe, form = spec.recipe, _form(spec, device)
    # The name of one option below differs between supported versions of transformers.
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        return SFTConfig(
            output_dir=str(folder),
            run_name=spec.out.name,
            per_device_train_batch_size=examples_at_once(
                recipe.batch, spec.accumulate, processes.number
            ),
            gradient_accumulation_steps=spec.accumulate,
            num_train_epochs=recipe.epochs or 1,
            max_steps=recipe.max_steps or -1,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=spec.warmup_steps,
            optim=_OPTIMIZERS[spec.optimizer],
            max_length=None,
            packing=False,
            remove_unused_columns=False,
            bf16=form == "bfloat16",
            fp16=form == "float16",
            use_cpu=device == "cpu",
            gradient_checkpointing=False,
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="no",
            report_to=trackers(spec.report_to),
            disable_tqdm=True,
            ddp_find_unused_parameters=False,
            seed=spec.seed,
            data_seed=spec.seed,
            dataloader_pin_memory=False,
        )


def check_options(spec: TuneSpec, device: str) -> None:
    """Refuse options that this machine cannot follow, before anything is read.

    Raises:
        BadInput: a package, a tracker or a CUDA GPU is missing.
    """
    check_packages(spec, device)
    trackers(spec.report_to)
    if device == "cpu" and _form(spec, device) == "float16":
        raise BadInput("--dtype float16 trains on GPUs alone; use bfloat16, float32 or auto")


def _form(spec: TuneSpec, device: str) -> str:
    """Return the name of the number format of the forward pass."""
    return str(resolve_dtype(spec.dtype, device)).removeprefix("torch.")


def trackers(given: str) -> list[str]:
    """Return the trackers named, for transformers.

    Raises:
        BadInput: one is not known or not installed.
    """
    names = [name.strip() for name in given.split(",") if name.strip() not in {"", "none"}]
    if not names:
        return []
    from transformers.integrations import get_available_reporting_integrations

    here = sorted(get_available_reporting_integrations())
    for name in names:
        if name not in here:
            raise BadInput(
                f"--report-to {name} is not installed, or not known to transformers; "
                f"allowed here: {', '.join(['none', *here])}"
            )
    return names


def check_packages(spec: TuneSpec, device: str) -> None:
    """Refuse options whose package or device is not there.

    Raises:
        BadInput: bitsandbytes or a CUDA GPU is missing.
    """
    if spec.optimizer != "adamw-8bit" and not spec.load_in_4bit:
        return
    option = "--load-in-4bit" if spec.load_in_4bit else "--optimizer adamw-8bit"
    if importlib.util.find_spec("bitsandbytes") is None or not device.startswith("cuda"):
        raise BadInput(
            f"{option} needs a CUDA GPU and bitsandbytes; "
            "install sixtyfold[quantized] on a GPU machine or leave the option out"
        )
