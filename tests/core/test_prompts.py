from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from sixtyfold.core.errors import BadInput
from sixtyfold.core.prompts import (
    PromptOptions,
    Shot,
    answer_lead,
    continuation_ids,
    question_ids,
    question_text,
)

TEXTS = ["Where was Ada born? Port Halden.", "Question: Answer: x", "the Isle of Man, Niger."]
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def trained(tokenizer: Tokenizer, alphabet: list[str] = []) -> Any:  # noqa: B006 - never changed
    special = ["<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*TEXTS, *map(chr, range(32, 127))], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")  # noqa: S106 - a token of text


def byte_level() -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return trained(tokenizer, pre_tokenizers.ByteLevel.alphabet())


def byte_level_with_prefix_space() -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    return trained(tokenizer, pre_tokenizers.ByteLevel.alphabet())


def metaspace() -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return trained(tokenizer)


def sentencepiece() -> Any:
    """As Llama 2 is converted: a space put in front by a normaliser and stripped when decoded."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return trained(tokenizer)


TOKENIZERS = [byte_level, byte_level_with_prefix_space, metaspace, sentencepiece]


@pytest.fixture(params=TOKENIZERS, ids=lambda made: made.__name__)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.mark.parametrize("answer", [" Port Halden", " Niger", " the Isle of Man", " x", " Zq."])
def test_an_answer_reads_as_one_behind_its_prompt(tokenizer: Any, answer: str) -> None:
    prompt = list(tokenizer("Where was Ada born?")["input_ids"])
    ids = continuation_ids(tokenizer, answer)
    assert tokenizer.decode(prompt + ids).lstrip() == "Where was Ada born?" + answer
    assert not set(ids) & set(tokenizer.all_special_ids)


def test_without_a_space_the_answer_goes_on_the_word() -> None:
    assert byte_level().decode(continuation_ids(byte_level(), "Niger")) == "Niger"


def test_an_answer_without_tokens_is_refused() -> None:
    tokenizer = Tokenizer(models.WordLevel({"x": 0, "</s>": 1}))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")  # noqa: S106 - a token of text
    with pytest.raises(BadInput, match="has no tokens for ' '"):
        continuation_ids(wrapped, " ")


def test_the_boundary_is_a_place_in_the_ids(tokenizer: Any) -> None:
    """The prompt's ids are those of the prompt alone, whatever answer follows."""
    options = PromptOptions()
    alone = list(tokenizer("Question: Where was Ada born?\nAnswer:")["input_ids"])
    assert question_ids(tokenizer, options, "Where was Ada born?") == alone


def test_forms() -> None:
    shots = [Shot("One?", "1"), Shot("Two?", "2")]
    assert question_text(PromptOptions(), "Three?", shots) == (
        "Question: One?\nAnswer: 1\n\nQuestion: Two?\nAnswer: 2\n\nQuestion: Three?\nAnswer:"
    )
    papers = PromptOptions(prompt_form="papers")
    assert question_text(papers, "Three?") == "<|question|> Three? <|answer|>"
    assert answer_lead(papers) == " "
    assert answer_lead(PromptOptions(prompt_form="chat")) == ""


def test_chat_uses_the_models_own_template() -> None:
    tokenizer = byte_level()
    tokenizer.chat_template = TEMPLATE
    options = PromptOptions(prompt_form="chat", system_prompt="Be brief")
    ids = question_ids(tokenizer, options, "Two?", [Shot("One?", "1")])
    assert tokenizer.decode(ids) == (
        "<system>Be brief</><user>One?</><assistant>1</><user>Two?</><assistant>"
    )


def test_chat_without_a_template_is_refused() -> None:
    with pytest.raises(BadInput, match="no chat template; use plain or papers"):
        question_ids(byte_level(), PromptOptions(prompt_form="chat"), "Two?")


def test_beginning_of_text_is_kept_and_not_made_up() -> None:
    plain = byte_level()
    first = question_ids(plain, PromptOptions(), "Two?")
    assert first[0] != plain.bos_token_id
    from tokenizers.processors import TemplateProcessing

    plain.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", plain.bos_token_id)]
    )
    assert question_ids(plain, PromptOptions(), "Two?") == [plain.bos_token_id, *first]
    assert plain.bos_token_id not in continuation_ids(plain, " x")
