from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import normalise, read_table
from sixtyfold.core.matching import exact
from sixtyfold.core.models import ModelOptions
from sixtyfold.core.prompts import Shot
from sixtyfold.engines.greedy import cut_answer, greedy
from sixtyfold.engines.text_draws import DrawSettings, check_draws
from sixtyfold.engines.torch_engine import TorchEngine
from sixtyfold.stages.probe.slick import (
    SLICK_SCHEMA,
    score_slick,
    score_slick_with_texts,
    slick_chunks,
    slick_prompts,
)
from sixtyfold.stages.probe.slick_examples import SlickSettings, slick_shots

HOW = SlickSettings(max_new_tokens=6)
FEW = SlickSettings(prompts=4, samples=6, max_new_tokens=6)


@pytest.fixture(scope="module")
def facts(facts_dir: Path) -> pl.DataFrame:
    return read_table(facts_dir / "facts.parquet")


@pytest.fixture(scope="module")
def engine(tuned: Path) -> TorchEngine:
    """The planted model tuned to answer questions; before that it answers none."""
    return TorchEngine.load(str(tuned), ModelOptions(dtype="float32"))


@pytest.fixture(scope="module")
def scored(engine: TorchEngine, facts: pl.DataFrame) -> pl.DataFrame:
    return score_slick(engine, facts.filter(domain="in"), facts, HOW)


def made_up(splits: dict[str, int], relation: str = "capital") -> pl.DataFrame:
    rows = [
        {"fact_id": f"{relation} {split} {index}", "relation": relation, "split": split,
         "question": f"{relation} of {split} {index}?",
         "objects": [f"{split} answer {index}", "alias"]}
        for split, count in splits.items()
        for index in range(count)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def shown(prompts: list[list[list[Shot]]]) -> set[Shot]:
    return {shot for of_fact in prompts for shots in of_fact for shot in shots}


# Which examples are shown


def test_ten_different_prompts_of_four_different_dev_facts_of_the_relation() -> None:
    pool = pl.concat(
        [
            made_up({"train": 30, "dev": 12, "test": 9}),
            made_up({"train": 30, "dev": 12, "test": 9}, "river"),
        ]
    )
    found = slick_shots(pool, pool, SlickSettings())
    for fact, prompts in zip(pool.iter_rows(named=True), found, strict=True):
        assert len({frozenset(shots) for shots in prompts}) == len(prompts) == 10
        for shots in prompts:
            assert len(set(shots)) == 4
            for shot in shots:
                assert shot.question.startswith(f"{fact['relation']} of dev ")
                assert shot.answer == f"dev answer {shot.question.split()[-1][:-1]}"
                assert shot.question != fact["question"]
    assert len(shown(found)) == 24


def test_train_facts_are_shown_only_where_dev_facts_are_too_few() -> None:
    # Six facts give 15 different prompts of four examples, five give 5.
    asked = made_up({"test": 1})
    enough = slick_shots(asked, made_up({"dev": 6, "train": 9}), SlickSettings())
    assert {shot.answer.split()[0] for shot in shown(enough)} == {"dev"}
    widened = slick_shots(asked, made_up({"dev": 5, "train": 9}), SlickSettings())
    assert {shot.answer.split()[0] for shot in shown(widened)} == {"dev", "train"}
    # A dev fact is not an example of its own, so for it six dev facts are too few.
    pool = made_up({"dev": 6, "train": 9})
    own = slick_shots(pool.filter(split="dev"), pool, SlickSettings())
    assert {shot.answer.split()[0] for shot in shown(own)} == {"dev", "train"}


def test_never_the_fact_itself_nor_one_that_shares_its_question() -> None:
    pool = made_up({"dev": 8, "train": 3, "test": 1})
    twin = {"question": " CAPITAL of  dev 0?", "fact_id": "twin", "split": "dev",
            "relation": "capital", "objects": ["twin answer"]}  # fmt: skip
    pool = pl.concat([pool, pl.DataFrame([twin]).select(pool.columns)])
    for seed in range(20):
        how = SlickSettings(seed=seed)
        for fact, prompts in zip(
            pool.iter_rows(named=True), slick_shots(pool, pool, how), strict=True
        ):
            asked = {normalise(shot.question) for shots in prompts for shot in shots}
            assert normalise(fact["question"]) not in asked
    assert "twin answer" in {s.answer for s in shown(slick_shots(pool[3:], pool, SlickSettings()))}


def test_examples_depend_on_seed_fact_and_number_alone() -> None:
    pool = made_up({"dev": 12, "test": 5})
    whole = slick_shots(pool, pool, SlickSettings())
    assert slick_shots(pool.reverse(), pool.reverse(), SlickSettings()) == whole[::-1]
    assert slick_shots(pool[3:4], pool, SlickSettings()) == whole[3:4]
    fewer = slick_shots(pool, pool, SlickSettings(prompts=3))
    assert fewer == [prompts[:3] for prompts in whole]
    assert slick_shots(pool, pool, SlickSettings(seed=1)) != whole
    assert len({tuple(map(tuple, prompts)) for prompts in whole}) == 17


def test_every_example_is_shown_about_as_often() -> None:
    pool = made_up({"dev": 8, "test": 200})
    found = slick_shots(pool.filter(split="test"), pool, SlickSettings())
    count = dict.fromkeys(shown(found), 0)
    for prompts in found:
        for shots in prompts:
            for shot in shots:
                count[shot] += 1
    assert len(count) == 8
    # 200 facts × 10 prompts × 4 of 8 examples: 1,000 each, standard deviation at most 22.4.
    assert all(abs(each - 1000) < 90 for each in count.values())


def test_too_few_examples_are_an_error_that_says_how_many() -> None:
    message = (
        r"SliCK needs 10 different prompts of 4 worked examples of the same relation, and beside "
        r"fact capital test 0 \('capital of test 0\?'\) there are 5 in the splits dev, train; "
        r"give more such facts, leave the relation out, or ask for fewer prompts or examples"
    )
    pool = made_up({"dev": 2, "train": 3, "test": 9})
    with pytest.raises(BadInput, match=message):
        slick_shots(pool.filter(split="test"), pool, SlickSettings())
    assert slick_shots(pool.filter(split="test"), pool, SlickSettings(prompts=5))
    also_test = SlickSettings(splits=("dev", "train", "test"))
    assert {s.answer.split()[0] for s in shown(slick_shots(pool, pool, also_test))} == {
        "dev", "train", "test",
    }  # fmt: skip


def test_a_relation_that_is_not_in_the_pool_is_an_error() -> None:
    with pytest.raises(BadInput, match="there are 0 in the splits dev, train"):
        slick_shots(made_up({"test": 1}), made_up({"dev": 9}, "river"), SlickSettings())


# What is asked


def test_prompts_are_the_plain_form_and_end_with_the_question(
    engine: TorchEngine, facts: pl.DataFrame
) -> None:
    some = facts.filter(domain="in")[:3]
    shots = slick_shots(some, facts, HOW)
    for each in slick_prompts(engine.tokenizer, some, facts, HOW):
        wanted = "".join(
            f"Question: {shot.question}\nAnswer: {shot.answer}\n\n"
            for shot in shots[each.row][each.number]
        )
        wanted += f"Question: {some['question'][each.row]}\nAnswer:"
        assert engine.tokenizer.decode(each.ids) == wanted


def test_chunks_hold_every_prompt_once_and_no_more_rows_than_the_batch(
    engine: TorchEngine, facts: pl.DataFrame
) -> None:
    asked = slick_prompts(engine.tokenizer, facts.filter(domain="in")[:7], facts, HOW)
    chunks = slick_chunks(asked, HOW)
    assert {len(chunk) for chunk in chunks[:-1]} == {192 // 17}
    assert sorted((e.row, e.number) for chunk in chunks for e in chunk) == [
        (row, number) for row in range(7) for number in range(10)
    ]
    assert {len(chunk) for chunk in slick_chunks(asked, HOW._replace(batch=1))} == {1}


def test_a_prompt_longer_than_the_model_takes_is_an_error(
    engine: TorchEngine, facts: pl.DataFrame
) -> None:
    some = facts.filter(domain="in")[:1]
    longest = max(len(each.ids) for each in slick_prompts(engine.tokenizer, some, facts, FEW))
    too_much = engine.context_length - longest + 1
    with pytest.raises(
        BadInput,
        match=rf"a SliCK prompt of fact {some['fact_id'][0]} has {longest} tokens and its answer "
        rf"up to {too_much}, the model takes {engine.context_length} in all; ask for fewer",
    ):
        score_slick(engine, some, facts, FEW._replace(max_new_tokens=too_much))


# What is found


def test_facts_seen_often_are_known_and_facts_never_seen_are_not(
    scored: pl.DataFrame, planted: Path
) -> None:
    seen = scored.join(read_table(planted / "exposures.parquet"), on="fact_id")
    known = {
        times: group["slick"].is_in(["HighlyKnown", "MaybeKnown"]).mean()
        for (times,), group in seen.group_by("times_seen")
    }
    assert known[50] > 0.6
    assert known[0] < 0.4
    assert known[0] < known[10] < known[50]
    means = {times: group["p_greedy"].mean() for (times,), group in seen.group_by("times_seen")}
    assert means[0] < means[10] < means[50]


def test_the_table_holds_the_paper_s_protocol(scored: pl.DataFrame, facts: pl.DataFrame) -> None:
    assert scored.schema == SLICK_SCHEMA
    assert scored["fact_id"].to_list() == sorted(facts.filter(domain="in")["fact_id"])
    assert set(scored["greedy_prompts"]) == {10}
    assert set(scored["samples"]) == {160}
    p, q = pl.col("p_greedy"), pl.col("p_sampled")
    for name, rule in {
        "HighlyKnown": p == 1,
        "MaybeKnown": (p > 0) & (p < 1),
        "WeaklyKnown": (p == 0) & (q > 0),
        "Unknown": (p == 0) & (q == 0),
    }.items():
        assert scored.filter(rule)["slick"].eq(name).all()
        assert scored.filter(rule).height > 0


def test_the_greedy_share_is_that_of_greedy_answers_judged_exactly(
    engine: TorchEngine, facts: pl.DataFrame, scored: pl.DataFrame
) -> None:
    some = facts.filter(domain="in")[:12]
    asked = slick_prompts(engine.tokenizer, some, facts, HOW)
    answers = greedy(engine, [each.ids for each in asked], HOW.max_new_tokens)
    right = [0] * some.height
    for each, answer in zip(asked, answers, strict=True):
        right[each.row] += exact(cut_answer(engine.text(answer.ids)), some["objects"][each.row])
    assert [count / 10 for count in right] == scored["p_greedy"][:12].to_list()
    assert 0 < sum(right) < 120


@pytest.mark.parametrize("batch", [1, 20, 1000])
def test_batch_size_changes_nothing(
    batch: int, engine: TorchEngine, facts: pl.DataFrame, scored: pl.DataFrame
) -> None:
    some = facts.filter(domain="in")[:8]
    found = score_slick(engine, some, facts, HOW._replace(batch=batch))
    assert found.equals(scored[:8])


def test_order_and_number_of_facts_change_nothing(
    engine: TorchEngine, facts: pl.DataFrame, scored: pl.DataFrame
) -> None:
    some = facts.filter(domain="in")[20:26]
    assert score_slick(engine, some.reverse(), facts.reverse(), HOW).equals(scored[20:26])
    one = score_slick(engine, some[2:3], facts, HOW)
    assert one.equals(scored[22:23])


def test_the_seed_changes_examples_and_samples(engine: TorchEngine, facts: pl.DataFrame) -> None:
    some = facts.filter(domain="in")[:20]
    first = score_slick(engine, some, facts, FEW)
    assert score_slick(engine, some, facts, FEW).equals(first)
    assert not score_slick(engine, some, facts, FEW._replace(seed=1)).equals(first)


def test_no_facts_give_an_empty_table(engine: TorchEngine, facts: pl.DataFrame) -> None:
    empty = score_slick(engine, facts[:0], facts, FEW)
    assert empty.is_empty()
    assert empty.schema == SLICK_SCHEMA


# Engines that give texts


class Knows:
    """Answers greedily what it is told to, and samples it every second time."""

    def __init__(self, facts: pl.DataFrame, known: set[str]) -> None:
        self.answers = {
            row["question"]: row["objects"][0] if row["fact_id"] in known else "no idea"
            for row in facts.iter_rows(named=True)
        }
        self.asked: list[tuple[int, DrawSettings]] = []

    def _answer(self, prompt: str) -> str:
        last = max(self.answers, key=prompt.rfind)
        return f" {self.answers[last]}\nQ: and so on"

    def greedy_texts(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        return [self._answer(each) for each in prompts]

    def draw(self, prompts: Sequence[str], draws: int, settings: DrawSettings) -> list[list[str]]:
        check_draws(prompts, draws, settings)
        self.asked.append((draws, settings))
        return [
            [self._answer(each) if number % 2 else " something else" for number in range(draws)]
            for each in prompts
        ]


def test_text_engines_are_judged_by_the_same_protocol() -> None:
    facts = made_up({"dev": 14})
    known = set(facts["fact_id"][:3])
    engine = Knows(facts, known)
    how = SlickSettings()
    found = score_slick_with_texts(engine, facts[:6], facts, how)
    assert found.schema == SLICK_SCHEMA
    classes = dict(found["fact_id", "slick"].iter_rows())
    assert {key: classes[key] for key in known} == dict.fromkeys(known, "HighlyKnown")
    assert {classes[key] for key in classes if key not in known} == {"Unknown"}
    rows = found.filter(pl.col("fact_id").is_in(known))
    assert rows["p_sampled"].to_list() == [0.5] * 3
    assert rows["samples"].to_list() == [160] * 3
    ((draws, settings),) = engine.asked
    assert (draws, settings.top_k, settings.temperature) == (16, 40, 0.5)


def test_a_text_engine_classes_a_fact_alike_in_any_company() -> None:
    facts = made_up({"dev": 14})
    engine = Knows(facts, {facts["fact_id"][2]})
    whole = score_slick_with_texts(engine, facts[:5], facts, FEW)
    alone = score_slick_with_texts(engine, facts[2:3], facts, FEW)
    assert whole.filter(fact_id=facts["fact_id"][2]).equals(alone)
    seeds = [[settings.seed(0, draw) for draw in range(3)] for _, settings in engine.asked]
    assert seeds[0] != seeds[1]
