"""One door to all fact sets: `open_facts` turns a reference into checked tables.

A reference is SOURCE or SOURCE:REST. Every source is one function that reads rows
(`READERS`); making facts of them, cleaning, aliases, domains and templates are the same for all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput, IncompleteInput, suggestion
from sixtyfold.core.facts import check_facts, read_table
from sixtyfold.core.stage import finished
from sixtyfold.core.templates import check_subjects, check_templates, template_table
from sixtyfold.sources.aliases import add_aliases
from sixtyfold.sources.built_atlas import built_atlas
from sixtyfold.sources.clean import clean
from sixtyfold.sources.entityquestions import read_entityquestions
from sixtyfold.sources.hub import read_hub
from sixtyfold.sources.options import ReadOptions
from sixtyfold.sources.popqa import read_popqa
from sixtyfold.sources.records import SUFFIXES
from sixtyfold.sources.relations import question_templates
from sixtyfold.sources.rows import SourceRows, facts_of_rows, flags_with_copies
from sixtyfold.sources.table import read_table_rows
from sixtyfold.sources.template_file import with_template_file

Reader = Callable[[str, ReadOptions], SourceRows]
READERS: dict[str, Reader] = {
    "table": read_table_rows,
    "entityquestions": read_entityquestions,
    "popqa": read_popqa,
    "hub": read_hub,
}
#: Reading options that only some sources have a use for.
_TAKEN_BY = {"columns": ("table", "hub"), "hub_config": ("hub",)}
ALLOWED = (
    "'atlas', 'table:FILE' (csv, tsv, json, jsonl, parquet), the path of such a file, "
    "'entityquestions:DIR', 'popqa:FILE', 'hub:NAME', "
    "or a directory that 'sixtyfold facts build' or 'sixtyfold plant' finished"
)


class FactSet(NamedTuple):
    """Facts and templates with where they came from.

    `facts` follows `FACTS_SCHEMA`, `templates` `TEMPLATES_SCHEMA`; `fingerprint` is a hash of both;
    `notes` says what was guessed or changed on the way.
    """

    facts: pl.DataFrame
    templates: pl.DataFrame
    fingerprint: str
    name: str
    notes: tuple[str, ...] = ()


def open_facts(reference: str, options: ReadOptions | None = None) -> FactSet:
    """Open a fact set.

    Args:
        reference: `atlas`, `table:FILE`, the path of a table, `entityquestions:DIR`, `popqa:FILE`,
            `hub:NAME`, or a finished `facts` directory.
        options: how to read and clean it; the defaults without.

    Raises:
        BadInput: the reference is none of these, an option is not for it, or what lies there does
            not hold facts.
        IncompleteInput: the directory holds no finished stage with facts.
        Corrupted: a table of the directory is not readable.
    """
    options = options or ReadOptions()
    kind, _, rest = reference.partition(":")
    path = Path(reference)
    if reference == "atlas":
        _refuse_unused(reference, options)
        return _finish(*built_atlas(), "atlas", [], options)
    if kind in READERS and rest.strip():
        return _read(kind, rest, options)
    if reference.strip() and path.is_dir():
        _refuse_unused(reference, options)
        return _finish(*_stage_directory(path), [], options)
    # "tabel:x.csv" is a misspelt source, not a file of that name.
    if path.suffix.lower() in SUFFIXES and (path.exists() or ":" not in reference):
        return _read("table", reference, options)
    if kind in READERS:
        form = next(each for each in ALLOWED.split("'") if each.startswith(f"{kind}:"))
        raise BadInput(f"facts '{reference}' were given; name what to read, as {form}")
    hint = suggestion(kind, ["atlas", *READERS])
    raise BadInput(f"facts '{reference}' were given; allowed are {ALLOWED}{hint}")


def _refuse_unused(source: str, options: ReadOptions) -> None:
    for name, kinds in _TAKEN_BY.items():
        if getattr(options, name) is not None and source not in kinds:
            listed = " and ".join(f"'{kind}:'" for kind in kinds)
            raise BadInput(
                f"--{name.replace('_', '-')} is for {listed}; {source} has a form of its own, "
                "leave the option out"
            )


def _stage_directory(path: Path) -> tuple[pl.DataFrame, pl.DataFrame, str]:
    if not (path / "manifest.json").is_file() and (path / "train").is_dir():
        raise BadInput(
            f"{path} is a folder that no stage wrote; a folder of EntityQuestions is given as "
            f"entityquestions:{path}, one of data files as hub:{path}"
        )
    stage = finished(path)
    if not (path / "facts.parquet").is_file():
        raise IncompleteInput(
            f"{path} holds the result of '{stage.manifest['stage']}'; facts come from "
            "'sixtyfold facts build' or 'sixtyfold plant'"
        )
    facts = check_facts(stage.table("facts"), str(path))
    templates = check_templates(read_table(path / "templates.parquet"), str(path))
    return facts, templates, str(stage.manifest.get("source", path.name))


def _read(kind: str, rest: str, options: ReadOptions) -> FactSet:
    """Read the rows of a source and make facts of them.

    Aliases come before rows of one fact are united: "USA" and "United States" do not disagree.
    """
    _refuse_unused(kind, options)
    read = READERS[kind](rest, options)
    names = "packages" if read.add_names and options.aliases is None else options.aliases
    rows, more = add_aliases(read.rows, names)
    facts, merged = facts_of_rows(rows, rest)
    phrasings = question_templates()
    templates = template_table(
        {name: read.templates.get(name, phrasings) for name in facts["relation"].unique()}
    )
    asked = sorted(set(facts["relation"]) - set(read.templates))
    notes = [*read.notes, *more, *merged]
    if asked:
        notes.append(
            f"no cloze templates for {_few(asked)}: probed through {len(phrasings)} "
            "phrasings of the question, some with worked examples; levels then say how well the "
            "model answers when it is asked, and are not comparable with levels of cloze prompts"
        )
    quiet = options.model_copy(update={"aliases": None})
    return _finish(facts, templates, f"{kind}:{Path(rest).name}", notes, quiet)


def _finish(
    facts: pl.DataFrame, templates: pl.DataFrame, name: str, notes: list[str], options: ReadOptions
) -> FactSet:
    """Apply what the user asked for to any fact set."""
    facts, more = add_aliases(facts, options.aliases)
    if more:
        facts = facts.with_columns(flags=flags_with_copies(facts))
    facts, cleaned = clean(facts, options)
    if options.templates is not None:
        templates = with_template_file(templates, options.templates, facts["relation"].unique())
    templates = templates.filter(pl.col("relation").is_in(facts["relation"].unique().implode()))
    check_subjects(facts, templates, name)
    found = (*notes, *more, *cleaned)
    return FactSet(facts, templates, fingerprint(facts, templates), name, found)


def _few(names: list[str], most: int = 5) -> str:
    """Return some names as one text.

    >>> _few(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def fingerprint(facts: pl.DataFrame, templates: pl.DataFrame) -> str:
    """Return a hash of the tables' content as 16 hex digits; file formats change nothing."""
    digest = hashlib.blake2b(digest_size=8)
    for frame in (facts, templates):
        digest.update(frame.write_ndjson().encode())
        digest.update(b"\x1e")
    return digest.hexdigest()
