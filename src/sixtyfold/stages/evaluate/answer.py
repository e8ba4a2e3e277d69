"""Ask questions and judge the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from sixtyfold.core.accuracy import ANSWERS_SCHEMA
from sixtyfold.core.matching import MatchMode, exact, matcher, token_f1
from sixtyfold.core.prompts import PromptOptions, Shot, question_ids
from sixtyfold.engines.greedy import chunks_by_length, cut_answer, greedy

if TYPE_CHECKING:
    from sixtyfold.engines.torch_engine import TorchEngine


def with_levels(facts: pl.DataFrame, probe: pl.DataFrame | None) -> pl.DataFrame:
    """Return the facts with a `level` column, null where the probe did not see them."""
    if probe is None:
        return facts.with_columns(level=pl.lit(None, dtype=pl.Int8))
    return facts.join(probe.select("fact_id", "level"), on="fact_id", how="left").sort("fact_id")


def question_prompts(
    facts: pl.DataFrame, tokenizer: object, options: PromptOptions, shots: dict[str, list[Shot]]
) -> list[list[int]]:
    """Return the prompt ids of each fact's question, in row order."""
    return [
        question_ids(tokenizer, options, question, shots.get(relation, []))
        for relation, question in zip(facts["relation"], facts["question"], strict=True)
    ]


def fixed_chunks(prompts: list[list[int]], batch: int) -> list[list[int]]:
    """Return the row indices that run together; depends on the prompts' lengths alone."""
    return chunks_by_length([len(prompt) for prompt in prompts], batch)


def questions_at_once(engine: TorchEngine, prompts: list[list[int]], max_new_tokens: int) -> int:
    """Return how many questions may run together."""
    from sixtyfold.engines.memory import MOST_SHORT_ON_CPU, rows_that_fit

    longest = max(map(len, prompts), default=0) + max_new_tokens
    return rows_that_fit(engine.model, longest, MOST_SHORT_ON_CPU)


def answer_chunk(
    engine: TorchEngine,
    facts: pl.DataFrame,
    prompts: list[list[int]],
    match: MatchMode,
    max_new_tokens: int,
) -> pl.DataFrame:
    """Answer the questions of one chunk greedily.

    Args:
        engine: the model.
        facts: B rows of the fact table with a `level` column.
        prompts: B prompts.
        match: how hits are judged.
        max_new_tokens: longest answer.

    Returns:
        B rows of the answers table.
    """
    found = greedy(engine, prompts, max_new_tokens)
    rows = []
    for fact, prompt, got in zip(facts.iter_rows(named=True), prompts, found, strict=True):
        answer = cut_answer(engine.text(got.ids))
        row = {name: fact[name] for name in ("fact_id", "relation", "domain", "split", "level")}
        row["prompt"] = engine.tokenizer.decode(prompt)
        row["answer"] = answer
        row["hit"] = matcher(match, fact["objects"], fact["subject"]).hit(answer)
        row["exact"] = exact(answer, fact["objects"])
        row["f1"] = token_f1(answer, fact["objects"])
        row["ended"] = got.stopped
        rows.append(row)
    return pl.DataFrame(rows, schema=ANSWERS_SCHEMA)


def answer_facts(
    engine: TorchEngine,
    facts: pl.DataFrame,
    options: PromptOptions,
    match: MatchMode = "standard",
    max_new_tokens: int = 16,
    batch: int | None = None,
) -> pl.DataFrame:
    """Answer all questions without examples and without storing anything; sorted by key.

    Without `batch` as many run together as memory allows.
    """
    prompts = question_prompts(facts, engine.tokenizer, options, {})
    batch = batch or questions_at_once(engine, prompts, max_new_tokens)
    parts = [
        answer_chunk(engine, facts[chunk], [prompts[i] for i in chunk], match, max_new_tokens)
        for chunk in fixed_chunks(prompts, batch)
    ]
    return pl.concat(parts).sort("fact_id")
