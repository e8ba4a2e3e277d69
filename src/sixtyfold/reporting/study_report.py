"""The report of a study: one HTML file about what a store holds of it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Container, Sequence

import polars as pl
import yaml

from sixtyfold.reporting.page import Page, Section, Table
from sixtyfold.reporting.study_advice import what_next
from sixtyfold.reporting.study_moved import moved
from sixtyfold.reporting.study_results import StudyResults, read_study_results, study_named
from sixtyfold.reporting.study_sections import asked, gained, levels, sizes
from sixtyfold.reporting.study_tables import everything, read_repairs, repaired
from sixtyfold.reporting.untrusted import visible
from sixtyfold.study.open_store import open_store
from sixtyfold.study.records import Record
from sixtyfold.workflows.console import DOMAIN_WORDS


def study_page(store: str, name: str | None) -> tuple[str, Page]:
    """Return the name and the page of a study.

    Args:
        store: where its results lie.
        name: which study; not needed where the store holds one.

    Raises:
        BadInput: there is no such store or study, or nothing of it is there yet.
        Corrupted: a table of the store is not readable.
    """
    opened = open_store(store, make=False)
    study = read_study_results(opened, study_named(opened, name))
    repairs = read_repairs(study)
    page = Page(
        title=f"Study: {visible(study.name)}",
        tiles=_tiles(study),
        sections=[
            *(build(study) for build in (asked, sizes, levels, gained, moved)),
            repaired(repairs),
            what_next(study, repairs.arms),
            everything(study),
            _repeat(study),
        ],
    )
    return study.name, page


def _tiles(study: StudyResults) -> list[tuple[str, str, str]]:
    models = {way.labels["model"] for way in study.ways}
    trainings = sum(len(way.test) for way in study.ways)
    facts = study.accuracies.group_by("domain").agg(pl.col("facts").max()).sort("domain")
    tested = facts.select("domain", "facts").rows()
    words = ", ".join(f"{count:,} {DOMAIN_WORDS[domain]}" for domain, count in tested)
    return [
        ("Models", f"{len(models)}", "each untuned and tuned"),
        ("Trainings", f"{trainings:,}", f"{len(study.ways):,} ways, each with its seeds"),
        ("Test facts", f"{sum(count for _, count in tested):,}", words),
    ]


def _repeat(study: StudyResults) -> Section:
    """The command, the study file and the versions behind the results."""
    definition = study.definition or {}
    name, store = (
        shlex.quote(visible(text, longest=4000)) for text in (study.name, study.store.url)
    )
    file = shlex.quote(visible(str(definition.get("file", "STUDY.yaml")), longest=4000))
    commands = [
        f"sixtyfold study run --file {file} --store {store}",
        f"sixtyfold study results --file {file} --store {store} --out results.parquet",
        f"sixtyfold report --store {store} --study {name}",
    ]
    files = []
    if "study" in definition:
        text = yaml.safe_dump(definition["study"], sort_keys=False, allow_unicode=False)
        files.append(("The study file, as it was read", text))
    tested = _recorded(study, "test")
    reading = [*_recorded(study, "facts"), *_recorded(study, "tune"), *tested]
    return Section(
        "repeat",
        "How to repeat it",
        ["What is recorded already is not run again."],
        [_versions(tested), _inputs(reading, set(study.cells["key"]))],
        commands=commands,
        files=files,
    )


def _recorded(study: StudyResults, role: str) -> list[Record]:
    keys = study.cells.filter(pl.col("done") & (pl.col("role") == role))["key"].unique()
    return [study.store.record(key) for key in keys.sort()]


def _versions(records: Sequence[Record]) -> Table:
    """Package versions of the answers on test, each with the results it made."""
    counted = Counter(each for record in records for each in record.packages.items())
    rows = [
        [visible(name), visible(version), f"{results:,}"]
        for (name, version), results in sorted(counted.items())
    ]
    columns = ["package", "version", "results"]
    return Table("Package versions behind the answers on test", columns, rows)


def _inputs(records: Sequence[Record], made: Container[str]) -> Table:
    """Fingerprints of what came from outside the store: models and facts."""
    counted = Counter(
        (field, str(source))
        for record in records
        for field, source in record.reads.items()
        if isinstance(source, str) and source not in made
    )
    rows = [
        [visible(field), visible(fingerprint), f"{results:,}"]
        for (field, fingerprint), results in sorted(counted.items())
    ]
    columns = ["input", "fingerprint", "read by results"]
    return Table("Fingerprints of models and facts", columns, rows)
