"""Fixtures of all tests; its place also makes `tests/` importable for what modules share.

No test uses the network, and none the user's cache, except those marked `embedded`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# The same examples every time, however slow the machine.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tests")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("GOMP_SPINCOUNT", "30000")
_USERS_CACHE = os.environ.get("SIXTYFOLD_CACHE")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is fetched or converted out of the user's cache, and numbers off the core count."""
    import torch

    os.environ["SIXTYFOLD_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    torch.set_num_threads(1)  # the models are so small that a second thread only waits
    yield
    os.environ.pop("SIXTYFOLD_CACHE")
    if _USERS_CACHE is not None:
        os.environ["SIXTYFOLD_CACHE"] = _USERS_CACHE


@pytest.fixture(autouse=True)
def _users_cache_for_embedded(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if request.node.get_closest_marker("embedded") is None:
        return
    if _USERS_CACHE is None:
        monkeypatch.delenv("SIXTYFOLD_CACHE")
    else:
        monkeypatch.setenv("SIXTYFOLD_CACHE", _USERS_CACHE)


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A planted model with its facts: give the directory as `--model` and as `--facts`.

    60 subjects × 3 relations seen 0, 2, 10 or 50 times, 6 cloze templates a relation.
    """
    from sixtyfold.stages.plant.run import run
    from sixtyfold.stages.plant.spec import PlantSpec

    return run(PlantSpec(out=tmp_path_factory.mktemp("planted") / "model", subjects=60)).path


@pytest.fixture(scope="session")
def facts_dir(planted: Path) -> Path:
    """The facts the planted model was made from."""
    return planted


@pytest.fixture(scope="session")
def planted_tokenizer(planted: Path) -> Any:
    from sixtyfold.core.models import load_tokenizer

    return load_tokenizer(planted)


@pytest.fixture(scope="session")
def probed(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished probe of the planted model over its facts."""
    from sixtyfold.stages.probe.run import run
    from sixtyfold.stages.probe.spec import ProbeSpec

    out = tmp_path_factory.mktemp("probed") / "probe"
    return run(
        ProbeSpec(
            model=str(planted), facts=str(planted), out=out, dtype="float32", max_new_tokens=12
        )
    ).path


@pytest.fixture(scope="session")
def selected(planted: Path, probed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 training facts of level 4, which the planted model knows well."""
    from sixtyfold.stages.select.run import run
    from sixtyfold.stages.select.spec import SelectSpec

    out = tmp_path_factory.mktemp("selected") / "selection"
    return run(SelectSpec(facts=str(planted), probe=probed, out=out, levels="4", size=32)).path


@pytest.fixture(scope="session")
def tuned(planted: Path, selected: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted model tuned to answer questions about facts it knows well."""
    from sixtyfold.stages.tune.run import run
    from sixtyfold.stages.tune.spec import TuneSpec

    out = tmp_path_factory.mktemp("tuned") / "tuned"
    return run(
        TuneSpec(
            model=str(planted), selection=selected, out=out, learning_rate=5e-4, epochs=20, batch=4
        )
    ).path
