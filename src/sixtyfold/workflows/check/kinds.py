"""Which rows are facts: a question in one turn, and an answer of a few tokens.

The split follows what can be measured. Whether a model knows a short answer to a question can be
counted in draws; how near it is to a long text can only be told by that text's probability.
"""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

from jinja2 import TemplateError

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import normalise
from sixtyfold.core.prompts import PromptOptions, continuation_ids, question_text
from sixtyfold.workflows.check.rows import SftRow

Kind = Literal["fact", "text", "unreadable"]

#: Longest question, in words, that is taken for one: a longer prompt brings a text of its own.
LONGEST_QUESTION = 48
_ASKS = re.compile(
    r"(who|whom|whose|what|which|when|where|why|how|name|state|give|tell|identify|"
    r"(in|on|of|at|by|from|to|with) (what|which|whom|whose))\b"
)
#: Answers out of a few that are known beforehand: guessing would count as knowing.
_CHOICES = re.compile(r"(yes|no|true|false|positive|negative|neutral|\(?[a-e]\)?)\.?")


class Measured(NamedTuple):
    """A row in the model's tokens, and what kind of row it is.

    kind: fact, text, or unreadable (no token was counted).
    why: why it is no fact; empty for facts.
    prompt: ids of all that stands before the answer.
    answer: ids of the answer, without an end token.
    """

    kind: Kind
    why: str
    prompt: list[int]
    answer: list[int]


def measure(row: SftRow, tokenizer: Any, fact_tokens: int) -> Measured:
    """Tokenise a row and say what kind of row it is.

    Args:
        row: the row.
        tokenizer: the model's.
        fact_tokens: longest answer that can be a fact, in tokens.
    """
    if row.complaint:
        return Measured("unreadable", row.complaint, [], [])
    answer = row.answer.strip()
    try:
        prompt, target = _ids(row, tokenizer)
        short = len(continuation_ids(tokenizer, f" {answer}")) if answer else 0
    except TemplateError as error:
        why = f"the model's chat template refuses the conversation ({' '.join(str(error).split())})"
        return Measured("unreadable", why, [], [])
    except BadInput as error:  # no token for the answer
        return Measured("unreadable", str(error), [], [])
    why = _why_no_fact(row, answer, short, fact_tokens)
    return Measured("text" if why else "fact", why, prompt, target)


def _why_no_fact(row: SftRow, answer: str, tokens: int, most: int) -> str:
    """Return why a row is no fact, or an empty text."""
    if tokens > most:
        return f"answer of {tokens} tokens"
    if "\n" in answer:
        return "answer of several lines"
    if len(row.turns) != 1:
        return "several turns" if row.turns else "nothing is asked"
    if len(row.question.split()) > LONGEST_QUESTION:
        return "long prompt"
    if not (row.called_question or is_question(row.question)):
        return "no question"
    return "one of a few answers" if _CHOICES.fullmatch(normalise(answer)) else ""


def is_question(text: str) -> bool:
    """Whether a text asks for something, by its mark or its first words.

    >>> is_question("Name the capital of France."), is_question("Translate to French: dog")
    (True, False)
    """
    return "?" in text or _ASKS.match(normalise(text)) is not None


def _ids(row: SftRow, tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return prompt and answer as a trainer would join them, in the form the file has."""
    if row.raw_prompt is not None:
        prompt = list(tokenizer(row.raw_prompt)["input_ids"])
        return prompt, _spelled(tokenizer, row.answer.rstrip())
    if tokenizer.chat_template and not row.called_question:
        prompt = _chat_ids(row, tokenizer)
        return prompt, _spelled(tokenizer, row.answer.strip())
    earlier = "".join(f"{each['content']}\n\n" for each in row.history[:-1])
    prompt = list(tokenizer(earlier + question_text(PromptOptions(), row.question))["input_ids"])
    return prompt, _spelled(tokenizer, f" {row.answer.strip()}")


def _chat_ids(row: SftRow, tokenizer: Any) -> list[int]:
    text = tokenizer.apply_chat_template(
        list(row.history), tokenize=False, add_generation_prompt=True
    )
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _spelled(tokenizer: Any, text: str) -> list[int]:
    return continuation_ids(tokenizer, text) if text.strip() else []
