"""One door to all fact sets, and the stage that writes one down."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sixtyfold.core.errors import BadInput, IncompleteInput
from sixtyfold.core.spec import StageSpec
from sixtyfold.core.stage import open_stage
from sixtyfold.sources.build import build, plan
from sixtyfold.sources.open import READERS, fingerprint, open_facts
from sixtyfold.sources.options import ReadOptions
from sixtyfold.sources.relations import question_templates
from sixtyfold.sources.rows import ROWS_SCHEMA, SourceRows
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
    assert prefixed.name == bare.name == "table:mine.csv"
    assert prefixed.notes[0].startswith("columns read: ")


@pytest.mark.parametrize("source", ["atlas", "{built}", "entityquestions:{built}"])
def test_options_a_source_has_no_use_for_are_refused(
    source: str, table: Path, tmp_path: Path
) -> None:
    build(FactsBuildSpec(facts=str(table), out=tmp_path / "facts"))
    reference = source.format(built=tmp_path / "facts")
    with pytest.raises(BadInput, match=r"--columns is for 'table:' and 'hub:'; .*leave the option"):
        open_facts(reference, ReadOptions(columns="question=question"))
    with pytest.raises(BadInput, match=r"--hub-config is for 'hub:'; .*leave the option out"):
        open_facts(reference, ReadOptions(hub_config="main"))


def test_a_built_set_opens_as_it_was(table: Path, tmp_path: Path) -> None:
    built = build(FactsBuildSpec(facts=f"table:{table}", out=tmp_path / "facts"))
    again = open_facts(str(tmp_path / "facts"))
    source = open_facts(str(table))
    assert again.fingerprint == source.fingerprint
    assert again.name == "table:mine.csv"
    assert again.facts.equals(source.facts)
    assert built.manifest["rows"] == {"facts": 10, "templates": len(question_templates())}


def test_building_twice_writes_the_same_bytes(table: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        build(FactsBuildSpec(facts=str(table), out=folder, limit=5))
    for name in ("facts.parquet", "templates.parquet", "manifest.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_building_again_into_a_finished_directory_changes_nothing(
    table: Path, tmp_path: Path
) -> None:
    spec = FactsBuildSpec(facts=str(table), out=tmp_path / "facts", limit=5)
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
        ("table:", "facts 'table:' were given; name what to read, as table:FILE"),
        ("popqa", "facts 'popqa' were given; name what to read, as popqa:FILE"),
        ("entityquestions: ", "'entityquestions: ' were given; .*, as entityquestions:DIR"),
        ("entityquestion:x", "did you mean 'entityquestions'"),
        ("hub", "facts 'hub' were given; name what to read, as hub:NAME"),
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


def made_up(rest: str, options: ReadOptions) -> SourceRows:
    """Read two relations; the first one has a template."""
    given = [
        ("origin", "Jazz", ["USA"], "train"),
        ("origin", "jazz", ["United States"], "train"),
        ("origin", "Soul of Burma", ["Myanmar"], "test"),
        ("origin", "Burma", ["Birma"], "train"),
        ("player", rest, [options.columns or "nobody"], "test"),
    ]
    rows = [
        {
            "relation": relation,
            "subject": subject,
            "objects": objects,
            "question": f"What is the {relation} of {subject}?",
            "split": split,
            "flags": [],
        }
        for relation, subject, objects, split in given
    ]
    templates = {"origin": ["{subject} comes from"], "unused": ["{subject}:"]}
    return SourceRows(
        pl.DataFrame(rows, schema=ROWS_SCHEMA), templates, ("read by hand",), add_names=True
    )


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, "hub", made_up)


def opened(**options: Any) -> dict[str, dict[str, Any]]:
    facts = open_facts("hub:org/set", ReadOptions(**options)).facts
    return {row["subject"]: row for row in facts.iter_rows(named=True)}


@pytest.mark.usefixtures("reader")
def test_a_source_gets_what_follows_its_name_and_the_options() -> None:
    assert opened(columns="answers=x")["org/set"]["objects"] == ["answers=x"]
    source = open_facts("hub:org/set")
    assert source.name == "hub:set"
    assert source.notes == (
        "read by hand",
        "3 rows got more accepted answers (packages)",
        "1 row merged into facts seen before",
        (
            "no cloze templates for player: probed through 21 phrasings of the question, some with "
            "worked examples; levels then say how well the model answers when it is asked, and are "
            "not comparable with levels of cloze prompts"
        ),
    )


@pytest.mark.usefixtures("reader")
def test_templates_of_the_source_or_phrasings_of_the_question() -> None:
    templates = open_facts("hub:org/set").templates
    texts = dict(templates.group_by("relation").agg("text").iter_rows())
    assert texts == {"origin": ["{subject} comes from"], "player": list(question_templates())}


@pytest.mark.usefixtures("reader")
def test_aliases_come_before_rows_are_united_and_flagged() -> None:
    with_names, without = opened(), opened(aliases="none")
    assert with_names["Jazz"]["objects"][0] == "USA"
    assert with_names["Jazz"]["flags"] == []
    assert without["Jazz"]["objects"] == ["USA", "United States"]
    assert without["Jazz"]["flags"] == ["ambiguous"]
    assert with_names["Soul of Burma"]["flags"] == ["answer_in_subject"]
    assert without["Soul of Burma"]["flags"] == []


@pytest.mark.usefixtures("reader")
def test_a_file_of_aliases_replaces_the_names_of_countries(tmp_path: Path) -> None:
    path = tmp_path / "aliases.yaml"
    path.write_text("USA: [America]", encoding="utf-8")
    facts = opened(aliases=str(path))
    assert facts["Jazz"]["objects"] == ["USA", "America", "United States"]
    assert facts["Soul of Burma"]["objects"] == ["Myanmar"]


@pytest.mark.usefixtures("reader")
def test_facts_are_cleaned_and_templates_follow_the_facts_left(tmp_path: Path) -> None:
    path = tmp_path / "templates.yaml"
    path.write_text('origin: {add: ["The home of {subject} is"]}', encoding="utf-8")
    options = ReadOptions(
        aliases="none", ambiguous="drop", disjoint="entities", in_domain="origin", templates=path
    )
    source = open_facts("hub:org/set", options)
    assert sorted(source.facts["subject"]) == ["Burma", "Soul of Burma", "org/set"]
    assert source.notes[-2:] == (
        "1 ambiguous facts dropped",
        "0 training facts dropped that share an entity with dev or test",
    )
    assert dict(source.facts.select("relation", "domain").iter_rows()) == {
        "origin": "in",
        "player": "out",
    }
    texts = source.templates.filter(pl.col("relation") == "origin")["text"]
    assert texts.to_list() == ["{subject} comes from", "The home of {subject} is"]
    shared = open_facts("hub:org/set", ReadOptions(disjoint="entities"))
    assert "Burma" not in shared.facts["subject"].to_list()  # Myanmar's other name


def test_a_relation_without_facts_left_has_no_templates(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("question,answer,relation\nq,1,a\nr,1,b\nr,2,b\n", encoding="utf-8")
    assert set(open_facts(str(path)).templates["relation"]) == {"a", "b"}
    left = open_facts(str(path), ReadOptions(ambiguous="drop"))
    assert set(left.templates["relation"]) == {"a"}


@pytest.mark.usefixtures("reader")
def test_templates_alone_make_no_relation() -> None:
    with pytest.raises(BadInput, match="--in-domain names 'unused', which is no relation here"):
        open_facts("hub:org/set", ReadOptions(in_domain="unused"))


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    "options",
    [
        {"in_domain": "player"},
        {"ambiguous": "drop"},
        {"disjoint": "subjects"},
        {"disjoint": "entities", "ambiguous": "drop"},
    ],
)
def test_options_do_the_same_when_a_built_set_is_opened(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    build(FactsBuildSpec(facts="hub:org/set", aliases="none", out=tmp_path / "facts"))
    at_once = open_facts("hub:org/set", ReadOptions(aliases="none", **options))
    later = open_facts(str(tmp_path / "facts"), ReadOptions(**options))
    assert later.facts.equals(at_once.facts)
    assert later.fingerprint == at_once.fingerprint


@pytest.mark.usefixtures("reader")
def test_what_was_built_with_options_is_written_with_them_and_their_notes(tmp_path: Path) -> None:
    spec = FactsBuildSpec(facts="hub:org/set", ambiguous="drop", aliases="none", out=tmp_path / "f")
    stage = build(spec)
    assert "Jazz" not in stage.table("facts")["subject"].to_list()
    assert "1 ambiguous facts dropped" in stage.manifest["notes"]
    assert plan(spec) == {"train": 1, "dev": 0, "test": 2}


def test_reading_twice_gives_the_same_fingerprint_and_options_another(table: Path) -> None:
    plain, again = open_facts(str(table)), open_facts(str(table))
    assert plain.fingerprint == again.fingerprint
    path = table.with_name("aliases.yaml")
    path.write_text("'11': [eleven]", encoding="utf-8")
    assert open_facts(str(table), ReadOptions(aliases=str(path))).fingerprint != plain.fingerprint


def test_folders_that_hold_no_facts_say_what_to_give(tmp_path: Path) -> None:
    raw = tmp_path / "entityquestions"
    (raw / "train").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"no stage wrote; .* is given as entityquestions:.*hub:"):
        open_facts(str(raw))
    with open_stage("probe", StageSpec(out=tmp_path / "p"), {}) as stage:
        stage.finish({})
    message = r"holds the result of 'probe'; facts come from 'sixtyfold facts build'"
    with pytest.raises(IncompleteInput, match=message):
        open_facts(str(tmp_path / "p"))
