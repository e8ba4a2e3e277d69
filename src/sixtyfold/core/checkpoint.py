"""A model directory as one set of tensors: a single file, shards with an index, pickles if allowed.

Knows which files of a directory hold the weights and which belong to the model beside them, and
refuses what is broken or unsafe. Does not know what a weight means.

Shards are plain file names beside their index. A shard may be a symbolic link, as all files of the
hub's cache are: whoever can place a link in a folder can place any file there, while an index is
just downloaded text and must not choose what is read.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.core.pickled_file import read_pickled
from sixtyfold.core.safetensors_file import SafetensorsFile
from sixtyfold.core.weight_files import MadeFile, WeightFile, Weights

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
ADAPTER = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model"
_PICKLED_SINGLE = "pytorch_model.bin"
_PICKLED_INDEX = "pytorch_model.bin.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
#: Files of a tokenizer; they come from one folder, all of them.
_TOKENIZER = (
    "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt", "*.model",
    "*.tiktoken", "*.jinja", "chat_template*", "additional_chat_templates/*.jinja",
)  # fmt: skip
#: Other files beside the weights that belong to a model.
_BESIDE = (
    "generation_config.json", "preprocessor_config.json", "processor_config.json", "*.py",
    "LICENSE*", "NOTICE*", CONFIG,
)  # fmt: skip
#: Pickles that training leaves beside a model; they hold no weights of it.
_OF_TRAINERS = ("training_args", "optimizer", "scheduler", "scaler", "rng_state", "adapter_")


class Companion(NamedTuple):
    """A file beside the weights that belongs to a model."""

    name: Path
    """Relative to the model's directory."""
    source: Path | bytes
    """The file to copy, or what to write."""

    def write(self, path: Path) -> None:
        """Write the file to a path."""
        if isinstance(self.source, bytes):
            path.write_bytes(self.source)
        else:
            shutil.copyfile(self.source, path)


class Checkpoint(NamedTuple):
    """All weights of a model, and where the files that belong to it are."""

    directory: Path
    files: tuple[WeightFile, ...]
    tensors: Mapping[str, Weights]
    index_file: Path | None = None
    """The shard index, where there is one that fits a copy as safetensors."""
    made: Mapping[str, bytes] = {}
    """Files of a copy that must differ from those in the folders, by name."""
    other_folders: tuple[Path, ...] = ()
    """Folders besides `directory` in which tokenizer and configuration are looked for, in order."""

    def config(self) -> dict[str, Any]:
        """Return `config.json` as a copy has it, empty where there is none.

        Raises:
            Corrupted: it is not a JSON object.
        """
        found = [each.source for each in self.companions() if each.name.name == CONFIG]
        if not found:
            return {}
        return dict(json.loads(found[0])) if isinstance(found[0], bytes) else json_object(found[0])

    def companions(self) -> list[Companion]:
        """Return the files to put beside a copy of the weights, `config.json` last."""
        found: dict[Path, Path | bytes] = {}
        folders = (self.directory, *self.other_folders)
        with_tokenizer = [each for each in folders if (each / "tokenizer_config.json").is_file()]
        for folder in folders:
            own = folder in with_tokenizer[:1] or not with_tokenizer
            for pattern in (*_BESIDE, *_TOKENIZER) if own else _BESIDE:
                for path in filter(Path.is_file, folder.glob(pattern)):
                    found.setdefault(path.relative_to(folder), path)
        if self.index_file is not None:
            found[Path(INDEX)] = self.index_file
        found.update({Path(name): content for name, content in self.made.items()})
        turn = {Path(INDEX): -1, Path(CONFIG): 1}
        names = sorted(found, key=lambda name: (turn.get(name, 0), str(name)))
        return [Companion(name, found[name]) for name in names]


def open_checkpoint(directory: Path, *, allow_pickle: bool = False) -> Checkpoint:
    """Open the weights of a model directory.

    Args:
        directory: holds `model.safetensors`, or shards and `model.safetensors.index.json`.
        allow_pickle: where it holds neither, read `pytorch_model.bin` or its shards, or the only
            other pickle in it, and say so on the error stream.

    Raises:
        BadInput: the directory or its weights are missing, are pickles that were not allowed or an
            adapter, or the index points outside the directory.
        Corrupted: a file is broken, or index and shards disagree.
    """
    if not directory.is_dir():
        raise BadInput(f"there is no model directory {directory}")
    if (directory / SINGLE).is_file():
        file = SafetensorsFile(directory / SINGLE)
        return Checkpoint(directory, (file,), file.tensors)
    if (directory / INDEX).is_file():
        return _open_shards(directory)
    pickles = pickled_weights(directory)
    if pickles and allow_pickle:
        return _open_pickles(directory, pickles)
    raise BadInput(_why_no_weights(directory, pickles))


def holds_whole_model(directory: Path) -> bool:
    """Return whether a directory has safetensors weights of a whole model."""
    return (directory / SINGLE).is_file() or (directory / INDEX).is_file()


def is_adapter(directory: Path) -> bool:
    """Return whether a directory holds an adapter and no whole model."""
    return (directory / ADAPTER).is_file() and not holds_whole_model(directory)


def pickled_weights(directory: Path) -> list[Path]:
    """Return the pickle that holds the weights of a directory, or the index of several.

    Returns:
        one path; several where it is not clear which one; none where there is no pickle.
    """
    for name in (_PICKLED_INDEX, _PICKLED_SINGLE):
        if (directory / name).is_file():
            return [directory / name]
    found = {path for pattern in _PICKLES for path in directory.glob(pattern)}
    return sorted(p for p in found if p.is_file() and not p.name.startswith(_OF_TRAINERS))


def pickle_files(directory: Path) -> list[Path]:
    """Return the pickles that hold the weights of a directory, none where safetensors do.

    Raises:
        BadInput: an index points outside the directory.
        Corrupted: an index is damaged.
    """
    if holds_whole_model(directory):
        return []
    if is_adapter(directory):
        safe = (directory / f"{ADAPTER_WEIGHTS}.safetensors").is_file()
        pickled = directory / f"{ADAPTER_WEIGHTS}.bin"
        return [pickled] if pickled.is_file() and not safe else []
    found = pickled_weights(directory)
    if len(found) == 1 and found[0].name == _PICKLED_INDEX:
        return [directory / name for name in sorted(set(read_index(found[0]).values()))]
    return found


def read_index(path: Path) -> dict[str, str]:
    """Return tensor name to shard name from a shard index.

    Raises:
        BadInput: a shard is anything but a file name.
        Corrupted: it is no index.
    """
    mapping = json_object(path).get("weight_map")
    if not isinstance(mapping, dict) or not mapping:
        raise Corrupted(f"{path} names no weights (no 'weight_map'); fetch the checkpoint again")
    for name in sorted({str(name) for name in mapping.values()}):
        plain = PurePosixPath(name).name == name not in {"", ".."} and name.isprintable()
        if not plain or "\\" in name:
            raise BadInput(
                f"{path} points outside its folder ({name!r}); shards must lie beside the index"
            )
    return {str(tensor): str(name) for tensor, name in mapping.items()}


def json_object(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        Corrupted: it is none.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise Corrupted(f"{path} is not readable JSON ({error})") from None
    if not isinstance(value, dict):
        raise Corrupted(f"{path} holds no JSON object")
    return value


def joined(
    index: Path, mapping: Mapping[str, str], files: Mapping[str, Mapping[str, Weights]]
) -> dict[str, Weights]:
    """Return the tensors of all shards after comparing them with their index.

    Args:
        index: where the mapping was read.
        mapping: tensor name to shard name.
        files: shard name to its tensors by name.

    Raises:
        Corrupted: index and shards disagree.
    """
    tensors: dict[str, Weights] = {}
    for shard, found in files.items():
        for name, tensor in found.items():
            if mapping.get(name) != shard:
                raise Corrupted(
                    f"{index} says '{name}' is in {mapping.get(name)}, it is in {shard}; "
                    "fetch the checkpoint again"
                )
            tensors[name] = tensor
    missing = sorted(set(mapping) - set(tensors))
    if missing:
        raise Corrupted(f"{index} promises '{missing[0]}', but {mapping[missing[0]]} lacks it")
    return tensors


def _open_shards(directory: Path) -> Checkpoint:
    index = directory / INDEX
    mapping = read_index(index)
    files = {name: SafetensorsFile(directory / name) for name in sorted(set(mapping.values()))}
    tensors = joined(index, mapping, {name: file.tensors for name, file in files.items()})
    return Checkpoint(directory, tuple(files.values()), tensors, index)


def _open_pickles(directory: Path, pickles: list[Path]) -> Checkpoint:
    """Open one pickle, or the shards that an index names, as what safetensors files would be."""
    if len(pickles) > 1:
        raise BadInput(
            f"{directory} holds several pickles ({', '.join(path.name for path in pickles[:4])}); "
            f"name the one with the weights {_PICKLED_SINGLE}"
        )
    path = pickles[0]
    if path.name != _PICKLED_INDEX:
        tell_of_pickle(path)
        file = MadeFile(SINGLE, read_pickled(path))
        return Checkpoint(directory, (file,), file.tensors)
    mapping = read_index(path)
    tell_of_pickle(path)
    shards = {name: read_pickled(directory / name) for name in sorted(set(mapping.values()))}
    tensors = joined(path, mapping, shards)
    files = tuple(MadeFile(_as_safetensors(name), found) for name, found in shards.items())
    return Checkpoint(directory, files, tensors, made={INDEX: index_of(files)})


def index_of(files: Iterable[WeightFile]) -> bytes:
    """Return the shard index of some files."""
    files = list(files)
    total = sum(tensor.nbytes for file in files for tensor in file.tensors.values())
    mapping = {name: file.name for file in files for name in file.tensors}
    content = {"metadata": {"total_size": total}, "weight_map": dict(sorted(mapping.items()))}
    return (json.dumps(content, indent=2) + "\n").encode()


def tell_of_pickle(path: Path) -> None:
    """Say on the error stream what reading a pickle means."""
    sys.stderr.write(
        f"sixtyfold: {path} is a pickle file, a format that can carry code. --allow-pickle reads "
        "it with torch's weights-only loader, which builds tensors and refuses all else; a flaw in "
        "that loader could still be used by a file made for it, so allow only files you trust.\n"
    )


def _as_safetensors(name: str) -> str:
    """Return the name that a pickled shard has as safetensors.

    >>> _as_safetensors("pytorch_model-00001-of-00002.bin")
    'model-00001-of-00002.safetensors'
    """
    return f"{Path(name).stem.removeprefix('pytorch_')}.safetensors"


def _why_no_weights(directory: Path, pickles: list[Path]) -> str:
    """Say what stands in the way of reading a directory as a checkpoint."""
    if is_adapter(directory):
        return (
            f"{directory} holds an adapter, no whole model; give it as the tuned model beside its "
            "base, or merge it into its base and give that"
        )
    if pickles:
        return (
            f"{directory} holds a pickle checkpoint ({pickles[0].name}), which can run code when "
            "opened; only safetensors are read: load it where you trust it and save_pretrained() "
            "it, or give --allow-pickle"
        )
    return f"{directory} holds no weights; {SINGLE} or {INDEX} is needed"
