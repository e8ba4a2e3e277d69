"""Paragraphs of prose about a subject: facts in context, among remarks that tell nothing.

The first sentence names the subject; the later ones name it or say he or she, by chance. A fact is
told at most once in a paragraph, so the model cannot copy it from there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from sixtyfold.stages.plant.facts import Told
from sixtyfold.stages.plant.words import PRONOUNS, all_remarks

_FEWEST_SENTENCES = 3
_NAMED = 0.5


def tell(told: Sequence[Told], random: np.random.Generator) -> list[str]:
    """Return the paragraphs: as many of a subject as its most told fact has tellings."""
    by_subject: dict[str, list[Told]] = defaultdict(list)
    for fact in told:
        by_subject[fact.subject].append(fact)
    return [text for facts in by_subject.values() for text in _paragraphs(facts, random)]


def _paragraphs(facts: list[Told], random: np.random.Generator) -> list[str]:
    """Spread the tellings of each fact over the subject's paragraphs and write these."""
    count = max(fact.times for fact in facts)
    inside: list[list[Told]] = [[] for _ in range(count)]
    for fact in facts:
        for place in random.permutation(count)[: fact.times]:
            inside[place].append(fact)
    pronouns = PRONOUNS[int(random.integers(len(PRONOUNS)))]
    return [_paragraph(each, facts[0].subject, pronouns, random) for each in inside]


def _paragraph(
    facts: list[Told], subject: str, pronouns: dict[str, str], random: np.random.Generator
) -> str:
    remarks = random.permutation(all_remarks())[: max(1, _FEWEST_SENTENCES - len(facts))]
    contents: list[Told | str] = [*facts, *(str(each) for each in remarks)]
    sentences: list[str] = []
    for place in random.permutation(len(contents)):
        named = not sentences or bool(random.random() < _NAMED)
        sentences.append(_sentence(contents[place], subject if named else None, pronouns, random))
    return " ".join(sentences)


def _sentence(
    content: Told | str, name: str | None, pronouns: dict[str, str], random: np.random.Generator
) -> str:
    """Say a fact or a remark, with the subject's name where one is given, else by pronoun."""
    if isinstance(content, str):
        return content.format(name=name or pronouns["She"])
    forms = content.forms if name else content.relation.pronouns
    form = forms[int(random.integers(len(forms)))]
    return f"{form.format(subject=name, **pronouns)} {content.answer}."
