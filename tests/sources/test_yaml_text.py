"""YAML of a user's file: nothing in it is lost, and what cannot be read is told in one line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixtyfold.core.errors import BadInput
from sixtyfold.sources.yaml_text import read_mapping, read_text

FORM = "'answer: [alias]'"


def refusal(text: str) -> str:
    with pytest.raises(BadInput) as refused:
        read_mapping(text, "--aliases f.yaml", FORM)
    told = str(refused.value)
    assert "\n" not in told
    assert told.startswith("--aliases f.yaml")
    assert told.endswith(f"; needed is {FORM}")
    return told


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("a: [b, c]\nd: e", {"a": ["b", "c"], "d": "e"}),
        ('{"a": ["b"]}', {"a": ["b"]}),
        ("1984: [x]\n'1984': [y]", {1984: ["x"], "1984": ["y"]}),
        ("a: {x: 1}\nb: {x: 2}", {"a": {"x": 1}, "b": {"x": 2}}),
        ("a: &same [b]\nc: *same", {"a": ["b"], "c": ["b"]}),
        (
            "a: &base {x: 1, y: 2}\nb: {<<: *base, y: 3}",
            {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}},
        ),
        ("{}", {}),
    ],
)
def test_a_mapping_is_read_as_it_stands(text: str, content: object) -> None:
    assert read_mapping(text, "--aliases f.yaml", FORM) == content


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("a: [b]\nc: [d]\n\na: [e]", 4, "a"),
        ("a: [b]\n'a': [c]", 2, "a"),
        ("a:\n  add: [b]\n  add: [c]", 3, "add"),
        ("a:\n- {x: 1,\n   x: 1}", 3, "x"),
        ("1: a\n1: b", 2, "1"),
        ('{"a": 1, "a": 1}', 1, "a"),
        ("b: {x: 1}\nc: {<<: {x: 2}, y: 3,\n  y: 4}", 3, "y"),
    ],
)
def test_a_doubled_key_is_refused_with_its_line(text: str, line: int, key: str) -> None:
    assert f"is not readable YAML (line {line}: the key '{key}' stands twice)" in refusal(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 2000, "is not readable YAML (nested too deeply)"),
        ("{a: " * 2000, "is not readable YAML (nested too deeply)"),
        ("- a\n- b", "--aliases f.yaml holds a list;"),
        ("a", "--aliases f.yaml holds a str;"),
        ("", "--aliases f.yaml holds nothing;"),
        ("# only a comment", "--aliases f.yaml holds nothing;"),
        ("!!set {a, b}", "--aliases f.yaml holds a set;"),
        ("a: b\n? [a]\n: c", "(line 2: found unhashable key)"),
        ("? {a: b}\n: c", "(line 1: found unhashable key)"),
        ("? &own [*own]\n: c", "(line 1: found unconstructable recursive node)"),
        ("a: [b\nc: d", "(line 2: "),
        ("a: *gone", "(line 1: found undefined alias 'gone')"),
        ("a: b\n---\nc: d", "(line 2: expected a single document in the stream but found another"),
        ("a: b\nc: d\x01", r"(line 2: '\x01' is no character of YAML)"),
        ("a: b\nc: 2020-13-45", "(line 2: '2020-13-45' is no value (month must be in 1..12); put"),
        ("a: !!int ''", "(line 1: '' is no value; put it in quotes)"),
        ("a: !!bool perhaps", "(line 1: 'perhaps' is no value; put it in quotes)"),
        ("a: !!timestamp now", "(line 1: 'now' is no value; put it in quotes)"),
        ("a: " + "1" * 5000, "(line 1: '1111"),
        ('a: "\\UFFFFFFFF"', "is not readable YAML ("),
        ("!!map a", "(line 1: expected a mapping node, but found scalar)"),
        ("a: !!python/object/apply:os.getcwd []", "(line 1: could not determine a constructor"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    told = refusal(text)
    assert message in told
    assert len(told) < 500


@given(st.text(alphabet="ab1-:,[]{}&*!?|>'\"#%@<=~\n \t\\", max_size=30))
def test_any_text_is_a_mapping_or_refused_in_one_line(text: str) -> None:
    try:
        found = read_mapping(text, "--aliases f.yaml", FORM)
    except BadInput as error:
        refused = str(error)
        assert "\n" not in refused
    else:
        assert isinstance(found, dict)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"a: caf\xc3\xa9", "a: café"),
        (b"\xef\xbb\xbfa: b", "a: b"),
        (b'a,"b\r\nc"\r\n', 'a,"b\r\nc"\r\n'),
        (b"", ""),
    ],
)
def test_the_text_of_a_file(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(content)
    assert read_text(path, f"--aliases {path}", FORM) == text


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"a: b\nc: caf\xe9\n", "line 2: not UTF-8 (byte 0xe9)"),
        (b"\xef\xbb\xbfa\n\n\xff", "line 3: not UTF-8 (byte 0xff)"),
        ("a: b".encode("utf-16"), "line 1: not UTF-8 (byte 0xff)"),
    ],
)
def test_other_bytes_are_refused_with_their_line(
    tmp_path: Path, content: bytes, place: str
) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(content)
    with pytest.raises(BadInput) as refused:
        read_text(path, f"--aliases {path}", FORM)
    assert str(refused.value) == f"--aliases {path}, {place}; save the file as UTF-8"


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "none.yaml", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(BadInput) as refused:
            read_text(path, f"--aliases {path}", FORM)
        assert str(refused.value) == f"--aliases {path} cannot be read ({reason}); needed is {FORM}"
