"""Cards: what the hub reads in them, what stands in them, and names that try to get out."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from types import MappingProxyType

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from made_up_run import HOSTILE
from sixtyfold.core.model_card import (
    Card,
    Number,
    Section,
    code,
    fenced,
    licence_words,
    listed,
    not_measured,
    put_numbers,
    table,
    write_card,
)
from sixtyfold.core.model_origin import Origin

NO_LICENCE: MappingProxyType[str, str] = MappingProxyType({})
NAMES = [
    HOSTILE,
    "a`b``c",
    "| --- |",
    "](javascript:alert(1))",
    "\n## Numbers\n",
    "\n---\nlicense: mit\n---\n",
    "```\n<img src=x>",
    "\\|<b>",
    "",
]


def model(
    name: str = "base",
    hub_id: str | None = None,
    licence: MappingProxyType[str, str] = NO_LICENCE,
) -> Origin:
    return Origin(name, hub_id, licence, "0123456789abcdef")


def card(
    *origins: Origin, name: str = "born_in", script: str = "", datasets: tuple[str, ...] = ()
) -> Card:
    found = table(["relation", "examples"], [[code(name), "3"]])
    return Card(
        f"{code(name)} tuned",
        ["What it is."],
        origins or (model(),),
        ["sft"],
        [
            Section("Training data", [listed([code(name)]), found]),
            not_measured("sixtyfold evaluate --model ."),
            Section("How to load", [fenced("python", script)]),
        ],
        datasets,
    )


class Tags(HTMLParser):
    """The tags of a page and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        assert not attrs or tag in {"code", "th", "td"}, (tag, attrs)
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def shown(text: str) -> Tags:
    """A card's text as the hub shows it, raw HTML let through."""
    return Tags(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))


def test_the_header_is_what_the_hub_asks_for(tmp_path: Path) -> None:
    base = model("own/base", "own/base", MappingProxyType({"license": "apache-2.0"}))
    write_card(tmp_path, card(base, datasets=("own/facts", "not an id")))
    assert ModelCard.load(tmp_path / "README.md").data.to_dict() == {
        "base_model": "own/base",
        "base_model_relation": "finetune",
        "datasets": ["own/facts"],
        "library_name": "transformers",
        "license": "apache-2.0",
        "pipeline_tag": "text-generation",
        "tags": ["sixtyfold", "sft"],
    }


def test_what_is_not_known_is_left_out_with_a_word(tmp_path: Path) -> None:
    write_card(tmp_path, card())
    header = ModelCard.load(tmp_path / "README.md").data.to_dict()
    assert header.keys() == {"library_name", "pipeline_tag", "tags"}
    assert "No licence was found for `base`" in licence_words([model()])


def test_two_models_of_the_hub_are_a_merge(tmp_path: Path) -> None:
    write_card(tmp_path, card(model("a/tuned", "a/tuned"), model("a/base", "a/base")))
    header = ModelCard.load(tmp_path / "README.md").data.to_dict()
    assert header["base_model"] == ["a/tuned", "a/base"]
    assert header["base_model_relation"] == "merge"
    write_card(tmp_path, card(model("mine", "a/base"), model("a/base", "a/base")))
    header = ModelCard.load(tmp_path / "README.md").data.to_dict()
    assert (header["base_model"], header["base_model_relation"]) == ("a/base", "finetune")


def test_licences_that_differ_are_both_told_and_none_is_claimed(tmp_path: Path) -> None:
    one = model("tuned", licence=MappingProxyType({"license": "mit"}))
    own = {"license": "other", "license_name": "own-1.0", "license_link": "https://own.org/l"}
    other = model("base", licence=MappingProxyType(own))
    assert licence_words([one, other]) == (
        "Licences: `mit` of `tuned`; `own-1.0`, <https://own.org/l> of `base`. They differ; see to "
        "both before you pass this model on."
    )
    assert licence_words([one, model()]) == "Licence, carried over from `tuned`: `mit`."
    write_card(tmp_path, card(one, other))
    assert ModelCard.load(tmp_path / "README.md").data.license is None
    for origins in ([one, one], [one, model()]):
        write_card(tmp_path, card(*origins))
        assert ModelCard.load(tmp_path / "README.md").data.license == "mit"
    same = model("tuned", licence=MappingProxyType({"license": "gemma"}))
    assert licence_words([one, same]).startswith("Licences: `mit` of `tuned`; `gemma` of `tuned`.")
    linked = MappingProxyType({"license": "mit", "license_name": "x", "license_link": "https://l"})
    assert licence_words([one, model("base", licence=linked)]).endswith("`tuned`: `mit`.")


@pytest.mark.parametrize("name", NAMES)
def test_names_of_others_stay_text(name: str, tmp_path: Path) -> None:
    hostile = model(name, None, MappingProxyType({"license": name or "none"}))
    write_card(tmp_path, card(hostile, name=name, script=name))
    harmless = tmp_path / "harmless"
    harmless.mkdir()
    write_card(harmless, card())
    found = ModelCard.load(tmp_path / "README.md")
    expected = ModelCard.load(harmless / "README.md")
    assert {**found.data.to_dict(), "license": None} == {
        **expected.data.to_dict(),
        "license": None,
    }
    assert found.data.license == (name or "none")
    assert shown(found.text).tags == shown(expected.text).tags
    assert "\u202e" not in found.text.split("## How to load")[0]
    assert "\x1b" not in found.text.split("## How to load")[0]


def test_numbers_take_the_place_of_the_words_that_there_are_none(tmp_path: Path) -> None:
    write_card(tmp_path, card(name="\n## Numbers\n"))
    before = ModelCard.load(tmp_path / "README.md")
    numbers = [
        Number("this model", "in-domain", "test", 0.5, 0.4049, 0.5951, 100),
        Number("base, plain", "in-domain", "test", 0.2, 0.1, 0.3, 100),
    ]
    put_numbers(tmp_path, numbers, ["How it was asked."], "this model")
    once = (tmp_path / "README.md").read_bytes()
    put_numbers(tmp_path, numbers, ["How it was asked."], "this model")
    assert (tmp_path / "README.md").read_bytes() == once
    after = ModelCard.load(tmp_path / "README.md")
    headings = [line for line in after.text.splitlines() if line.startswith("## ")]
    assert headings == ["## Training data", "## Numbers", "## How to load"]
    assert "Nothing was measured" in before.text
    assert "Nothing was measured" not in after.text
    assert "| this model | in-domain, test | 50.0 | 40.5–59.5 | 100 |" in after.text
    (result,) = after.data.eval_results
    assert (result.metric_type, result.metric_value) == ("accuracy", 50.0)
    assert result.dataset_split == "test"
    assert "40.5–59.5, n = 100" in result.metric_name
    assert after.data.tags == before.data.tags


def test_results_of_both_domains_keep_their_own_facts(tmp_path: Path) -> None:
    write_card(tmp_path, card())
    numbers = [
        Number("this model", domain, split, value, 0.1, 0.9, 100)
        for domain, split, value in (
            ("in-domain", "test", 0.5), ("out-of-domain", "test", 0.2), ("in-domain", "dev", 0.6),
        )
    ]  # fmt: skip
    put_numbers(tmp_path, numbers, [], "this model")
    (index,) = ModelCard.load(tmp_path / "README.md").data.to_dict()["model-index"]
    assert [
        (each["dataset"]["name"], [metric["value"] for metric in each["metrics"]])
        for each in index["results"]
    ] == [
        ("facts, in-domain, test", [50.0]),
        ("facts, out-of-domain, test", [20.0]),
        ("facts, in-domain, dev", [60.0]),
    ]


def test_no_number_of_its_own_is_no_empty_list(tmp_path: Path) -> None:
    write_card(tmp_path, card())
    put_numbers(tmp_path, [Number("base", "in-domain", "test", 0.5, 0.4, 0.6, 9)], [], "this model")
    header = ModelCard.load(tmp_path / "README.md").data.to_dict()
    assert header.keys() == {"library_name", "pipeline_tag", "tags"}
    assert "| base |" in (tmp_path / "README.md").read_text()


def test_numbers_go_to_the_end_of_a_card_that_has_no_place_for_them(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\ntags: [sixtyfold]\n---\nSome words.\n")
    put_numbers(tmp_path, [Number("this model", "in", "test", 0.5, 0.4, 0.6, 9)], ["How."], "x")
    assert ModelCard.load(tmp_path / "README.md").text.startswith("Some words.\n\n## Numbers\n")
