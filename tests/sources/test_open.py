"""One door to all fact sets, and the stage that writes one down."""

from pathlib import Path

import polars as pl
import pytest

from sixtyfold.core.errors import BadInput, IncompleteInput
from sixtyfold.sources.build import build, plan
from sixtyfold.sources.open import fingerprint, open_facts
from sixtyfold.sources.spec import FactsBuildSpec


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    rows = [f"What is {n}?,{n}{n}" for n in range(10)]
    path.write_text("\n".join(["question,answer", *rows]), encoding="utf-8")
    return path


def test_a_table_by_prefix_and_by_path_is_the_same(table: Path) -> None:
    prefixed, bare = open_facts(f"table:{table}"), open_facts(str(table))
    assert prefixed.facts.height == 10
    assert prefixed.fingerprint == bare.fingerprint
    assert prefixed.name == "mine.csv"
    assert prefixed.notes[0].startswith("columns read: ")


def test_a_built_set_opens_as_it_was(table: Path, tmp_path: Path) -> None:
    built = build(FactsBuildSpec(facts=f"table:{table}", out=tmp_path / "facts"))
    again = open_facts(str(tmp_path / "facts"))
    source = open_facts(str(table))
    assert again.fingerprint == source.fingerprint
    assert again.name == "mine.csv"
    assert again.facts.equals(source.facts)
    assert built.manifest["rows"] == {"facts": 10, "templates": 7}


def test_building_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        build(FactsBuildSpec(out=folder, limit=50))
    for name in ("facts.parquet", "templates.parquet", "manifest.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_building_again_into_a_finished_directory_changes_nothing(tmp_path: Path) -> None:
    spec = FactsBuildSpec(out=tmp_path / "facts", limit=5)
    first = build(spec).manifest
    changed = (tmp_path / "facts" / "facts.parquet").stat().st_mtime_ns
    assert build(spec).manifest == first
    assert (tmp_path / "facts" / "facts.parquet").stat().st_mtime_ns == changed


def test_a_larger_limit_contains_a_smaller_one(table: Path, tmp_path: Path) -> None:
    small, large = (
        set(
            build(FactsBuildSpec(facts=str(table), out=tmp_path / f"{n}", limit=n)).table("facts")[
                "fact_id"
            ]
        )
        for n in (3, 6)
    )
    assert len(small) == 3
    assert small < large


def test_plan_counts_what_would_be_written(table: Path, tmp_path: Path) -> None:
    spec = FactsBuildSpec(facts=str(table), out=tmp_path / "facts", limit=4)
    planned = plan(spec)
    assert not spec.out.exists()
    written = build(spec).table("facts")["split"].to_list()
    assert planned == {split: written.count(split) for split in ("train", "dev", "test")}
    assert sum(planned.values()) == 4


def test_more_than_there_is_is_refused_before_anything_is_written(
    table: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"--limit 11 was given and there are 10 facts"):
        build(FactsBuildSpec(facts=str(table), out=tmp_path / "facts", limit=11))
    assert not (tmp_path / "facts").exists()


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("atlsa", "facts 'atlsa' were given; allowed are 'atlas', .*did you mean 'atlas'"),
        ("tabel:x.csv", "did you mean 'table'"),
        ("table:none.csv", "does not exist"),
        ("table:", "facts 'table:' were given; allowed are"),
        ("", "facts '' were given; allowed are"),
        ("nowhere/facts", "facts 'nowhere/facts' were given"),
    ],
)
def test_unknown_references(reference: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        open_facts(reference)


def test_a_directory_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IncompleteInput, match=r"no manifest\.json"):
        open_facts(str(tmp_path))


def test_the_fingerprint_follows_the_content(table: Path) -> None:
    source = open_facts(str(table))
    other = source.facts.with_columns(pl.col("question").str.replace("0", "zero"))
    assert fingerprint(other, source.templates) != source.fingerprint
    assert fingerprint(source.facts, source.templates.head(6)) != source.fingerprint
