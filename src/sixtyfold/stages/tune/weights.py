"""The model before and after training: read, given a LoRA, and made whole again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from sixtyfold.core.checkpoint_saving import told_as_disk_errors
from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.core.models import four_bit_config, read_model
from sixtyfold.core.quiet import quiet_transformers
from sixtyfold.stages.tune.processes import Processes
from sixtyfold.stages.tune.spec import TuneSpec


class Whole(NamedTuple):
    """A trained model, and its weights where the model itself does not hold them all."""

    model: Any
    state_dict: dict[str, Any] | None = None


def read_trainable(directory: Path, spec: TuneSpec, device: str, processes: Processes) -> Any:
    """Read the model to train: float32, or 4 bit under a LoRA.

    A process of several leaves it on the processor; the trainer moves it to its own device.
    """
    if spec.load_in_4bit:
        import torch

        return read_model(
            directory,
            trust_remote_code=spec.trust_remote_code,
            dtype=torch.bfloat16,
            quantization_config=four_bit_config(device),
        )
    model = read_model(directory, trust_remote_code=spec.trust_remote_code, dtype="float32")
    return model if processes.number > 1 else model.to(device)


def lora(spec: TuneSpec) -> Any:
    """Return the LoRA of a spec for PEFT, or None."""
    if spec.lora_rank is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=spec.lora_rank,
        lora_alpha=2 * spec.lora_rank,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def whole_model(trainer: Any, directory: Path, spec: TuneSpec, adapter: Path) -> Whole | None:
    """Return the trained model as an ordinary one; None in processes that do not write.

    A LoRA is merged: into the model it was trained on, or, where that is split over processes
    or held in 4 bit, into the base read anew.

    Args:
        trainer: after training; every process calls this.
        directory: of the base.
        spec: the options given.
        adapter: folder for the LoRA, an unfinished stage's.

    Raises:
        OSError: the LoRA cannot be written.
        SixtyfoldError: a weight is not a number.
    """
    split = trainer.is_fsdp_enabled
    state = trainer.accelerator.get_state_dict(trainer.model) if split else None
    if not trainer.is_world_process_zero():
        return None
    model = trainer.accelerator.unwrap_model(trainer.model) if split else trainer.model
    if spec.lora_rank is None:
        _check_numbers(state or dict(model.named_parameters()))
        return Whole(model, state)
    anew = split or spec.load_in_4bit
    if anew or spec.keep_adapter:
        save_adapter(model, adapter, spec, directory, state)
    if not anew:
        merged = model.merge_and_unload()
    else:
        merged = merged_anew(directory, adapter, trust_remote_code=spec.trust_remote_code)
        if not spec.keep_adapter:
            shutil.rmtree(adapter)
    _check_numbers(dict(merged.named_parameters()))
    return Whole(merged)


def save_adapter(
    model: Any, folder: Path, spec: TuneSpec, directory: Path, state_dict: Any = None
) -> None:
    """Save a LoRA, and with it where its base is."""
    shutil.rmtree(folder, ignore_errors=True)
    local = spec.model == "embedded" or Path(spec.model).exists()
    model.peft_config["default"].base_model_name_or_path = str(directory) if local else spec.model
    with quiet_transformers(), told_as_disk_errors(folder):
        model.save_pretrained(folder, state_dict=state_dict, save_embedding_layers=False)


def merged_anew(directory: Path, adapter: Path, *, trust_remote_code: bool = False) -> Any:
    """Return the base in float32 with a saved LoRA merged into it."""
    from peft import PeftModel

    base = read_model(directory, trust_remote_code=trust_remote_code, dtype="float32")
    return PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()


def _check_numbers(weights: dict[str, Any]) -> None:
    for name, weight in weights.items():
        if not bool(weight.detach().isfinite().all()):
            raise SixtyfoldError(
                f"weight {name} is not a number after training; lower --learning-rate; "
                "nothing was saved"
            )
