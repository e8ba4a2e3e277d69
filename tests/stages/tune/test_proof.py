from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.stage import finished
from sixtyfold.stages.tune.examples import Example, encode_examples
from sixtyfold.stages.tune.proof import Step, check_dataset, check_ends, check_steps, counts
from sixtyfold.stages.tune.spec import Recipe
from sixtyfold.stages.tune.trainer import FilledOrder, check_row

RECIPE = Recipe(1e-4, 2, 1, None)


@pytest.fixture(scope="module")
def examples(selected: Path, planted_tokenizer: Any) -> list[Example]:
    rows = finished(selected).table("selection")
    return encode_examples(rows, planted_tokenizer, PromptOptions(), 512)


def steps(*rows: list[int]) -> list[Step]:
    return [Step(each, 1.0, 1e-4) for each in rows]


def test_every_example_once_a_pass() -> None:
    check_steps(steps([2, 0], [4, 1], [3]), 5, RECIPE)
    check_steps(steps([2, 0], [4, 1], [3], [1, 2], [3, 4], [0]), 5, RECIPE._replace(epochs=2))
    cut = RECIPE._replace(epochs=None, max_steps=4)
    check_steps(steps([2, 0], [4, 1], [3], [1, 2]), 5, cut)


@pytest.mark.parametrize(
    ("trained", "recipe", "message"),
    [
        (steps([2, 0], [4, 1]), RECIPE, "trained 2 steps, asked for 3"),
        (steps([2, 0], [4, 1], [0]), RECIPE, "pass 1 trained on 4 different examples in 5 rows"),
        (steps([2, 0], [4, 1], [3, 0]), RECIPE, "pass 1 trained on 5 different examples in 6"),
        (
            steps([2, 0], [4, 1], [3], [1, 1]),
            RECIPE._replace(epochs=None, max_steps=4),
            "pass 2 trained on 1 different examples in 2 rows",
        ),
        (
            steps([2, 0], [4, 1], [3], [1]),
            RECIPE._replace(epochs=None, max_steps=4),
            "pass 2 trained on 1 different examples in 1 rows",
        ),
    ],
)
def test_what_was_left_out_or_came_twice_is_told(
    trained: list[Step], recipe: Recipe, message: str
) -> None:
    with pytest.raises(SixtyfoldError, match=message):
        check_steps(trained, 5, recipe)


def test_counts_follow_from_the_rows() -> None:
    made = [Example("a", [1, 2, 3], [-100, 2, 3]), Example("b", [1, 2], [-100, 2])]
    found = counts(steps([0, 1], [0]), made)
    assert found == {"examples": 3, "target_tokens": 5, "steps": 2}


def test_a_data_set_that_was_changed_is_told(examples: list[Example]) -> None:
    kept = [{"input_ids": each.input_ids, "labels": each.labels} for each in examples]
    check_dataset(kept, examples)
    with pytest.raises(SixtyfoldError, match="kept 31 of 32 examples"):
        check_dataset(kept[1:], examples)
    kept[3] = {**kept[3], "labels": kept[3]["input_ids"]}
    with pytest.raises(SixtyfoldError, match=rf"changed example {examples[3].fact_id}"):
        check_dataset(kept, examples)


def test_an_end_that_is_not_learned_is_told(examples: list[Example]) -> None:
    end = examples[0].input_ids[-1]
    check_ends(examples, end)
    without = examples[1]._replace(labels=[*examples[1].labels[:-1], -100])
    with pytest.raises(SixtyfoldError, match=f"example {without.fact_id} does not learn the end"):
        check_ends([examples[0], without], end)


def padded(example: Example) -> dict[str, torch.Tensor]:
    return {
        "input_ids": torch.tensor([[*example.input_ids, 0, 0]]),
        "labels": torch.tensor([[*example.labels, -100, -100]]),
        "attention_mask": torch.tensor([[1] * len(example.input_ids) + [0, 0]]),
    }


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [("labels", 0, 5), ("labels", -1, 0), ("input_ids", 0, 1), ("attention_mask", -1, 1)],
    ids=["prompt learned", "padding learned", "other id", "padding seen"],
)
def test_a_batch_with_another_mask_is_told(name: str, place: int, value: int) -> None:
    example = Example("a", [7, 8, 9], [-100, 8, 9])
    batch = padded(example)
    check_row(batch, 0, example)
    batch[name][0, place] = value
    with pytest.raises(SixtyfoldError, match="the trainer changed example a"):
        check_row(batch, 0, example)


@pytest.mark.parametrize(("multiple", "filling"), [(1, 0), (4, 3), (5, 0), (8, 3)])
def test_a_last_batch_is_filled_with_what_teaches_nothing(multiple: int, filling: int) -> None:
    from accelerate.data_loader import SeedableRandomSampler

    order = FilledOrder(SeedableRandomSampler(range(5), data_seed=3), multiple)
    first, second = list(order), list(order)
    assert len(first) == len(order) == 5 + filling
    assert sorted(first[:5]) == list(range(5))
    assert first[5:] == [5] * filling
    assert first != second
    order.set_epoch(0)
    assert list(order) == first
