"""EntityQuestions in its official form, in small made-up folders: what is read, what is refused."""

import gzip
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.sources.clean import YE2025_IN_DOMAIN
from sixtyfold.sources.entityquestions import patterns, read_entityquestions
from sixtyfold.sources.open import FactSet, open_facts
from sixtyfold.sources.options import ReadOptions
from sixtyfold.sources.relations import read_data

Record = dict[str, Any]
FORM = "needed is a folder with train/P17.train.json, dev/P17.dev.json, test/P17.test.json"


def capital(subject: str, *answers: Any) -> Record:
    return {"question": f"What is the capital of {subject}?", "answers": list(answers)}


OSLO = capital("Norway", "Oslo")
LIMA = capital("Peru", "Lima")


def folder(root: Path, files: dict[str, Any]) -> Path:
    """Write a data set; a value that is text or bytes stands in its file as it is."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text, encoding="utf-8")
    return root


def opened(root: Path, aliases: str | None = "none", **options: Any) -> FactSet:
    return open_facts(f"entityquestions:{root}", ReadOptions(aliases=aliases, **options))


def by_subject(source: FactSet) -> dict[str, dict[str, Any]]:
    return {row["subject"]: row for row in source.facts.iter_rows(named=True)}


def refusal(root: Path) -> str:
    with pytest.raises(BadInput) as refused:
        opened(root)
    told = str(refused.value)
    assert "\n" not in told
    assert len(told) < 1500
    return told


def test_a_folder_is_read_whole(tmp_path: Path) -> None:
    files = {
        "train/P36.train.json": [OSLO, capital("Chad", "N'Djamena", " Fort-Lamy ")],
        "dev/P36.dev.json": [LIMA],
        "test/P36.test.json": [capital("Łódź", "東京")],
        "test/P26.test.json": [{"question": "Who is Ada married to?", "answers": ["Bob"]}],
        "README.md": "not read",
        "relation_query_templates.json": "{",
    }
    source = opened(folder(tmp_path / "eq", files))
    columns = ("relation", "subject", "objects", "question", "split", "domain")
    assert sorted(source.facts.select(columns).rows()) == sorted(
        [
            ("P36", "Norway", ["Oslo"], OSLO["question"], "train", "in"),
            (
                "P36",
                "Chad",
                ["N'Djamena", "Fort-Lamy"],
                "What is the capital of Chad?",
                "train",
                "in",
            ),
            ("P36", "Peru", ["Lima"], LIMA["question"], "dev", "in"),
            ("P36", "Łódź", ["東京"], "What is the capital of Łódź?", "test", "in"),
            ("P26", "Ada", ["Bob"], "Who is Ada married to?", "test", "out"),
        ]
    )
    assert source.facts["flags"].to_list() == [[]] * 5
    assert source.facts["popularity"].null_count() == 5
    assert source.name == "entityquestions:eq"
    assert source.notes[0].startswith(
        "5 rows read; in the papers' relations 2 train, 1 test and 1 out-of-domain test (arXiv"
    )
    texts = source.templates.filter(relation="P36")["text"].to_list()
    assert texts == read_data("entityquestions.yaml")["P36"]["templates"]


@pytest.mark.parametrize("relation", patterns())
@pytest.mark.parametrize("subject", ["Ada Lovelace", "What is the capital of Peru?", "A?", "İ's"])
def test_the_subject_is_what_stands_inside_the_question(
    tmp_path: Path, relation: str, subject: str
) -> None:
    before, after = patterns()[relation]
    record = {"question": f"{before}{subject}{after}", "answers": ["x"]}
    rows = read_entityquestions(
        str(folder(tmp_path, {f"dev/{relation}.dev.json": [record]})), ReadOptions()
    ).rows
    domain = "in" if relation in YE2025_IN_DOMAIN else "out"
    columns = ("relation", "subject", "question", "split", "domain")
    assert rows.select(columns).rows() == [(relation, subject, record["question"], "dev", domain)]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (
            {"question": "Where is the capital of Peru?", "answers": ["Lima"]},
            "'Where is the capital of Peru?' is not of the form 'What is the capital of SUBJECT?'",
        ),
        (capital("", "Lima"), "the question 'What is the capital of ?' is not of the form"),
        (capital(" ", "Lima"), "the question 'What is the capital of  ?' is not of the form"),
        ({"question": "What is the capital of", "answers": ["Lima"]}, "is not of the form"),
        ({"question": "", "answers": ["Lima"]}, "the question '' is not of the form"),
        ({"answers": ["Lima"]}, "'question' is missing"),
        ({"question": LIMA["question"]}, "'answers' is missing"),
        ({}, "'question' is missing"),
        ({**LIMA, "question": ["x"]}, "'question' needs text and holds a list"),
        ({**LIMA, "question": None}, "'question' needs text and holds a NoneType"),
        ({**LIMA, "answers": "Lima"}, "'answers' needs a list and holds a str"),
        ({**LIMA, "answers": None}, "'answers' needs a list and holds a NoneType"),
        (capital("Peru"), "'answers' is empty"),
        (capital("Peru", "Lima", ["Callao"]), "'answers' needs texts and holds ['Callao']"),
        (capital("Peru", "Lima", {"a": "b"}), "'answers' needs texts and holds {'a': 'b'}"),
        (capital("Peru", None), "'answers' needs texts and holds None"),
        (capital("Peru", "Lima", True), "'answers' needs texts and holds True"),
        (capital("Peru", "Lima", " "), "'answers' needs texts and holds ' '"),
        (capital("Peru", "Li\ud800ma"), "a text holds half a character (a lone surrogate)"),
        (capital("Pe\udfffru", "Lima"), "a text holds half a character (a lone surrogate)"),
        ([LIMA], "an object with question and answers is needed, found a list"),
        ("Lima", "an object with question and answers is needed, found a str"),
    ],
)
def test_a_record_of_another_form_is_named(tmp_path: Path, record: Any, reason: str) -> None:
    root = folder(tmp_path, {"dev/P36.dev.json": [OSLO, record, LIMA]})
    told = refusal(root)
    assert told.startswith(f"{root / 'dev' / 'P36.dev.json'}, record 2: ")
    assert reason in told
    assert told.endswith("; mend or drop the record")


def test_a_number_among_the_answers_is_the_text_it_is_written_as(tmp_path: Path) -> None:
    text = '[{"question": "What is the capital of Peru?", "answers": ["Lima", 1984, 1.50]}]'
    source = opened(folder(tmp_path, {"dev/P36.dev.json": text}))
    assert by_subject(source)["Peru"]["objects"] == ["Lima", "1984", "1.50"]


TWICE = '{"question": "What is the capital of Peru?", "answers": ["Lima"], "answers": ["Cusco"]}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            f"[{json.dumps(OSLO)},\n{TWICE}]",
            r"json, record 2: the key 'answers' stands twice; mend",
        ),
        ("[{", r"json, record 1: not JSON \(Expecting property name"),
        (f"[{json.dumps(OSLO)}", "json, record 1: neither ',' nor ']' stands behind it; mend"),
        (f"[{json.dumps(OSLO)}] x", "json: text goes on behind the list of records"),
        ('[{"question": NaN}]', "json, record 1: NaN is no JSON value"),
        ("[" * 100_000, r"json, record 1: not JSON of a record \(nested too deeply\)"),
        (json.dumps(OSLO), "json: holds a dict; a list of records is needed"),
        (json.dumps({"P36": [OSLO]}), "json: holds a dict; a list of records is needed"),
        (f"{json.dumps(OSLO)}\n{json.dumps(LIMA)}\n", r"json: text goes on behind the value"),
        ("[]", "json: holds an empty list; a list of records is needed"),
        ("null", "json: holds a NoneType; a list of records is needed"),
        ("", "json is empty"),
        (" \n", "json: needed is a JSON list of records"),
        (b'[\n{"question":\n"caf\xe9"}]', r"json, line 3: not UTF-8 \(byte 0xe9\); save the file"),
        (json.dumps([OSLO]).encode("utf-16"), "json is UTF-16; save it as UTF-8"),
        (gzip.compress(b"[]", mtime=0), "json is compressed with gzip; unpack it"),
        (b"version https://git-lfs.github.com/spec/v1\n", "json is a Git LFS pointer; fetch"),
    ],
)
def test_a_file_that_is_no_list_of_records_is_named(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    files = {"dev/P36.dev.json": [OSLO], "test/P36.test.json": content}
    root = folder(tmp_path, files)
    told = refusal(root)
    assert told.startswith(str(root / "test" / "P36.test.json"))
    assert re.search(message, told), told


def test_a_byte_order_mark_is_no_part_of_the_list(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + json.dumps([OSLO]).encode()
    assert set(by_subject(opened(folder(tmp_path, {"dev/P36.dev.json": content})))) == {"Norway"}


def test_a_zip_or_a_file_is_not_the_folder(tmp_path: Path) -> None:
    packed = tmp_path / "dataset.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("dataset/train/P36.train.json", "[]")
    told = refusal(packed)
    assert told.startswith(f"entityquestions:{packed} is a zip archive; unpack it and give")
    assert FORM in told
    plain = folder(tmp_path, {"train/P36.train.json": [OSLO]}) / "train" / "P36.train.json"
    assert refusal(plain).startswith(f"entityquestions:{plain} is a file; {FORM}")
    missing = tmp_path / "none"
    assert refusal(missing).startswith(f"entityquestions:{missing} does not exist; {FORM}")


def test_a_folder_one_level_too_high_names_the_right_one(tmp_path: Path) -> None:
    right = folder(tmp_path / "data" / "dataset", {"train/P36.train.json": [OSLO]})
    (tmp_path / "data" / "another").mkdir()
    told = refusal(tmp_path / "data")
    assert told.startswith(f"entityquestions:{tmp_path / 'data'} holds no such file; {FORM}")
    assert told.endswith(f"; did you mean {right}?")
    assert by_subject(opened(right)).keys() == {"Norway"}


def test_a_folder_without_files_of_the_data_set_is_refused(tmp_path: Path) -> None:
    folder(tmp_path, {"train/README.md": "nothing", "P36.train.json": [OSLO]})
    told = refusal(tmp_path)
    assert told.startswith(f"entityquestions:{tmp_path} holds no such file; {FORM}")
    assert "did you mean" not in told


@pytest.mark.parametrize("name", ["P36.dev.json", "P36.json", "p36.train.json", "36.train.json"])
def test_a_file_of_a_wrong_name_is_refused(tmp_path: Path, name: str) -> None:
    root = folder(tmp_path, {"train/P17.train.json": [], f"train/{name}": [OSLO]})
    assert refusal(root) == (
        f"{root / 'train' / name}: the name is not of the form RELATION.train.json; "
        "rename the file or move it away"
    )


def test_an_unknown_relation_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path, {"train/P361.train.json": [OSLO]})
    told = refusal(root)
    path = root / "train" / "P361.train.json"
    assert told.startswith(f"{path}: relation P361 is none of EntityQuestions; did you mean 'P")
    assert f"allowed are {', '.join(patterns())}" in told


@pytest.mark.parametrize(
    ("splits", "kept"),
    [
        (("train", "dev", "test"), "test"),
        (("train", "dev"), "dev"),
        (("dev", "test"), "test"),
        (("train", "test"), "test"),
    ],
)
def test_a_fact_in_several_splits_is_held_out_and_flagged(
    tmp_path: Path, splits: tuple[str, ...], kept: str
) -> None:
    files = {f"{split}/P36.{split}.json": [LIMA] for split in splits}
    files["train/P36.train.json"] = [*files.get("train/P36.train.json", []), OSLO, OSLO]
    source = opened(folder(tmp_path, files))
    facts = by_subject(source)
    assert (facts["Peru"]["split"], facts["Peru"]["objects"]) == (kept, ["Lima"])
    assert facts["Peru"]["flags"] == ["in_several_splits"]
    assert (facts["Norway"]["split"], facts["Norway"]["flags"]) == ("train", [])
    assert f"{len(splits)} rows merged into facts seen before" in source.notes


def test_contradicting_rows_are_ambiguous_and_can_be_dropped(tmp_path: Path) -> None:
    files = {
        "train/P36.train.json": [
            capital("Peru", "Lima"),
            capital("Peru", "Peru, Indiana"),
            capital("Chad", "N'Djamena"),
            capital("Chad", "N'Djamena", "Fort-Lamy"),
        ]
    }
    root = folder(tmp_path, files)
    facts = by_subject(opened(root))
    assert facts["Peru"]["objects"] == ["Lima", "Peru, Indiana"]
    assert "ambiguous" in facts["Peru"]["flags"]
    assert (facts["Chad"]["objects"], facts["Chad"]["flags"]) == (["N'Djamena", "Fort-Lamy"], [])
    left = opened(root, ambiguous="drop")
    assert set(by_subject(left)) == {"Chad"}
    assert "1 ambiguous facts dropped" in left.notes


def test_an_answer_that_stands_in_the_subject_is_flagged(tmp_path: Path) -> None:
    records = [capital("Luxembourg City", "luxembourg"), capital("Romeo", "Rome")]
    facts = by_subject(opened(folder(tmp_path, {"dev/P36.dev.json": records})))
    assert facts["Luxembourg City"]["flags"] == ["answer_in_subject"]
    assert facts["Romeo"]["flags"] == []


def test_names_of_countries_are_added_unless_they_are_not_wanted(tmp_path: Path) -> None:
    question = "Which country is the Shwedagon located in?"
    files = {"dev/P17.dev.json": [{"question": question, "answers": ["Myanmar"]}]}
    root = folder(tmp_path, files)
    usual, without = opened(root, aliases=None), opened(root, aliases="none")
    assert usual.facts["objects"].to_list() == [["Myanmar", "Burma"]]
    assert "1 rows got more accepted answers (packages)" in usual.notes
    assert without.facts["objects"].to_list() == [["Myanmar"]]
    assert not any("accepted answers" in note for note in without.notes)
    assert usual.facts.drop("objects").equals(without.facts.drop("objects"))
    assert usual.fingerprint != without.fingerprint


def test_names_of_a_country_do_not_contradict_each_other(tmp_path: Path) -> None:
    question = "Which country is the Shwedagon located in?"
    records = [{"question": question, "answers": [name]} for name in ("Myanmar", "Burma")]
    root = folder(tmp_path, {"dev/P17.dev.json": records})
    assert opened(root, aliases=None).facts["flags"].to_list() == [[]]
    assert opened(root, aliases="none").facts["flags"].to_list() == [["ambiguous"]]


def test_file_order_changes_nothing(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", {"train/P36.train.json": [OSLO, LIMA]})
    other = folder(tmp_path / "other", {"train/P36.train.json": [LIMA, OSLO]})
    assert opened(one).fingerprint == opened(other).fingerprint
