"""Models by reference: where their files are, what their fingerprint is, how they are loaded.

A reference is `embedded`, a local directory, a GGUF file or a Hugging Face id. Importing this
module does not import torch.
"""

from __future__ import annotations

import functools
import gc
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sixtyfold.core.embedded import embedded_directory, gguf_directory
from sixtyfold.core.errors import BadInput, Corrupted, IncompleteInput
from sixtyfold.core.fingerprint import fingerprint_files
from sixtyfold.core.quiet import quiet_transformers
from sixtyfold.core.spec import Spec

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model", "*.txt")
_NOT_WEIGHTS = {"manifest.json", "plan.json", "timings.json", "receipt.json", "training.json"}


class ModelOptions(Spec):
    """Options of every command that runs a model."""

    revision: str | None = None
    """Branch, tag or commit of a Hugging Face id."""

    dtype: Dtype = "auto"
    """Number format of the forward pass; auto takes bfloat16 where the processor has it."""

    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes a GPU where there is one."""

    load_in_4bit: bool = False
    """Load the weights in 4 bit (needs the extra 'quantized' and a CUDA GPU)."""

    trust_remote_code: bool = False
    """Run Python code that comes with the model. Only for models whose code you have read."""

    def options(self) -> ModelOptions:
        """Return these options alone, also when called on a spec that inherits them."""
        return ModelOptions(**{name: getattr(self, name) for name in ModelOptions.model_fields})


class LoadedModel(NamedTuple):
    """A model ready to run."""

    model: Any
    tokenizer: Any
    fingerprint: str
    directory: Path


def model_directory(
    reference: str, revision: str | None = None, check: Callable[[Path], Path] | None = None
) -> Path:
    """Return the local directory of a model's files, fetched or converted if needed.

    Args:
        reference: `embedded`, a directory, a GGUF file or a Hugging Face id.
        revision: branch, tag or commit, for a Hugging Face id only.
        check: returns a directory that can be used and refuses others;
            `check_model_directory` if not given.

    Raises:
        BadInput: there is no such model, or the directory is none (no config.json, no safetensors).
        IncompleteInput: the directory is a stage that was not finished.
        Corrupted: a GGUF file or wheel is damaged.
    """
    if reference == "embedded":
        return embedded_directory()
    path = Path(reference)
    if path.is_file():
        if path.suffix == ".gguf":
            return gguf_directory(path)
        raise BadInput(f"model {reference} is a file; give a directory, a .gguf file or a hub id")
    check = check or check_model_directory
    if path.is_dir():
        return check(path)
    if path.is_absolute() or reference.startswith(".") or reference.count("/") > 1:
        raise BadInput(f"there is no model directory {reference}; allowed: {_allowed()}")
    return check(_from_hub(reference, revision))


def _allowed() -> str:
    return "'embedded', a directory with config.json and safetensors, a .gguf file, or a hub id"


def refuse_unfinished(path: Path) -> Path:
    """Return a directory that is no unfinished stage; raises IncompleteInput for one that is."""
    if (path / "plan.json").is_file() and not (path / "manifest.json").is_file():
        raise IncompleteInput(f"{path} is an unfinished run; repeat the command that makes it")
    return path


def check_model_directory(path: Path) -> Path:
    """Return a directory that holds a whole model; raises what `model_directory` raises."""
    refuse_unfinished(path)
    if (path / "patch.json").is_file():
        raise BadInput(
            f"{path} is a patch, no model; 'sixtyfold rebuild --patch {path} --base BASE "
            "--tuned TUNED --out DIR' writes the model"
        )
    if (path / "adapter_config.json").is_file() and not list(path.glob("model*.safetensors")):
        raise BadInput(
            f"{path} holds an adapter, no whole model; 'sixtyfold restore --base BASE "
            f"--tuned {path} --top 0 --out DIR' writes the merged one"
        )
    if not (path / "config.json").is_file():
        raise BadInput(f"{path} is no model: it has no config.json; allowed: {_allowed()}")
    if not list(path.glob("*.safetensors")):
        pickles = [each.name for each in (*path.glob("*.bin"), *path.glob("*.pt"))]
        if pickles:
            raise BadInput(
                f"{path} holds only pickled weights ({pickles[0]}), which can run code when opened;"
                f" if you trust it, 'sixtyfold restore --base {path} --tuned {path} --top 0 "
                "--allow-pickle --out DIR' writes it as safetensors"
            )
        raise BadInput(f"{path} holds no *.safetensors file; save the model as safetensors first")
    return path


def _from_hub(reference: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        wanted = [*_FILES, "README.md"]  # which states the licence
        found = snapshot_download(reference, revision=revision, allow_patterns=wanted)
    except Exception as error:  # noqa: BLE001 - hub errors are of many unrelated classes
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise BadInput(
            f"model '{reference}' is no local directory and could not be had from the hub "
            f"({reason}); allowed: {_allowed()}"
        ) from None
    return Path(found)


def model_fingerprint(directory: Path, others: Iterable[Path] = ()) -> str:
    """Return the fingerprint of a model's contents: weights, config, tokenizer, chat template.

    Args:
        directory: the model's.
        others: further files that belong to it.
    """
    files = [each for pattern in _FILES for each in directory.glob(pattern)]
    kept = {each for each in files if each.name not in _NOT_WEIGHTS}
    return fingerprint_files(kept | set(others))


def load_model(reference: str, options: ModelOptions) -> LoadedModel:
    """Load a model for inference. The last one loaded is kept and given again when asked for.

    Raises:
        BadInput: the model, device or number format is not available.
        Corrupted: a weight file is damaged, or tensors are missing or of the wrong shape.
    """
    directory = model_directory(reference, options.revision)
    fingerprint = model_fingerprint(directory)
    return _load(directory, fingerprint, resolve_device(options.device), options)


@functools.lru_cache(maxsize=1)
def _load(directory: Path, fingerprint: str, device: str, options: ModelOptions) -> LoadedModel:
    arguments: dict[str, Any] = {"dtype": resolve_dtype(options.dtype, device)}
    if options.load_in_4bit:
        arguments["quantization_config"] = four_bit_config(device)
    model = read_model(directory, trust_remote_code=options.trust_remote_code, **arguments)
    if not options.load_in_4bit:
        model = model.to(device)
    return LoadedModel(model.eval(), load_tokenizer(directory), fingerprint, directory)


def read_model(directory: Path, *, trust_remote_code: bool = False, **arguments: Any) -> Any:
    """Read a causal language model from a local directory.

    Args:
        directory: a checkpoint directory.
        trust_remote_code: run Python code that lies in it.
        arguments: passed on to `from_pretrained`.

    Raises:
        Corrupted: a file is damaged, or tensors are missing or of the wrong shape.
    """
    from transformers import AutoModelForCausalLM

    with quiet_transformers():
        try:
            model, report = AutoModelForCausalLM.from_pretrained(
                directory,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
                local_files_only=True,
                **arguments,
            )
        except Exception as error:  # noqa: BLE001 - safetensors, json and config errors share no base
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise Corrupted(f"the model in {directory} cannot be loaded: {reason}") from None
    wrong = sorted(report["missing_keys"]) + sorted(map(str, report["mismatched_keys"]))
    if wrong:
        raise Corrupted(
            f"the weights in {directory} do not fit its config.json: "
            f"{len(wrong)} tensors missing or mis-shaped, first {wrong[0]}"
        )
    return model


def load_tokenizer(directory: Path) -> Any:
    """Load the tokenizer of a model directory.

    Raises:
        Corrupted: it cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(directory, local_files_only=True)
    except Exception as error:  # noqa: BLE001 - tokenizer files fail in many ways
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise Corrupted(f"the tokenizer in {directory} cannot be loaded: {reason}") from None


def stop_token_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the ids that end an answer: the tokenizer's and the generation config's."""
    found: set[int] = set()
    for given in (tokenizer.eos_token_id, model.generation_config.eos_token_id):
        found.update(given if isinstance(given, list) else [given])
    return frozenset(each for each in found if each is not None)


def resolve_device(device: str) -> str:
    """Turn `auto` into the device to use.

    Raises:
        BadInput: the device named is not there.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = device.split(":", maxsplit=1)[0]
    if kind not in {"cpu", "cuda", "mps"}:
        raise BadInput(f"device '{device}' is not known; allowed: auto, cpu, cuda, cuda:N, mps")
    if kind == "cuda" and not torch.cuda.is_available():
        raise BadInput(f"device '{device}' is not here (torch sees no CUDA GPU); use --device cpu")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise BadInput("device 'mps' is not here; use --device cpu")
    return device


def resolve_dtype(dtype: Dtype, device: str) -> Any:
    """Turn `auto` into a torch dtype: bfloat16 where it is faster, else float32."""
    import torch

    if dtype == "auto":
        if device.startswith("cuda"):
            fast = torch.cuda.is_bf16_supported()
        else:
            fast = device == "cpu" and cpu_has_bfloat16()
        return torch.bfloat16 if fast else torch.float32
    return getattr(torch, dtype)


@functools.cache
def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices faster than float32 ones."""
    info = Path("/proc/cpuinfo")
    return info.is_file() and _favours_bfloat16(info.read_text(errors="replace"))


def _favours_bfloat16(about_cpu: str) -> bool:
    """Read /proc/cpuinfo: AMX, Arm BF16 and AMD's AVX-512 BF16 do.

    With Intel's AVX-512 BF16 alone (AMX switched off, as in some virtual machines) bfloat16 takes
    1.1 to 1.8 times as long as float32 from 64 rows on (docs/benchmarks.md).
    """
    words = set(about_cpu.split())
    return bool(words & {"amx_bf16", "bf16"}) or {"avx512_bf16", "AuthenticAMD"} <= words


def four_bit_config(device: str) -> Any:
    """Return how transformers loads weights in 4 bit.

    Raises:
        BadInput: bitsandbytes or a CUDA GPU is missing.
    """
    import importlib.util

    if importlib.util.find_spec("bitsandbytes") is None or not device.startswith("cuda"):
        raise BadInput(
            "--load-in-4bit needs a CUDA GPU and bitsandbytes; "
            "install sixtyfold[quantized] on a GPU machine or leave the option out"
        )
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)


def vocabulary_size(directory: Path) -> int:
    """Return the vocabulary size stated in config.json."""
    return int(json.loads((directory / "config.json").read_text())["vocab_size"])


def release_model() -> None:
    """Forget the model kept by `load_model` and give its memory back to the device."""
    _load.cache_clear()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
