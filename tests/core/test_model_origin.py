"""What is known of the model another one is made from: name, id on the hub, licence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sixtyfold.core.model_origin import card_header, origin


def described(folder: Path, header: str = "", config: dict[str, object] | None = None) -> Path:
    """A model directory with a README and a config."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(f"---\n{header}\n---\nlicense: of the text\n")
    (folder / "config.json").write_text(json.dumps(config or {}))
    return folder


def test_the_embedded_model_is_known(tmp_path: Path) -> None:
    found = origin("embedded", tmp_path, "f0")
    assert found.hub_id == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert found.licence == {"license": "apache-2.0"}
    assert "4-bit weights turned back" in found.name


def test_a_hub_id_is_its_own_name(tmp_path: Path) -> None:
    folder = described(tmp_path / "m", "license: mit\nbase_model: other/parent")
    found = origin("owner/model", folder, "f0")
    assert (found.name, found.hub_id, found.licence) == (
        "owner/model", "owner/model", {"license": "mit"},
    )  # fmt: skip


def test_a_directory_is_named_by_its_last_part_and_its_parent_on_the_hub(tmp_path: Path) -> None:
    folder = described(tmp_path / "mine", "license: mit\nbase_model: [owner/parent, owner/other]")
    found = origin(str(folder), folder, "f0")
    assert (found.name, found.hub_id) == ("mine", "owner/parent")
    assert str(tmp_path) not in repr(found)


def test_a_snapshot_in_the_hubs_cache_is_known(tmp_path: Path) -> None:
    folder = described(tmp_path / "models--owner--name" / "snapshots" / "abc", "license: mit")
    found = origin(str(folder), folder, "f0")
    assert (found.name, found.hub_id) == ("owner/name", "owner/name")


@pytest.mark.parametrize(
    ("header", "config", "licence"),
    [
        ("license: mit", {}, {"license": "mit"}),
        ("tags: [x]", {"license": "bsd-3-clause"}, {"license": "bsd-3-clause"}),
        ("tags: [x]", {}, {}),
        ("license: [mit, apache-2.0]", {}, {"license": "other", "license_name": "mit-apache-2.0"}),
        ("license: [mit]", {}, {"license": "mit"}),
        ("license: [1, mit]", {}, {}),
        (
            "license: other\nlicense_name: own\nlicense_link: https://example.org/licence",
            {},
            {
                "license": "other",
                "license_name": "own",
                "license_link": "https://example.org/licence",
            },
        ),
        (
            "license: other\nlicense_name: own\nlicense_link: LICENSE",  # of another repository
            {},
            {"license": "other", "license_name": "own"},
        ),
        ("license: MIT", {}, {"license": "mit"}),
        (
            "tags: [x]",
            {"license": "Apache License, Version 2.0"},  # no short name of the hub's
            {"license": "other", "license_name": "apache-license-version-2.0"},
        ),
        (
            'license: "mit\\nbase_model: evil"',
            {},
            {"license": "other", "license_name": "mit-base-model-evil"},
        ),
        (
            'license: other\nlicense_name: "<b>\\u202e"\nlicense_link: "https://a.b/><script>"',
            {},
            {"license": "other", "license_name": "b"},
        ),
        ('license: other\nlicense_link: "javascript:alert(1)"', {}, {"license": "other"}),
        ("license: '   '", {"license": "mit"}, {}),
    ],
)
def test_the_licence_is_carried_over(
    header: str, config: dict[str, object], licence: dict[str, str], tmp_path: Path
) -> None:
    folder = described(tmp_path / "m", header, config)
    assert origin(str(folder), folder, "f0").licence == licence


@pytest.mark.parametrize("name", ["models--a--b: c", "models--a--\nlicense", "models--<b>--c"])
def test_a_folder_that_only_looks_like_the_hubs_cache_is_no_id(name: str, tmp_path: Path) -> None:
    folder = described(tmp_path / name / "snapshots" / "abc", "license: mit")
    found = origin(str(folder), folder, "f0")
    assert (found.name, found.hub_id) == ("abc", None)


def test_a_licence_beside_the_card_is_linked_where_the_model_is_on_the_hub(tmp_path: Path) -> None:
    header = "license: other\nlicense_name: own\nlicense_link: LICENSE.md"
    folder = described(tmp_path / "models--owner--name" / "snapshots" / "abc", header)
    for reference in (str(folder), "owner/name"):
        link = origin(reference, folder, "f0").licence["license_link"]
        assert link == "https://huggingface.co/owner/name/blob/main/LICENSE.md"


@pytest.mark.parametrize("header", ["a: [", "- a list", "!!python/object:os.system {}", "a: b: c"])
def test_a_header_that_cannot_be_read_says_nothing(header: str, tmp_path: Path) -> None:
    folder = described(tmp_path / "m", header)
    assert card_header(folder) == {}
    assert origin(str(folder), folder, "f0").licence == {}


@pytest.mark.parametrize(
    "stated", ["/models/base", "../base", "a/b/c", "no owner", "<script>/x", "3"]
)
def test_what_is_no_id_is_not_taken_for_one(stated: str, tmp_path: Path) -> None:
    folder = described(tmp_path / "m", f"base_model: '{stated}'")
    assert origin(str(folder), folder, "f0").hub_id is None


def test_a_model_without_readme_and_config(tmp_path: Path) -> None:
    found = origin(str(tmp_path), tmp_path, "f0")
    assert (found.hub_id, found.licence) == (None, {})
