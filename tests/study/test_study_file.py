from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sixtyfold.core.errors import BadInput
from sixtyfold.study.file import Grid, StudyFile
from sixtyfold.study.reading import presets, read_study


def study(tmp_path: Path, **values: Any) -> StudyFile:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump({"name": "s", **values}))
    return read_study(path)


def grid(**values: Any) -> dict[str, Any]:
    return {"grids": [{"name": "g", **values}]}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"modles": ["embedded"]}, "unknown option 'modles'.*did you mean 'models'"),
        (grid(select={"sizes": 60}), "grids: g: select: unknown option 'sizes'.*mean 'size'"),
        (grid(select={"size": "many"}), "grids: g: select: .*size.*'many'"),
        (grid(tune={"learning_rate": [1e-4, -1]}), "grids: g: tune: .*learning_rate.*-1"),
        (grid(tune={"seed": 3}), "'seed'.*the study decides"),
        (grid(select={"size": "60,240"}), "size: 60,240 is a ladder.*size: \\[60, 240\\]"),
        (grid(select={"replicas": 3}), "replicas.*seeds"),
        (grid(tune={"epochs": 1}, choose="learning_rate"), "choose: learning_rate is no list"),
        (grid(select={"size": [1]}, without=[{"lora_rank": 1}]), "without names 'lora_rank'"),
        ({"probe": {"template": 3}}, "probe: unknown option 'template'.*mean 'templates'"),
        ({"shared": {"promt_form": "chat"}}, "shared names 'promt_form'.*'prompt_form'"),
        ({"models": [{"model": "embedded", "dtyp": "auto"}]}, "'dtyp'.*mean 'dtype'"),
        ({"models": ["a/m", "b/m"]}, "model 'm' stands twice"),
        ({"seeds": [0, 0]}, "different whole numbers"),
        ({"resources": {"tuen": {"cpus": 2}}}, "'tuen'.*mean 'tune'"),
        ({"name": "../up"}, "option 'name'"),
        ({"extends": "ye2042"}, "extends 'ye2042'.*ye2024"),
        ({"models": []}, "option 'models'.*at least 1"),
        ({"grids": {"name": "g"}}, "grids was given .*; allowed: a list"),
        ({"grids": [{"name": "base"}]}, "'base': results of untuned models are called so"),
        (grid(select={"size": []}), "grids: g: select: size is a list of nothing"),
        (grid(select={"size": [[60, 240]]}), "size: .* holds a list in a list"),
        (grid(select={"size": [60, 240]}, without=[{"size": 24}]), "no combination has .*24"),
        (grid(select={"size": [60]}, without=[{"size": 60}]), "without leaves nothing"),
        (grid(search=[{}, {"tops": [1]}]), "grids: g: search: unknown option 'tops'.*'top'"),
        (grid(search={"lm_eval_task": "x", "match": "paper"}), "search: --match is about facts"),
        ({"evaluate": {"split": "train"}}, r"evaluate: unknown option 'split' \(the study"),
        ({"shared": {"probe": "p"}}, "shared names 'probe', which no stage has or the study"),
        ({"shared": {"plan": True}}, "shared names 'plan'"),
        ({"shared": {"size": 30}}, "shared names 'size', which only select has; give it there"),
        ({"resources": {"tune": {"cpu": 1}}}, "unknown option 'resources.tune.cpu'"),
        ({"resources": {"tune": {"cpus": "two"}}}, "resources.tune.cpus.*'two'"),
    ],
)
def test_what_is_not_allowed_is_named(values: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        study(tmp_path, **values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- a list", "name: [", "\x00"])
def test_a_file_that_is_no_study(text: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(BadInput, match=r"s\.yaml (is not YAML|holds no mapping)"):
        read_study(tmp_path / "s.yaml")


def test_a_missing_file_names_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"there is no study file.*ye2024, ye2025"):
        read_study(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", presets())
def test_shipped_studies_are_read(name: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(f"extends: {name}\nname: mine\nfacts: {{facts: atlas}}\n")
    found = read_study(tmp_path / "s.yaml")
    assert found.name == "mine"
    assert found.facts["facts"] == "atlas"
    assert found.grids
    assert found.about


def test_a_grid_is_the_product_of_its_lists() -> None:
    found = Grid.model_validate(
        {
            "name": "g",
            "select": {"size": [60, 240], "levels": ["natural", "2"], "short": "fill"},
            "tune": {"learning_rate": [1e-5, 1e-4]},
            "without": [{"size": 240, "levels": 2}],
        }
    )
    seen = [(s["size"], s["levels"], t["learning_rate"]) for s, t in found.combinations()]
    assert seen == [
        (size, levels, rate)
        for size, levels in (("60", "natural"), ("60", "2"), ("240", "natural"))
        for rate in (1e-5, 1e-4)
    ]


def test_a_number_that_yaml_takes_for_a_word_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: s\ngrids: [{name: g, tune: {learning_rate: [1e-5, 1.0e-5]}}]\n")
    rates = [tune["learning_rate"] for _, tune in read_study(path).grids[0].combinations()]
    assert rates == [1e-5]


def test_places_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACTS_HERE", "/data/facts")
    found = study(tmp_path, facts={"facts": "entityquestions:${FACTS_HERE}"})
    assert found.facts["facts"] == "entityquestions:/data/facts"
    with pytest.raises(BadInput, match=r"asks for \$\{NOT_SET\}, which is not set"):
        study(tmp_path, facts={"facts": "entityquestions:${NOT_SET}"})


def test_what_is_left_out_is_compared_as_it_is_read() -> None:
    rates = {"learning_rate": ["1e-5", 1e-4]}
    found = Grid.model_validate(
        {"name": "g", "tune": rates, "without": [{"learning_rate": "1e-5"}]}
    )
    assert [tune["learning_rate"] for _, tune in found.combinations()] == [1e-4]


def test_levels_may_be_numbers() -> None:
    found = Grid.model_validate({"name": "g", "select": {"levels": [0, 4, "2,3"]}})
    assert [select["levels"] for select, _ in found.combinations()] == ["0", "4", "2,3"]
    assert Grid.model_validate({"name": "g", "select": {"levels": 3}}).select["levels"] == "3"


def test_complaints_do_not_repeat_the_section(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        study(tmp_path, **grid(tune={"epochs": 1, "max_steps": 3}))
    said = "s.yaml: grids: g: tune: --max-steps 3 and --epochs 1 were both given; give one of them"
    assert str(caught.value).endswith(said)
