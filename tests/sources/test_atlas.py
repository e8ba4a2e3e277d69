"""What the documentation says about the atlas, counted."""

import hashlib
import itertools
import re

import polars as pl
import pytest

from sixtyfold.core.facts import FACTS_SCHEMA, TEMPLATES_SCHEMA, normalise
from sixtyfold.core.matching import matcher
from sixtyfold.core.templates import fill, overlap
from sixtyfold.sources.atlas import build_atlas, read_data
from sixtyfold.sources.inspect import inspect
from sixtyfold.sources.open import fingerprint
from sixtyfold.sources.spellings import folded

# Pinned: the relations and splits were fixed before the first tuning run. A change here is a
# change of the fact set and must be meant.
IN_DOMAIN = {
    "capital_of_country",
    "continent_of_country",
    "country_of_city",
    "language_of_country",
    "neighbour_of_country",
    "state_of_us_city",
}
OUT_OF_DOMAIN = {
    "city_of_airport",
    "currency_of_country",
    "demonym_of_country",
    "element_of_symbol",
}

SPLITS_DIGEST = "456a4e814dbe97df"


@pytest.fixture(scope="module")
def atlas() -> tuple[pl.DataFrame, pl.DataFrame]:
    return build_atlas()


@pytest.fixture(scope="module")
def facts(atlas: tuple[pl.DataFrame, pl.DataFrame]) -> pl.DataFrame:
    return atlas[0]


def objects(facts: pl.DataFrame, relation: str, subject: str) -> list[str]:
    row = facts.filter(pl.col("relation") == relation, pl.col("subject") == subject)
    assert row.height == 1, f"{relation} of {subject}: {row.height} facts"
    return row["objects"][0].to_list()


def test_relations_and_their_domains(facts: pl.DataFrame) -> None:
    found = {
        domain: set(facts.filter(pl.col("domain") == domain)["relation"])
        for domain in ("in", "out")
    }
    assert found == {"in": IN_DOMAIN, "out": OUT_OF_DOMAIN}


def test_the_splits_are_those_fixed_before_any_tuning(facts: pl.DataFrame) -> None:
    """Fails when a fact changes its key or split, or comes or goes."""
    rows = sorted(facts.select("fact_id", "split").iter_rows())
    digest = hashlib.sha256("\n".join(" ".join(row) for row in rows).encode()).hexdigest()
    assert digest[:16] == SPLITS_DIGEST


def test_size_and_schema(atlas: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    facts, templates = atlas
    assert facts.height >= 3000
    assert facts.schema == FACTS_SCHEMA
    assert templates.schema == TEMPLATES_SCHEMA
    assert facts["fact_id"].is_unique().all()


def test_every_in_domain_relation_has_enough_of_each_split(facts: pl.DataFrame) -> None:
    counts = inspect(facts).filter(pl.col("domain") == "in")
    assert counts["train"].min() >= 60
    assert counts["dev"].min() >= 20
    assert counts["test"].min() >= 38  # neighbour_of_country; the splits are fixed


def test_shares_of_the_splits_are_those_promised(facts: pl.DataFrame) -> None:
    share = {split: (facts["split"] == split).mean() for split in ("train", "dev", "test")}
    assert share == pytest.approx({"train": 0.5, "dev": 0.2, "test": 0.3}, abs=0.03)


def test_no_question_stands_twice_or_in_two_splits(facts: pl.DataFrame) -> None:
    assert facts["question"].map_elements(normalise, return_dtype=pl.String).is_unique().all()
    assert inspect(facts)["shared_questions"].sum() == 0


def test_no_answer_dominates(facts: pl.DataFrame) -> None:
    share = dict(inspect(facts).select("relation", "top_share").iter_rows())
    assert share["country_of_city"] <= 0.06
    assert share["state_of_us_city"] <= 0.06
    assert max(share.values()) <= 0.30


def test_the_same_atlas_twice(
    atlas: tuple[pl.DataFrame, pl.DataFrame], tmp_path: pytest.TempPathFactory
) -> None:
    again = build_atlas()
    assert fingerprint(*again) == fingerprint(*atlas)
    written = []
    for number, frame in enumerate((atlas[0], again[0])):
        path = tmp_path / f"{number}.parquet"
        frame.write_parquet(path, compression="zstd")
        written.append(path.read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("relation", "subject", "first", "also"),
    [
        ("capital_of_country", "France", "Paris", []),
        ("capital_of_country", "Bolivia", "Sucre", ["La Paz"]),
        ("capital_of_country", "Colombia", "Bogotá", ["Bogota"]),
        ("capital_of_country", "the United States", "Washington, D.C.", ["Washington"]),
        ("country_of_city", "Chicago", "United States", ["United States of America", "USA"]),
        ("country_of_city", "Cologne", "Germany", []),
        ("country_of_city", "Rotterdam", "Netherlands", ["Holland"]),
        ("continent_of_country", "Kenya", "Africa", []),
        ("continent_of_country", "Turkey", "Asia", ["Europe"]),
        ("language_of_country", "China", "Chinese", ["Mandarin"]),
        ("language_of_country", "Iran", "Persian", ["Farsi"]),
        ("language_of_country", "Serbia", "Serbian", []),
        ("language_of_country", "Norway", "Norwegian", []),
        ("state_of_us_city", "Chicago", "Illinois", []),
        ("neighbour_of_country", "Portugal", "Spain", []),
        ("currency_of_country", "Japan", "yen", ["Japanese yen"]),
        ("currency_of_country", "Germany", "euro", []),
        ("currency_of_country", "China", "yuan", ["renminbi"]),
        ("demonym_of_country", "the Netherlands", "Dutch", []),
        ("element_of_symbol", "Na", "sodium", []),
        ("element_of_symbol", "Al", "aluminum", ["aluminium"]),
        ("city_of_airport", "O. R. Tambo International Airport", "Johannesburg", []),
    ],
)
def test_known_answers(
    facts: pl.DataFrame, relation: str, subject: str, first: str, also: list[str]
) -> None:
    accepted = objects(facts, relation, subject)
    assert accepted[0] == first
    assert set(also) <= set(accepted)


def test_names_that_are_words_or_parts_of_others_are_no_aliases(facts: pl.DataFrame) -> None:
    names = {name for row in facts["objects"] for name in row}
    assert not {"US", "America", "Congo", "Korea"} & names


def test_no_border_of_a_leased_base(facts: pl.DataFrame) -> None:
    assert "Cuba" not in objects(facts, "neighbour_of_country", "the United States")


def test_articles(facts: pl.DataFrame) -> None:
    asked = facts.filter(pl.col("relation") == "capital_of_country")["question"].to_list()
    assert "What is the capital of the Philippines?" in asked
    assert "What is the capital of Poland?" in asked
    assert not [question for question in asked if "the the " in question.casefold()]


def test_flags_are_right(facts: pl.DataFrame) -> None:
    for row in facts.iter_rows(named=True):
        subject = f" {folded(row['subject'])} "
        copied = any(f" {folded(answer)} " in subject for answer in row["objects"])
        assert ("answer_in_subject" in row["flags"]) == copied, row
    flagged = dict(facts.select("question", "flags").iter_rows())
    assert "answer_in_subject" in flagged["Which country is Mexico City located in?"]
    assert "several_answers" in flagged["What is the capital of South Africa?"]
    assert "ambiguous" in flagged["Which country is Oxford located in?"]


def test_no_fact_asks_for_its_own_subject(facts: pl.DataFrame) -> None:
    own = [
        row["question"]
        for row in facts.iter_rows(named=True)
        if folded(row["objects"][0]) == folded(row["subject"].removeprefix("the "))
    ]
    assert not own


def test_texts_are_clean(facts: pl.DataFrame) -> None:
    for row in facts.iter_rows(named=True):
        for text in (row["subject"], row["question"], *row["objects"]):
            assert text == " ".join(text.split())
            assert text
        assert len(set(row["objects"])) == len(row["objects"])


def test_every_answer_is_a_hit_of_its_own_matcher(facts: pl.DataFrame) -> None:
    for row in facts.iter_rows(named=True):
        match = matcher("standard", row["objects"], row["subject"])
        assert match.hit(f" {row['objects'][0]}."), row


def templates() -> dict[str, list[str]]:
    return {name: about["templates"] for name, about in read_data("atlas.yaml").items()}


@pytest.mark.parametrize("relation", sorted(IN_DOMAIN | OUT_OF_DOMAIN))
def test_templates_of_a_relation(relation: str) -> None:
    texts = templates()[relation]
    assert len(texts) >= 21
    for text in texts:
        assert text.count("{subject}") == 1
        assert "{question}" not in text
        assert text == text.strip()
    pairs = itertools.combinations(texts, 2)
    alike = [(one, two) for one, two in pairs if overlap(one, two) > 0.6]
    assert not alike


def test_no_template_tells_an_answer(facts: pl.DataFrame) -> None:
    """A worked example inside a template must not be a fact of the relation it probes."""
    for relation, texts in templates().items():
        rows = facts.filter(pl.col("relation") == relation)
        names = {name for row in rows["objects"] for name in row} | set(rows["subject"])
        for text in texts:
            # Symbols such as "In" and "I" are words as well.
            names = {name for name in names if len(name) > 2}
            words = re.sub(r"\{subject\}", " ", text)
            told = [name for name in names if re.search(rf"\b{re.escape(name)}\b", words)]
            assert not told, (relation, text)


def test_templates_read_as_sentences(facts: pl.DataFrame) -> None:
    text = fill("{subject} is located in", "the Gambia", "")
    assert text == "The Gambia is located in"
    assert all(fill(t, "Spain", "")[0].isupper() for each in templates().values() for t in each)
