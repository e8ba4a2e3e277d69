"""More accepted answers: out of the packages and out of a user's file."""

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import normalise
from sixtyfold.sources.aliases import add_aliases, country_names


def rows(*objects: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"objects": objects}, schema={"objects": pl.List(pl.String)})


def with_aliases(wanted: str | None, *objects: list[str]) -> tuple[list[list[str]], list[str]]:
    table, notes = add_aliases(rows(*objects), wanted)
    return table["objects"].to_list(), notes


def write(path: Path, content: str) -> str:
    path.write_text(content, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("wanted", [None, "none", " none "])
def test_none_changes_nothing_and_says_nothing(wanted: str | None) -> None:
    assert with_aliases(wanted, ["USA"]) == ([["USA"]], [])


def test_countries_get_their_other_names_behind_the_given_one() -> None:
    objects, notes = with_aliases("packages", ["United States of America"], ["Paris"], ["myanmar"])
    assert objects[0][0] == "United States of America"
    assert {"United States", "USA", "U.S."} <= set(objects[0])
    assert objects[1:] == [["Paris"], ["myanmar", "Burma"]]
    assert notes == ["2 rows got more accepted answers (packages)"]


def test_a_name_that_brings_nothing_new_is_not_counted() -> None:
    objects, notes = with_aliases("packages", ["France"], ["burma", "MYANMAR"])
    assert objects == [["France"], ["burma", "MYANMAR"]]
    assert notes == ["0 rows got more accepted answers (packages)"]


@pytest.mark.parametrize("part", ["England", "Scotland", "Wales", "Northern Ireland"])
def test_a_part_of_a_country_is_neither_the_country_nor_another_part(part: str) -> None:
    assert with_aliases("packages", [part])[0] == [[part]]
    assert part not in with_aliases("packages", ["United Kingdom"])[0][0]


def test_no_two_countries_share_a_name() -> None:
    whole = {frozenset(map(normalise, names)) for names in country_names().values()}
    assert len(whole) > 190
    assert sum(map(len, whole)) == len(frozenset().union(*whole))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.yaml", "New York City: [NYC, The  Big Apple]\nPeking: Beijing\n1984: [Nineteen]"),
        (
            "a.json",
            '{"New York City": ["NYC", "The Big Apple"], "Peking": "Beijing", "1984": "Nineteen"}',
        ),
        ("a.csv", '"New York City",NYC, The Big Apple\n\nPeking,Beijing,\n1984,Nineteen\n'),
        ("A.CSV", "\ufeffnew york city,NYC,The Big Apple\r\nPEKING,Beijing\r\n1984,Nineteen"),
    ],
)
def test_the_same_aliases_in_every_format(tmp_path: Path, name: str, content: str) -> None:
    wanted = write(tmp_path / name, content)
    objects, notes = with_aliases(wanted, ["NEW YORK CITY"], ["Peking"], ["1984"], ["Rome"])
    assert objects == [
        ["NEW YORK CITY", "NYC", "The Big Apple"],
        ["Peking", "Beijing"],
        ["1984", "Nineteen"],
        ["Rome"],
    ]
    assert notes == [f"3 rows got more accepted answers ({wanted})"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", "NYC,New York\nnyc,Big Apple\n"), ("a.yaml", "NYC: [New York]\nnyc: [Big Apple]")],
)
def test_an_answer_given_twice_keeps_both_lines(tmp_path: Path, name: str, content: str) -> None:
    objects, _ = with_aliases(write(tmp_path / name, content), ["NYC"])
    assert objects == [["NYC", "New York", "Big Apple"]]


def test_a_csv_field_may_hold_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    content = '"Doe, John","the ""Don""","two\nlines"\n'
    objects, _ = with_aliases(write(tmp_path / "a.csv", content), ["Doe, John"])
    assert objects == [["Doe, John", 'the "Don"', "two lines"]]


def test_packages_and_a_file_together(tmp_path: Path) -> None:
    wanted = write(tmp_path / "a.yaml", "Burma: [Birma]\nRome: [Roma]")
    objects, _ = with_aliases(f"packages, {wanted}", ["Burma"], ["Rome"])
    assert objects == [["Burma", "Myanmar", "Birma"], ["Rome", "Roma"]]


def test_aliases_of_every_accepted_answer_are_added_each_once(tmp_path: Path) -> None:
    wanted = write(tmp_path / "a.yaml", "a: [x, X, b]\nb: [y, x]")
    assert with_aliases(wanted, ["a", "b"])[0] == [["a", "b", "x", "y"]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.yaml",
            "- a\n- b",
            "holds a list; needed is 'answer: \\[alias\\]' as yaml, json or csv",
        ),
        ("a.yaml", "", "holds nothing; needed is 'answer: \\[alias\\]'"),
        ("a.yaml", "a: [b", r"is not readable YAML \(line 1: .*needed is 'answer: \[alias\]'"),
        ("a.yaml", "a: [b]\nc: 2020-13-45", r"\(line 2: '2020-13-45' .*month must be in"),
        ("a.yaml", "a: [b]\nc: [d]\na: [e]", r"\(line 3: the key 'a' stands twice\)"),
        ("a.yaml", "a: 7", "'a' needs a list of texts as aliases"),
        ("a.yaml", "Norway: [NO]", "'Norway' needs a list of texts as aliases"),
        ("a.yaml", "NO: [Norway]", "the answer False is no text; put it in quotes"),
        ("a.json", "{", r"not JSON \(.*, character 2\); needed is 'answer: \[alias\]'"),
        ("a.json", '["a"]', "holds a list; needed is 'answer: \\[alias\\]' as yaml, json or csv"),
        ("a.json", '{"a": ["b"], "a": ["c"]}', "the key 'a' stands twice; needed is 'answer:"),
        ("a.json", '{"a": {"b": "c"}}', "'a' needs a list of texts as aliases"),
        ("a.json", '{"a": ["\\ud800"]}', "'a': 'aliases' holds half a character"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.csv", '"a,b\n', r"is not readable csv \(unexpected end of data\); mend the line"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    wanted = write(tmp_path / name, content)
    with pytest.raises(BadInput, match=message) as refused:
        with_aliases(wanted, ["a"])
    assert str(refused.value).startswith(f"--aliases {wanted}")
    assert "\n" not in str(refused.value)


def test_a_missing_file_a_folder_and_other_bytes_are_refused(tmp_path: Path) -> None:
    missing = r"none\.yaml cannot be read \(No such file.*needed is .* one of 'packages' and 'none'"
    with pytest.raises(BadInput, match=missing):
        with_aliases(str(tmp_path / "none.yaml"), ["a"])
    with pytest.raises(BadInput, match=r"cannot be read \(Is a directory\)"):
        with_aliases(str(tmp_path), ["a"])
    (tmp_path / "a.csv").write_bytes(b"a,b\ncaf\xe9,x\n")
    with pytest.raises(BadInput, match=r"a\.csv, line 2: not UTF-8 \(byte 0xe9\); save the file"):
        with_aliases(str(tmp_path / "a.csv"), ["a"])


words = st.text(alphabet="abAB ü", min_size=1, max_size=3).filter(str.strip)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    listed=st.dictionaries(words, st.lists(words, max_size=3), max_size=4),
    objects=st.lists(words, min_size=1, max_size=3, unique_by=normalise),
)
def test_given_answers_stay_first_and_no_alias_repeats_one(
    tmp_path: Path, listed: dict[str, list[str]], objects: list[str]
) -> None:
    found = with_aliases(write(tmp_path / "a.json", json.dumps(listed)), objects)[0][0]
    assert found[: len(objects)] == objects
    expected = {normalise(each) for each in objects}
    for answer, aliases in listed.items():
        if normalise(answer) in {normalise(each) for each in objects}:
            expected |= {normalise(alias) for alias in aliases}
    assert {normalise(each) for each in found} == expected
    assert len(found) == len(expected)
