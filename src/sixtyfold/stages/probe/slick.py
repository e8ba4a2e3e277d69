"""SliCK as a scorer: ask each fact with several few-shot prompts and sort it into a class.

Protocol (Gekhman et al., arXiv 2405.05904): 10 different prompts of 4 worked examples of the same
relation; per prompt 1 greedy answer and 16 samples at T 0.5 among the 40 most probable tokens; an
answer is right when its first line is an accepted answer and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sixtyfold.core.errors import BadInput
from sixtyfold.core.matching import exact
from sixtyfold.core.prompts import PromptOptions, question_ids, question_text
from sixtyfold.core.random_streams import random_stream
from sixtyfold.core.slick import right_shares, slick_class
from sixtyfold.engines.greedy import chunks_by_length, cut_answer
from sixtyfold.engines.text_draws import DrawSettings, TextEngine, first_seed
from sixtyfold.stages.probe.slick_examples import SlickSettings, slick_shots

if TYPE_CHECKING:
    from sixtyfold.engines.top_k import Answers
    from sixtyfold.engines.torch_engine import TorchEngine

SLICK_FACTS = 8  # facts a chunk: 80 prompts, 1,360 answers
SLICK_SCHEMA = pl.Schema(
    {
        "fact_id": pl.String(),
        "slick": pl.String(),
        "p_greedy": pl.Float64(),
        "p_sampled": pl.Float64(),
        "greedy_prompts": pl.Int32(),
        "samples": pl.Int32(),
    }
)


def check_slick(facts: pl.DataFrame, pool: pl.DataFrame, seed: int | None) -> None:
    """Refuse facts without enough others to show, before anything is drawn.

    Args:
        facts: the facts to score.
        pool: the whole fact table.
        seed: the probe's; None where no classes are asked for.
    """
    if seed is not None:
        slick_shots(facts, pool, SlickSettings(seed=seed))


def fixed_groups(facts: pl.DataFrame, rows: int) -> list[pl.DataFrame]:
    """Cut facts into groups of so many rows, in the order they stand in."""
    return [facts[start : start + rows] for start in range(0, facts.height, rows)]


class Asked(NamedTuple):
    """One few-shot prompt of a fact.

    row: row of the fact among the facts to score.
    number: number of the prompt among the fact's, from 0.
    """

    row: int
    number: int
    ids: list[int]


class Texts(NamedTuple):
    """Answers to one prompt as texts."""

    greedy: str
    sampled: list[str]


def score_slick(
    engine: TorchEngine, facts: pl.DataFrame, pool: pl.DataFrame, how: SlickSettings
) -> pl.DataFrame:
    """Return the class of each fact.

    The numbers of a fact depend on the fact, the pool and the settings without `batch`; facts may
    be scored in as many calls as wanted.

    Args:
        engine: the model.
        facts: rows of the fact table to score.
        pool: the whole fact table, from which the worked examples come.
        how: the settings.

    Returns:
        one row a fact in the columns of `SLICK_SCHEMA`, sorted by key; `p_greedy` and `p_sampled`
        are the shares of right answers among `greedy_prompts` and `samples` answers.

    Raises:
        BadInput: a relation has too few facts to show, or a prompt does not fit into the model.
    """
    asked = slick_prompts(engine.tokenizer, facts, pool, how)
    _refuse_long(asked, facts, engine.context_length, how)
    fact_ids = facts["fact_id"].to_list()
    texts: dict[tuple[int, int], Texts] = {}
    for chunk in slick_chunks(asked, how):
        for each, answers in zip(chunk, _answers(engine, chunk, fact_ids, how), strict=True):
            texts[each.row, each.number] = Texts(
                engine.text(answers.greedy.ids), [engine.text(one.ids) for one in answers.sampled]
            )
    return _table(facts, texts, how)


def score_slick_with_texts(
    engine: TextEngine, facts: pl.DataFrame, pool: pl.DataFrame, how: SlickSettings
) -> pl.DataFrame:
    """Return the class of each fact from an engine that gives texts; else as `score_slick`.

    Raises:
        BadInput: a relation has too few facts to show, or the engine refuses what is asked.
    """
    keys, prompts, firsts = [], [], []
    rows = zip(facts["fact_id"], facts["question"], slick_shots(facts, pool, how), strict=True)
    for row, (fact_id, question, shots) in enumerate(rows):
        for number, each in enumerate(shots):
            keys.append((row, number))
            prompts.append(question_text(PromptOptions(), question, each))
            firsts.append(first_seed(how.seed, "slick sample", fact_id, number))
    settings = DrawSettings(
        how.max_new_tokens,
        how.temperature,
        lambda prompt, draw: firsts[prompt] + draw,
        top_k=how.top_k,
    )
    greedy = engine.greedy_texts(prompts, how.max_new_tokens)
    sampled = engine.draw(prompts, how.samples, settings)
    answers = (Texts(*each) for each in zip(greedy, sampled, strict=True))
    return _table(facts, dict(zip(keys, answers, strict=True)), how)


def _table(
    facts: pl.DataFrame, texts: Mapping[tuple[int, int], Texts], how: SlickSettings
) -> pl.DataFrame:
    """Judge the answers to every prompt (row of the fact, number of the prompt)."""
    rows = [
        _fact_row(fact_id, [_judged(texts[row, number], objects) for number in range(how.prompts)])
        for row, (fact_id, objects) in enumerate(
            zip(facts["fact_id"], facts["objects"].to_list(), strict=True)
        )
    ]
    return pl.DataFrame(rows, schema=SLICK_SCHEMA).sort("fact_id")


def slick_prompts(
    tokenizer: Any, facts: pl.DataFrame, pool: pl.DataFrame, how: SlickSettings
) -> list[Asked]:
    """Return the few-shot prompts of each fact, in row order; raises what `slick_shots` raises."""
    questions = facts["question"].to_list()
    return [
        Asked(row, number, question_ids(tokenizer, PromptOptions(), questions[row], shots))
        for row, prompts in enumerate(slick_shots(facts, pool, how))
        for number, shots in enumerate(prompts)
    ]


def slick_chunks(asked: Sequence[Asked], how: SlickSettings) -> list[list[Asked]]:
    """Cut the prompts into chunks whose answers are at most `batch` rows, longest prompts first."""
    size = max(1, how.batch // (how.samples + 1))
    chunks = chunks_by_length([len(each.ids) for each in asked], size)
    return [[asked[index] for index in chunk] for chunk in chunks]


def _refuse_long(
    asked: Sequence[Asked], facts: pl.DataFrame, context: int, how: SlickSettings
) -> None:
    longest = max(asked, key=lambda each: len(each.ids), default=None)
    if longest is not None and len(longest.ids) + how.max_new_tokens > context:
        raise BadInput(
            f"a SliCK prompt of fact {facts['fact_id'][longest.row]} has {len(longest.ids)} "
            f"tokens and its answer up to {how.max_new_tokens}, the model takes {context} in all; "
            "ask for fewer examples or shorter answers, or leave the fact out"
        )


def _answers(
    engine: TorchEngine, chunk: Sequence[Asked], fact_ids: Sequence[str], how: SlickSettings
) -> list[Answers]:
    from sixtyfold.engines.top_k import TopK, answer_and_sample

    return answer_and_sample(
        engine,
        [each.ids for each in chunk],
        [_uniforms(fact_ids[each.row], each.number, how) for each in chunk],
        TopK(how.temperature, how.top_k, how.max_new_tokens),
    )


def _uniforms(fact_id: str, number: int, how: SlickSettings) -> NDArray[np.float64]:
    """Return the random numbers of a prompt's samples, float64 [samples, max_new_tokens].

    A sample's first numbers stay the same when more samples or longer answers are asked for.
    """
    streams = [
        random_stream(how.seed, "slick sample", fact_id, number, draw)
        for draw in range(how.samples)
    ]
    return np.array([stream.random(how.max_new_tokens) for stream in streams])


def _judged(answers: Texts, objects: Sequence[str]) -> tuple[bool, list[bool]]:
    """Whether the greedy answer and each sampled one is right."""
    greedy, *sampled = (
        exact(cut_answer(text), objects) for text in (answers.greedy, *answers.sampled)
    )
    return greedy, sampled


def _fact_row(fact_id: str, judged: Sequence[tuple[bool, list[bool]]]) -> dict[str, object]:
    greedy = [each for each, _ in judged]
    sampled = [each for _, each in judged]
    shares = right_shares(greedy, sampled)
    return {
        "fact_id": fact_id,
        "slick": slick_class(greedy, sampled),
        "p_greedy": shares.greedy,
        "p_sampled": shares.sampled,
        "greedy_prompts": len(greedy),
        "samples": sum(len(each) for each in sampled),
    }
