r"""Prompt forms: how a question is put to a model, and how its answer is spelled in tokens.

    plain     "Question: ...\nAnswer:" then " answer"
    papers    "<|question|> ... <|answer|>" then " answer"          (arXiv 2509.16596)
    chat      the model's own chat template, an optional system prompt, then "answer"

Prompt and answer are tokenised apart, so the boundary between them is a place in the ids; the
joined string is never tokenised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from sixtyfold.core.errors import BadInput
from sixtyfold.core.spec import Spec

PromptForm = Literal["plain", "papers", "chat"]


class PromptOptions(Spec):
    """Options of every command that asks questions."""

    prompt_form: PromptForm = "plain"
    """plain, papers (the papers' markers) or chat (the model's own template)."""

    system_prompt: str | None = None
    """System message for the chat form."""


class Shot(NamedTuple):
    """A worked example in a few-shot prompt."""

    question: str
    answer: str


def question_text(options: PromptOptions, question: str, shots: Sequence[Shot] = ()) -> str:
    """Return the prompt of the plain and papers forms as text."""
    worked = "".join(
        f"{_frame(options.prompt_form, shot.question)} {shot.answer}\n\n" for shot in shots
    )
    return worked + _frame(options.prompt_form, question)


def _frame(form: PromptForm, question: str) -> str:
    return (
        f"<|question|> {question} <|answer|>"
        if form == "papers"
        else (f"Question: {question}\nAnswer:")
    )


def messages_of(
    options: PromptOptions, question: str, shots: Sequence[Shot] = ()
) -> list[dict[str, str]]:
    """Return the prompt of the chat form as messages: system, worked examples, question."""
    messages = (
        [{"role": "system", "content": options.system_prompt}] if options.system_prompt else []
    )
    for shot in shots:
        messages += [
            {"role": "user", "content": shot.question},
            {"role": "assistant", "content": shot.answer},
        ]
    return [*messages, {"role": "user", "content": question}]


def question_ids(
    tokenizer: Any, options: PromptOptions, question: str, shots: Sequence[Shot] = ()
) -> list[int]:
    """Return the token ids of a question's prompt, beginning with bos where the tokenizer has it.

    Raises:
        BadInput: the chat form is asked of a tokenizer without a chat template.
    """
    if options.prompt_form != "chat":
        return list(tokenizer(question_text(options, question, shots))["input_ids"])
    text = chat_text(tokenizer, options, question, shots)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def chat_text(
    tokenizer: Any, options: PromptOptions, question: str, shots: Sequence[Shot] = ()
) -> str:
    """Return the prompt of the chat form as text, special tokens spelled out.

    Raises:
        BadInput: the tokenizer has no chat template.
    """
    if not tokenizer.chat_template:
        raise BadInput(
            "--prompt-form chat was given and the tokenizer has no chat template; "
            "use plain or papers"
        )
    messages = messages_of(options, question, shots)
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def answer_lead(options: PromptOptions) -> str:
    """Return what stands between the prompt and the answer: a space, except in chat."""
    return "" if options.prompt_form == "chat" else " "


def continuation_ids(tokenizer: Any, text: str) -> list[int]:
    """Return the token ids of a text that continues a prompt, without special tokens.

    Tokenizers of the SentencePiece family put a space in front of every text of their own accord;
    of the two spellings, the one that decodes to the text behind another token is taken.

    Raises:
        BadInput: the tokenizer has no spelling of the text.
    """
    anchor = list(tokenizer("x", add_special_tokens=False)["input_ids"])
    before = tokenizer.decode(anchor)
    for spelled in dict.fromkeys((text, text.lstrip(" "))):
        ids = list(tokenizer(spelled, add_special_tokens=False)["input_ids"])
        if tokenizer.decode(anchor + ids, clean_up_tokenization_spaces=False) == before + text:
            return ids
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    if not ids:
        raise BadInput(f"the tokenizer has no tokens for {text!r}")
    return ids
