"""The ways to name facts."""

from __future__ import annotations

import polars as pl

from sixtyfold.sources.spec import FactsListSpec

_SOURCES = (
    ("atlas", "the embedded facts: countries, cities, airports, elements"),
    ("entityquestions:DIR", "EntityQuestions in its official form: 24 Wikidata relations"),
    ("popqa:FILE", "PopQA, the release's TSV or JSON: aliases and popularity"),
    ("table:FILE", "your own csv, tsv, json, jsonl or parquet with questions and answers"),
    ("hub:NAME", "a Hugging Face data set, read with 'datasets'"),
    ("DIRECTORY", "what 'sixtyfold facts build' or 'sixtyfold plant' wrote"),
)


def list_sources(_: FactsListSpec) -> pl.DataFrame:
    """Return the references `--facts` takes."""
    return pl.DataFrame(_SOURCES, schema=["facts", "what it is"], orient="row")
