"""Cloze templates: how a fact becomes a text that ends right before its answer.

Knows the placeholders `{subject}` and `{question}` and what makes two templates different. Does
not know where templates come from (`sources/`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import TEMPLATES_SCHEMA

_PLACEHOLDER = re.compile(r"\{(subject|question)\}")
_WORD = re.compile(r"\w+")


def fill(template: str, subject: str, question: str) -> str:
    """Return the template with the fact's subject and question put in.

    A subject that opens the text gets a capital letter ("the Gambia" becomes "The Gambia").

    >>> fill("{subject} lies in", "the Gambia", "")
    'The Gambia lies in'
    >>> fill("Q: {question} A:", "{question}", "Where is {subject}?")
    'Q: Where is {subject}? A:'
    """
    values = {"subject": subject, "question": question}
    text = _PLACEHOLDER.sub(lambda found: values[found.group(1)], template)
    opens = template.startswith("{subject}") and subject.startswith("the ")
    return text[:1].upper() + text[1:] if opens else text


def overlap(first: str, second: str) -> float:
    """Return the Jaccard similarity of two templates' word sets, placeholders left out.

    >>> overlap("The capital of {subject} is", "The capital of {subject}:")
    0.75
    """
    sets = [set(_WORD.findall(_PLACEHOLDER.sub(" ", text).casefold())) for text in (first, second)]
    union = sets[0] | sets[1]
    return len(sets[0] & sets[1]) / len(union) if union else 1.0


def template_table(templates: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """Return relation → texts as a table of `TEMPLATES_SCHEMA`, numbered in the order given.

    Raises:
        BadInput: a relation has no template, or a template is not one (no placeholder, or a
            trailing space where the answer's own space would be doubled).
    """
    rows = []
    for relation in sorted(templates):
        texts = templates[relation]
        if not texts:
            raise BadInput(f"relation '{relation}' has no template; give at least one")
        for number, text in enumerate(texts):
            _check_template(relation, text)
            rows.append({"relation": relation, "template_id": number, "text": text})
    return pl.DataFrame(rows, schema=TEMPLATES_SCHEMA)


def check_templates(frame: pl.DataFrame, origin: str) -> pl.DataFrame:
    """Return a template table in schema order, sorted by key.

    Raises:
        BadInput: a column is missing, a key is doubled or a text is no template.
    """
    missing = [name for name in TEMPLATES_SCHEMA if name not in frame.columns]
    if missing:
        raise BadInput(
            f"{origin}: templates need the columns {', '.join(TEMPLATES_SCHEMA)}; "
            f"missing here: {', '.join(missing)}"
        )
    frame = frame.select(list(TEMPLATES_SCHEMA)).cast(TEMPLATES_SCHEMA)
    if frame.select("relation", "template_id").is_duplicated().any():
        raise BadInput(f"{origin}: a template_id stands twice in one relation; number them anew")
    for relation, text in frame.select("relation", "text").iter_rows():
        _check_template(relation, text)
    return frame.sort("relation", "template_id")


def check_subjects(facts: pl.DataFrame, templates: pl.DataFrame, origin: str) -> None:
    """Refuse templates with a hole: `{subject}` for facts that have none.

    Raises:
        BadInput: a relation has both; the message names fact and template.
    """
    bare = facts.filter(pl.col("subject").str.strip_chars() == "")
    holes = templates.filter(
        pl.col("text").str.contains("{subject}", literal=True)
        & pl.col("relation").is_in(bare["relation"].unique().implode())
    )
    if not holes.is_empty():
        relation, text = holes.row(0)[0], holes.row(0)[2]
        question = bare.filter(pl.col("relation") == relation)["question"][0]
        raise BadInput(
            f"{origin}: template {text!r} of '{relation}' needs a subject and fact {question!r} "
            "has none; name a subject column or use {question} in the template"
        )


def _check_template(relation: str, text: str) -> None:
    if not _PLACEHOLDER.search(text):
        raise BadInput(
            f"template {text!r} of '{relation}' has neither {{subject}} nor {{question}}; add one"
        )
    if text.endswith((" ", "\t")):
        raise BadInput(f"template {text!r} of '{relation}' ends with a space; remove it")
