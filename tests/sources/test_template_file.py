"""A user's file of cloze templates: replacing, adding, refusing."""

from pathlib import Path

import polars as pl
import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.core.templates import template_table
from sixtyfold.sources.template_file import with_template_file

OWN = {
    "capital": ["The capital of {subject} is", "{subject}'s capital is"],
    "river": ["{subject} flows through"],
}


def merged(path: Path, content: str) -> dict[str, list[str]]:
    path.write_text(content, encoding="utf-8")
    table = with_template_file(template_table(OWN), path, OWN)
    assert table.equals(table.sort("relation", "template_id"))
    parts = table.group_by("relation", maintain_order=True).agg("text", "template_id")
    assert all(ids == list(range(len(ids))) for ids in parts["template_id"].to_list())
    return dict(parts.select("relation", "text").iter_rows())


def test_a_list_replaces_and_other_relations_stay(tmp_path: Path) -> None:
    found = merged(tmp_path / "t.yaml", 'capital: ["Seat of {subject}:"]')
    assert found == {"capital": ["Seat of {subject}:"], "river": OWN["river"]}


def test_add_puts_texts_behind_those_there_are(tmp_path: Path) -> None:
    found = merged(
        tmp_path / "t.yaml",
        'river:\n  add: ["The river {subject} passes", "{subject} flows through"]',
    )
    assert found == {**OWN, "river": ["{subject} flows through", "The river {subject} passes"]}


def test_a_text_given_twice_stands_once(tmp_path: Path) -> None:
    assert merged(tmp_path / "t.yaml", 'river: ["{subject}:", "{subject}:"]')["river"] == [
        "{subject}:"
    ]


def test_a_byte_order_mark_and_other_scripts_are_read(tmp_path: Path) -> None:
    found = merged(tmp_path / "t.yaml", '\ufeffriver: ["{subject} 流经", "Q: {question}\\nA:"]')
    assert found["river"] == ["{subject} 流经", "Q: {question}\nA:"]


def test_only_relations_of_the_facts_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text('river: {add: ["{subject}:"]}', encoding="utf-8")
    table = with_template_file(template_table(OWN), path, ["river"])
    assert table["relation"].to_list() == ["river", "river"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("capitol: ['{subject}:']", "there is no relation 'capitol' .*did you mean 'capital'"),
        (
            "17: ['{subject}:']",
            "there is no relation 17 in these facts; relations here: capital, r",
        ),
        ("capital: '{subject}:'", "relation 'capital' needs a list of texts, or 'add:' and a list"),
        ("capital: [1]", "relation 'capital' needs a list of texts"),
        ("capital: {add: x}", "relation 'capital' needs a list of texts"),
        ("capital: {add: ['{subject}:'], drop: 1}", "relation 'capital' needs a list of texts"),
        ("capital:", "relation 'capital' needs a list of texts"),
        ("capital: []", "relation 'capital' has no template; give at least one"),
        ("capital: ['The capital is']", "has neither {subject} nor {question}; add one"),
        ("capital: ['The capital of {subject} is ']", "ends with a space; remove it"),
        ("- capital", r"holds a list; needed is 'relation: \[texts\]' or 'relation: \{add: "),
        ("", r"holds nothing; needed is 'relation: \[texts\]'"),
        ("capital: [", r"is not readable YAML \(line 1: .*needed is 'relation: \[texts\]'"),
        ("capital: [2020-13-45]", "is not readable YAML .*line 1: '2020-13-45' .*month must be in"),
        ("[" * 2000, r"is not readable YAML \(nested too deeply\)"),
        (
            "river: ['{subject}:']\nriver: ['{subject}']",
            r"is not readable YAML \(line 2: the key 'river' stands twice\)",
        ),
        ('capital: ["\\ud800 {subject}"]', "half a character"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "t.yaml"
    with pytest.raises(BadInput, match=message) as refused:
        merged(path, content)
    assert str(refused.value).startswith(f"--templates {path}")
    assert "\n" not in str(refused.value)


def test_a_missing_file_a_folder_and_other_bytes_are_refused(tmp_path: Path) -> None:
    table = template_table(OWN)
    with pytest.raises(BadInput, match=r"--templates .*none\.yaml cannot be read \(No such file"):
        with_template_file(table, tmp_path / "none.yaml", OWN)
    with pytest.raises(BadInput, match=r"cannot be read \(Is a directory\)"):
        with_template_file(table, tmp_path, OWN)
    (tmp_path / "t.yaml").write_bytes(b"river:\n- caf\xe9 {subject}")
    with pytest.raises(BadInput, match=r"--templates .*t\.yaml, line 2: not UTF-8 \(byte 0xe9\)"):
        with_template_file(table, tmp_path / "t.yaml", OWN)


def test_the_table_given_is_not_changed(tmp_path: Path) -> None:
    table = template_table(OWN)
    before = table.clone()
    path = tmp_path / "t.yaml"
    path.write_text('river: ["{subject}:"]', encoding="utf-8")
    changed = with_template_file(table, path, OWN)
    assert table.equals(before)
    assert isinstance(changed, pl.DataFrame)
    assert not changed.equals(before)
