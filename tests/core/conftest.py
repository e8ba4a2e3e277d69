"""A tiny model and an adapter of it, for the tests of LoRA."""

from __future__ import annotations

from pathlib import Path

import pytest

from made_up_adapters import trained
from tiny_models import tiny_model


@pytest.fixture(scope="module")
def qwen(tmp_path_factory, planted_tokenizer) -> Path:
    return tiny_model("qwen2", tmp_path_factory.mktemp("qwen2"), planted_tokenizer, tied=False)


@pytest.fixture(scope="module")
def adapter(qwen, tmp_path_factory) -> Path:
    folder, _ = trained(qwen, tmp_path_factory.mktemp("a"), r=2, target_modules=["q_proj"])
    return folder
