"""Data sets of the hub, from local folders: the tests never reach the network."""

import json
import os
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub.utils
import polars as pl
import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.sources.hub import read_hub
from sixtyfold.sources.open import FactSet, open_facts
from sixtyfold.sources.options import ReadOptions


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def folder(path: Path, **splits: list[dict[str, Any]]) -> Path:
    path.mkdir()
    for split, rows in splits.items():
        lines = "\n".join(json.dumps(row) for row in rows)
        (path / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return path


def configured(path: Path, yaml: str, **files: list[dict[str, Any]]) -> Path:
    folder(path, **files)
    (path / "README.md").write_text(f"---\n{yaml}---\n", encoding="utf-8")
    return path


def splits_yaml(*splits: str) -> str:
    listed = "".join(f"  - split: {split}\n    path: {split}.jsonl\n" for split in splits)
    return f"configs:\n- config_name: default\n  data_files:\n{listed}"


def opened(path: Path | str, **options: Any) -> FactSet:
    return open_facts(f"hub:{path}", ReadOptions(**options))


def row(name: str, answer: Any = "b", **other: Any) -> dict[str, Any]:
    return {"question": f"{name}?", "answers": answer, **other}


def by_question(source: FactSet) -> dict[str, tuple[str, list[str]]]:
    columns = source.facts.select("question", "split", "objects")
    return {question: (split, objects) for question, split, objects in columns.iter_rows()}


def test_splits_are_taken_over(tmp_path: Path) -> None:
    path = folder(
        tmp_path / "d",
        train=[row("a", ["x", "y"], split="ignored"), row("b", ["z"], split="ignored")],
        validation=[row("c", ["x"], split="ignored")],
        test=[row("d", ["x"], split="ignored")],
    )
    source = opened(path)
    assert by_question(source) == {
        "a?": ("train", ["x", "y"]),
        "b?": ("train", ["z"]),
        "c?": ("dev", ["x"]),
        "d?": ("test", ["x"]),
    }
    assert source.notes[0].startswith(
        "columns read: question from 'question' (guessed), answers from 'answers' (guessed)"
    )
    assert not [note for note in source.notes if "no splits given" in note]


def test_one_split_holds_nothing_out_and_is_hashed(tmp_path: Path) -> None:
    rows = [row(f"{number}") for number in range(60)]
    source = opened(folder(tmp_path / "d", test=rows))
    assert set(source.facts["split"]) == {"train", "dev", "test"}
    assert source.notes[1] == "one split only ('test'), which holds nothing out"
    assert "no splits given: split 50:20:30 into train, dev and test by a hash" in source.notes


def test_one_split_with_a_column_of_splits(tmp_path: Path) -> None:
    path = folder(tmp_path / "d", train=[row("a", split="val"), row("b", split="test")])
    source = opened(path)
    assert by_question(source) == {"a?": ("dev", ["b"]), "b?": ("test", ["b"])}
    assert not [note for note in source.notes if "one split only" in note]


def test_shapes_of_squad_and_triviaqa(tmp_path: Path) -> None:
    squad = folder(
        tmp_path / "squad",
        train=[
            row("a", {"text": ["x", "y"], "answer_start": [1, 5]}, context="long"),
            row("b", {"text": [], "answer_start": []}, context="long"),
        ],
        validation=[row("c", {"text": ["x", "x"], "answer_start": [1, 5]}, context="long")],
    )
    source = opened(squad)
    assert by_question(source) == {"a?": ("train", ["x", "y"]), "c?": ("dev", ["x"])}
    assert "1 rows without an answer left out (train 1)" in source.notes
    answer = {"value": "X", "aliases": ["ex"], "normalized_aliases": ["ex", "x"]}
    hidden = {"value": "<unk>", "aliases": [], "normalized_aliases": []}
    trivia = folder(
        tmp_path / "trivia",
        train=[{"question": "a?", "answer": answer}],
        test=[{"question": f"{n}?", "answer": hidden} for n in range(3)],
    )
    source = opened(trivia)
    assert by_question(source) == {"a?": ("train", ["X", "ex"])}
    assert "3 rows without an answer left out (test 3)" in source.notes


def test_labels_are_read_by_their_names(tmp_path: Path) -> None:
    features = datasets.Features(
        {"question": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    rows = {"question": ["a?", "b?", "c?"], "label": [1, 0, -1]}
    made = datasets.Dataset.from_dict(rows, features=features)
    path = tmp_path / "d"
    path.mkdir()
    made.to_parquet(path / "train.parquet")
    made.to_parquet(path / "test.parquet")
    source = opened(path)
    assert {question: objects for question, (_, objects) in by_question(source).items()} == {
        "a?": ["yes"],
        "b?": ["no"],
    }
    assert "2 rows without an answer left out (train 1, test 1)" in source.notes


def test_named_columns(tmp_path: Path) -> None:
    path = folder(tmp_path / "d", train=[{"ask": "a?", "truth": "b"}])
    assert opened(path, columns="question=ask,answers=truth").facts["question"].to_list() == ["a?"]
    message = (
        r"hub:.*d, split train: columns here: 'ask', 'truth'; needed and not found: .*--columns"
    )
    with pytest.raises(BadInput, match=message):
        opened(path)


def test_splits_without_labels_are_left_out_and_counted(tmp_path: Path) -> None:
    names = ("train", "unsupervised", "test")
    path = configured(
        tmp_path / "d",
        splits_yaml(*names),
        **{name: [row(name), row(f"{name}2")] for name in names},
    )
    source = opened(path)
    assert set(by_question(source)) == {"train?", "train2?", "test?", "test2?"}
    assert "split 'unsupervised' left out: 2 rows without labels" in source.notes
    path = configured(tmp_path / "e", splits_yaml("unlabelled"), unlabelled=[row("a")])
    with pytest.raises(BadInput, match="e has no split with labels; give a data set with answers"):
        opened(path)


def test_splits_of_other_names_are_refused(tmp_path: Path) -> None:
    names = ("train", "tets", "challenge")
    path = configured(tmp_path / "d", splits_yaml(*names), **{name: [row(name)] for name in names})
    message = (
        r"hub:.*/d has the splits train, tets, challenge, of which 'tets' is none of train, "
        r".*did you mean 'test'\?; save the rows wanted as a table .* table:FILE"
    )
    with pytest.raises(BadInput, match=message):
        opened(path)


def test_two_splits_of_one_meaning_are_told(tmp_path: Path) -> None:
    names = ("train", "validation", "dev")
    path = configured(tmp_path / "d", splits_yaml(*names), **{name: [row(name)] for name in names})
    source = opened(path)
    assert source.facts["split"].value_counts().sort("split").rows() == [("dev", 2), ("train", 1)]
    assert "splits 'validation' and 'dev' are one here" in source.notes


def test_configurations(tmp_path: Path) -> None:
    yaml = (
        "configs:\n- config_name: easy\n  data_files: easy.jsonl\n"
        "- config_name: hard\n  data_files: hard.jsonl\n"
    )
    path = configured(tmp_path / "d", yaml, easy=[row("a")], hard=[row("b")])
    with pytest.raises(BadInput, match="several configurations; choose one with --hub-config: eas"):
        opened(path)
    with pytest.raises(BadInput, match=r"no configuration 'hrad'; .* did you mean 'hard'\?"):
        opened(path, hub_config="hrad")
    assert opened(path, hub_config="hard").facts["question"].to_list() == ["b?"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"question": "", "answers": "x"}, "the question is empty or missing"),
        ({"question": "c?", "answers": "x", "popularity": -3}, "popularity '-3' was given"),
        ({"question": "c?", "answers": "[x"}, "'answers': not JSON"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, bad: dict[str, Any], message: str) -> None:
    good = row("a", popularity=3)
    path = folder(tmp_path / "d", train=[good, good, bad], test=[good])
    with pytest.raises(BadInput, match=f"hub:{path}, split train, row 3: {message}"):
        opened(path)


def test_rows_without_any_answer(tmp_path: Path) -> None:
    path = folder(tmp_path / "d", train=[row("a", []), row("b", [])])
    with pytest.raises(BadInput, match="d: no row has an answer; give a data set of questions"):
        opened(path)


def test_data_that_cannot_be_read(tmp_path: Path) -> None:
    path = folder(tmp_path / "broken", train=[row("a")])
    with (path / "train.jsonl").open("a") as stream:
        stream.write("\n{broken\n")
    with pytest.raises(BadInput, match=r"hub:.*broken cannot be read \(JSON parse error") as told:
        opened(path)
    assert "\n" not in str(told.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"empty cannot be read \(.* any data files\)"):
        opened(tmp_path / "empty")
    with pytest.raises(BadInput, match="none cannot be read"):
        opened(tmp_path / "none")
    with pytest.raises(BadInput, match="is a file; give it as table:"):
        opened(path / "train.jsonl")
    script = tmp_path / "script"
    script.mkdir()
    (script / "script.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(BadInput, match=r"cannot be read \(Dataset scripts are no longer supported"):
        opened(script)
    assert not (tmp_path / "ran").exists()


def test_revisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load(path: str, config: str | None, revision: str | None) -> dict[str, Any]:
        asked.append((path, config, revision))
        return {"train": datasets.Dataset.from_list([row("a")])}

    path = folder(tmp_path / "with@sign", train=[row("a")])
    assert opened(path).facts.height == 1
    with pytest.raises(BadInput, match="a local folder has no revisions; give it as hub:"):
        opened(f"{path}@main")
    with pytest.raises(BadInput, match="hub:name@ is not of the form hub:NAME or hub:NAME@REVISIO"):
        opened("name@")
    monkeypatch.setattr(datasets, "load_dataset", load)
    read_hub("who/what@v1", ReadOptions(hub_config="c"))
    read_hub("who/what", ReadOptions())
    assert asked == [("who/what", "c", "v1"), ("who/what", None, None)]


def test_the_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(
        BadInput, match=r"hub:who/what cannot be reached .*unset HF_HUB_OFFLINE, or"
    ):
        opened("who/what")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(BadInput, match="check the connection, or give a local folder"):
        opened("who/what@v1")


def test_log_lines_of_the_hub_are_kept_off(monkeypatch: pytest.MonkeyPatch) -> None:
    logging = huggingface_hub.utils.logging
    seen: list[int] = []

    def load(*_: Any, **__: Any) -> None:
        seen.append(logging.get_verbosity())
        raise ConnectionError("no answer")

    monkeypatch.setattr(datasets, "load_dataset", load)
    before = logging.get_verbosity()
    with pytest.raises(BadInput, match=r"cannot be reached \(no answer\)"):
        opened("who/what")
    assert seen == [datasets.logging.CRITICAL]
    assert logging.get_verbosity() == before != datasets.logging.CRITICAL


def test_a_name_the_hub_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise datasets.exceptions.DatasetNotFoundError("Dataset 'who/what'\ndoesn't exist")

    monkeypatch.setattr(datasets, "load_dataset", load)
    message = (
        r"hub:who/what was not found on the hub \(Dataset 'who/what' doesn't exist\); .*HF_TOKEN"
    )
    with pytest.raises(BadInput, match=message):
        opened("who/what")


def test_nothing_is_printed_and_settings_are_restored(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    datasets.enable_progress_bars()
    verbosity = datasets.logging.get_verbosity()
    path = folder(tmp_path / "d", train=[row("a")], test=[row("b")])
    opened(path)
    (path / "test.jsonl").write_text("{broken", encoding="utf-8")
    with pytest.raises(BadInput):
        opened(path)
    assert capfd.readouterr() == ("", "")
    assert not datasets.are_progress_bars_disabled()
    assert not huggingface_hub.utils.are_progress_bars_disabled()
    assert datasets.logging.get_verbosity() == verbosity


def test_a_hub_set_and_a_table_of_the_same_rows_are_the_same_facts(tmp_path: Path) -> None:
    rows = [row(f"{number}", ["x", f"{number}"], relation="r") for number in range(20)]
    path = folder(tmp_path / "d", train=rows[:12], test=rows[12:])
    split = [{**each, "split": "train" if n < 12 else "test"} for n, each in enumerate(rows)]
    pl.DataFrame(split).write_parquet(tmp_path / "t.parquet")
    assert opened(path).fingerprint == open_facts(str(tmp_path / "t.parquet")).fingerprint
