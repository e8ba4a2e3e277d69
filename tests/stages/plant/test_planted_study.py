"""The study of planted models and the commands that plant them fit together."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from sixtyfold.cli import parse
from sixtyfold.stages.plant.facts import build_world
from sixtyfold.stages.plant.spec import PlantSpec
from sixtyfold.study.reading import read_study

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def specs() -> dict[str, PlantSpec]:
    """What the guide's commands ask for, by where they plant it."""
    text = (ROOT / "docs" / "plant.md").read_text(encoding="utf-8")
    (same,) = re.findall(r'^SAME="(.*)"$', text, re.MULTILINE)
    lines = re.findall(r"^sixtyfold plant \$SAME (.*)$", text, re.MULTILINE)
    found = [parse("plant", PlantSpec, shlex.split(f"{same} {line}")) for line in lines]
    return {str(each.out): each for each in found if isinstance(each, PlantSpec)}


def test_the_guide_plants_the_models_of_the_study(specs: dict[str, PlantSpec]) -> None:
    study = read_study(ROOT / "examples" / "planted_study.yaml")
    assert {each.model for each in study.models} == set(specs)
    assert len({each.architecture for each in specs.values()}) == 3
    assert len({(each.corpus, each.forms) for each in specs.values()}) == 3
    assert study.facts["facts"] in specs


def test_its_models_share_facts_enough(specs: dict[str, PlantSpec]) -> None:
    worlds = [build_world(spec) for spec in specs.values()]
    for world in worlds[1:]:
        assert world.facts.equals(worlds[0].facts)
        assert world.templates.equals(worlds[0].templates)
        assert world.exposures.equals(worlds[0].exposures)
    train = worlds[0].facts.filter(split="train")
    assert train.height >= 5 * 2 * 240
    assert train["relation"].n_unique() == 6
