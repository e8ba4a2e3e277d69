"""A LoRA adapter seen as the whole model that merging it into its base would give.

Nothing is merged beforehand: a weight is computed when it is asked for (`low_rank`). Knows the
files of an adapter's directory and what a merged model's directory holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from sixtyfold.core.checkpoint import ADAPTER, ADAPTER_WEIGHTS, CONFIG, Checkpoint, tell_of_pickle
from sixtyfold.core.errors import BadInput
from sixtyfold.core.lora_merging import Merging
from sixtyfold.core.lora_settings import read_settings
from sixtyfold.core.pickled_file import read_pickled
from sixtyfold.core.safetensors_file import SafetensorsFile
from sixtyfold.core.tensor_names import place
from sixtyfold.core.weight_files import MadeFile, Weights

SAFE = f"{ADAPTER_WEIGHTS}.safetensors"
PICKLED = f"{ADAPTER_WEIGHTS}.bin"


def open_adapter(directory: Path, base: Checkpoint, *, allow_pickle: bool = False) -> Checkpoint:
    """Open a LoRA adapter as the whole model it makes of its base.

    Args:
        directory: holds `adapter_config.json` and `adapter_model.safetensors`.
        base: the model that the adapter was trained on.
        allow_pickle: read `adapter_model.bin` where there is no safetensors file.

    Returns:
        a checkpoint with the names, files and formats of the base; tokenizer and chat template are
        the adapter's where it has them.

    Raises:
        BadInput: the weights are missing or pickled, the adapter is of a kind that cannot be
            merged, or it does not fit the base.
        Corrupted: a file is broken, or weights and settings disagree.
    """
    merging = Merging(directory, base, read_settings(directory / ADAPTER))
    for name, stored in _stored(directory, allow_pickle=allow_pickle).items():
        merging.sort(name, stored)
    changed = merging.changed()
    files = tuple(
        MadeFile(file.name, {name: changed.get(name, each) for name, each in file.tensors.items()})
        for file in base.files
    )
    return Checkpoint(
        directory,
        files,
        {name: changed.get(name, each) for name, each in base.tensors.items()},
        base.index_file,
        {**base.made, **_grown_config(directory, base, changed)},
        (base.directory, *base.other_folders),
    )


def _stored(directory: Path, *, allow_pickle: bool) -> Mapping[str, Weights]:
    """Return what an adapter's weight file holds."""
    if (directory / SAFE).is_file():
        return SafetensorsFile(directory / SAFE).tensors
    if not (directory / PICKLED).is_file():
        raise BadInput(f"{directory} holds {ADAPTER} but no {SAFE}; fetch or save it again")
    if not allow_pickle:
        raise BadInput(
            f"{directory} holds its adapter as a pickle ({PICKLED}), which can run code when "
            "opened; save it as safetensors where you trust it, or give --allow-pickle"
        )
    tell_of_pickle(directory / PICKLED)
    return read_pickled(directory / PICKLED)


def _grown_config(
    directory: Path, base: Checkpoint, changed: Mapping[str, Weights]
) -> dict[str, bytes]:
    """Return `config.json` with the vocabulary of an adapter that added tokens, if it did."""
    rows = {
        name: (stored.shape[0], changed.get(name, stored).shape[0])
        for name, stored in base.tensors.items()
        if place(name).block in {"embedding", "head"} and stored.shape
    }
    grown = {sizes for sizes in rows.values() if sizes[0] != sizes[1]}
    if not grown:
        return {}
    config = base.config()
    before, after = min(grown)
    left = [name for name, sizes in rows.items() if sizes == (before, before)]
    if len(grown) > 1 or left or config.get("vocab_size") != before:
        raise BadInput(
            f"the adapter {directory} adds rows to {', '.join(n for n in rows if n not in left)} "
            f"and config.json of {base.directory} has vocab_size={config.get('vocab_size')}; they "
            "do not go together: merge it with peft and give the merged model"
        )
    config["vocab_size"] = after
    return {CONFIG: (json.dumps(config, indent=2) + "\n").encode()}
