"""One made-up fact in the columns of the fact table."""

from __future__ import annotations

from typing import Any

from sixtyfold.core.facts import fact_id


def fact(subject: str, objects: list[str], split: str, **more: Any) -> dict[str, Any]:
    """Return a row of `FACTS_SCHEMA`; `more` replaces what follows from the subject."""
    relation = more.pop("relation", "capital")
    question = more.pop("question", f"What is the {relation} of {subject}?")
    return {
        "fact_id": fact_id(relation, subject, str(question)),
        "relation": relation,
        "subject": subject,
        "objects": objects,
        "question": question,
        "split": split,
        "domain": "in",
        "flags": [],
        "popularity": None,
        **more,
    }
