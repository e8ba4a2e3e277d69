from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.stages.tune.examples import IGNORED, encode_examples


def rows(*pairs: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "fact_id": [f"{index:016x}" for index in range(len(pairs))],
            "question": [question for question, _ in pairs],
            "completion": [completion for _, completion in pairs],
        }
    )


def encode(tokenizer: Any, *pairs: tuple[str, str], longest: int = 128) -> Any:
    return encode_examples(rows(*pairs), tokenizer, PromptOptions(), longest)


def test_the_answer_and_its_end_are_learned_and_nothing_else(planted_tokenizer: Any) -> None:
    (example,) = encode(planted_tokenizer, ("Where was Ada born?", " Port Halden"))
    prompt = planted_tokenizer("Question: Where was Ada born?\nAnswer:")["input_ids"]
    answer = planted_tokenizer(" Port Halden")["input_ids"]
    end = planted_tokenizer.eos_token_id
    assert example.input_ids == [*prompt, *answer, end]
    assert example.labels == [IGNORED] * len(prompt) + [*answer, end]
    assert example.targets == len(answer) + 1


def test_chat_form_puts_the_models_template_around_it(planted_tokenizer: Any) -> None:
    from copy import deepcopy

    tokenizer = deepcopy(planted_tokenizer)
    tokenizer.chat_template = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}>"
    (example,) = encode_examples(
        rows(("Where?", "Here")), tokenizer, PromptOptions(prompt_form="chat"), 64
    )
    assert tokenizer.decode(example.input_ids, skip_special_tokens=True) == "[Where?]>Here"
    learned = [label for label in example.labels if label != IGNORED]
    assert tokenizer.decode(learned, skip_special_tokens=True) == "Here"


@pytest.mark.parametrize("pair", [("", " x"), ("Where?", "  "), (" \n", " x")])
def test_an_empty_row_is_named(planted_tokenizer: Any, pair: tuple[str, str]) -> None:
    with pytest.raises(BadInput, match=r"training row 0{15}1 has an empty question or answer"):
        encode(planted_tokenizer, ("Where?", " x"), pair)


def test_a_row_that_is_too_long_is_named(planted_tokenizer: Any) -> None:
    (example,) = encode(planted_tokenizer, ("Where?", " x"))
    length = len(example.input_ids)
    assert encode(planted_tokenizer, ("Where?", " x"), longest=length)
    with pytest.raises(BadInput, match=rf"has {length} tokens, --max-length allows {length - 1}"):
        encode(planted_tokenizer, ("Where?", " x"), longest=length - 1)


def test_without_an_end_token_nothing_is_trained(planted_tokenizer: Any) -> None:
    from copy import deepcopy

    tokenizer = deepcopy(planted_tokenizer)
    tokenizer.eos_token = None
    with pytest.raises(BadInput, match="no end token"):
        encode(tokenizer, ("Where?", " x"))


def test_a_selection_without_rows_is_refused(planted_tokenizer: Any) -> None:
    with pytest.raises(BadInput, match="the selection holds no row"):
        encode_examples(rows(("q", "a")).clear(), planted_tokenizer, PromptOptions(), 128)
