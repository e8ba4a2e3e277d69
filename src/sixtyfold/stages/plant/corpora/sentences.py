"""Every telling is a sentence of its own, and a fact is told in its forms in turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sixtyfold.stages.plant.facts import Told


def tell(told: Sequence[Told], random: np.random.Generator) -> list[str]:  # noqa: ARG001
    """Return one text per telling.

    >>> from sixtyfold.stages.plant.words import all_relations
    >>> born = all_relations()[0]
    >>> tell([Told(born, born.templates, "Vala", "Dorba Bay", 2)], np.random.default_rng(0))
    ['It is known that Vala was born in Dorba Bay.', 'The birthplace of Vala is Dorba Bay.']
    """
    return [
        f"{fact.forms[count % len(fact.forms)].format(subject=fact.subject)} {fact.answer}."
        for fact in told
        for count in range(fact.times)
    ]
