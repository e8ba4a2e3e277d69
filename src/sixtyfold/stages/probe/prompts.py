"""The cloze prompts of a fact set, in fixed chunks."""

from __future__ import annotations

from typing import Any

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.matching import Matcher, matcher
from sixtyfold.core.prompts import continuation_ids
from sixtyfold.core.templates import fill
from sixtyfold.engines.vocabulary import Vocabulary
from sixtyfold.stages.probe.paths import ClozePrompt
from sixtyfold.stages.probe.spec import ProbeSpec
from sixtyfold.stages.probe.trie import Trie, build_trie

_MOST_SPELLINGS = 12


def relation_templates(
    facts: pl.DataFrame, templates: pl.DataFrame, most: int | None
) -> dict[str, list[tuple[int, str]]]:
    """Return the first `most` templates of each relation of the facts, by template id.

    Raises:
        BadInput: a relation has no template.
    """
    found: dict[str, list[tuple[int, str]]] = {}
    for relation in facts["relation"].unique().sort():
        rows = templates.filter(pl.col("relation") == relation).sort("template_id")
        if rows.is_empty():
            raise BadInput(
                f"relation '{relation}' has no cloze template; "
                "add templates to the facts or leave the relation out"
            )
        found[relation] = list(zip(rows["template_id"], rows["text"], strict=True))[:most]
    return found


def cloze_prompts(
    facts: pl.DataFrame,
    templates: dict[str, list[tuple[int, str]]],
    tokenizer: Any,
    words: Vocabulary,
    spec: ProbeSpec,
) -> list[ClozePrompt]:
    """Fill every template of every fact.

    Args:
        facts: rows of the fact table.
        templates: relation to (template_id, text).
        tokenizer: the model's.
        words: the model's vocabulary table.
        spec: the probe's options.
    """
    prompts = []
    for fact in facts.iter_rows(named=True):
        hits = matcher(spec.match, fact["objects"], fact["subject"])
        trie = answer_trie(fact["objects"], tokenizer, words, hits)
        for template_id, text in templates[fact["relation"]]:
            filled = fill(text, fact["subject"], fact["question"])
            ids = list(tokenizer(filled)["input_ids"])
            prompts.append(ClozePrompt(fact["fact_id"], template_id, ids, hits, trie))
    return prompts


def answer_trie(objects: list[str], tokenizer: Any, words: Vocabulary, hits: Matcher) -> Trie:
    """Build the trie of a fact's accepted answers as they follow a cloze prompt.

    A spelling that does not read as the answer behind another word is left out: what is not looked
    for is still found when it is drawn.
    """
    anchor = list(tokenizer("x", add_special_tokens=False)["input_ids"])

    def spelled(ids: list[int]) -> str:
        return str(tokenizer.decode([*anchor, *ids], clean_up_tokenization_spaces=False))

    spellings = [continuation_ids(tokenizer, f" {each}") for each in objects[:_MOST_SPELLINGS]]
    sound = [
        spelling for spelling in spellings if _reads_as_hit(spelled(spelling), spelled([]), hits)
    ]
    return build_trie(sound, words.ends_word if hits.on_boundaries else None)


def _reads_as_hit(text: str, before: str, hits: Matcher) -> bool:
    own = text.removeprefix(before)
    if own == text or not own:
        return False
    if hits.is_subject:  # counts at the beginning only, so it is read as if it stood there
        return not own[0].isalnum() and hits.pending(own)
    return hits.pending(text) if hits.on_boundaries else hits.hit(own)
