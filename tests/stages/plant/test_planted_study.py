"""The study of planted models and the commands that plant them fit together."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from sixtyfold.arguments import read
from sixtyfold.stages.plant.corpus import build_corpus
from sixtyfold.stages.plant.facts import build_world
from sixtyfold.stages.plant.spec import PlantSpec
from sixtyfold.stages.plant.tokenizer import train_tokenizer
from sixtyfold.study.file import StudyFile
from sixtyfold.study.reading import read_study

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def study() -> StudyFile:
    return read_study(ROOT / "docs" / "studies" / "planted.yaml")


@pytest.fixture(scope="module")
def specs() -> dict[str, PlantSpec]:
    """What the guide's commands ask for, by where they plant it."""
    text = (ROOT / "docs" / "plant.md").read_text(encoding="utf-8")
    (same,) = re.findall(r'^SAME="(.*)"$', text, re.MULTILINE)
    lines = re.findall(r"^sixtyfold plant \$SAME (.*)$", text, re.MULTILINE)
    found = [read("plant", PlantSpec, shlex.split(f"{same} {line}")).spec for line in lines]
    return {str(each.out): each for each in found if isinstance(each, PlantSpec)}


def test_the_guide_plants_the_models_of_the_study(
    study: StudyFile, specs: dict[str, PlantSpec]
) -> None:
    assert {each.model for each in study.models} == set(specs)
    assert len({each.architecture for each in specs.values()}) == 3
    assert len({(each.corpus, each.forms) for each in specs.values()}) == 3
    assert study.facts["facts"] in specs


def test_its_models_share_facts_enough(study: StudyFile, specs: dict[str, PlantSpec]) -> None:
    worlds = [build_world(spec) for spec in specs.values()]
    for world in worlds[1:]:
        assert world.facts.equals(worlds[0].facts)
        assert world.templates.equals(worlds[0].templates)
        assert world.exposures.equals(worlds[0].exposures)
    train = worlds[0].facts.filter(split="train")
    sizes = [select["size"] for grid in study.grids for select, _ in grid.combinations()]
    assert train.height >= max(map(int, sizes))
    assert train["relation"].n_unique() == 6


def test_every_name_is_one_token(specs: dict[str, PlantSpec]) -> None:
    """Of names in pieces a small model learns to complete sentences and not to answer questions."""
    for spec in specs.values():
        corpus = build_corpus(spec)
        facts = corpus.world.facts
        told = [*corpus.tellings, *facts["question"]]
        tokenizer = train_tokenizer(told, spec.vocabulary)
        names = tokenizer([f" {name}" for name in facts["subject"].unique()])["input_ids"]
        assert {len(each) for each in names} == {1}
