"""The README of a checkpoint in the format of the Hugging Face hub: a YAML header, then Markdown.

Knows the form of a card and how names that others chose are shown in it; what was done to a model
is told by the stage that did it. Equal results have equal cards: there are no dates in them and no
places of this machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from sixtyfold.core.atomic_files import write_atomic
from sixtyfold.core.model_origin import CARD, Origin, is_hub_id
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.stage import package_versions
from sixtyfold.core.visible_text import visible

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

NUMBERS = "Numbers"
_LONGEST_NAME = 120
_VERSIONS = ("sixtyfold", "torch", "transformers", "trl", "peft")
_QUESTION = "What is the capital of France?"


class Section(NamedTuple):
    """A heading and the blocks below it: paragraphs, lists, tables, code."""

    heading: str
    blocks: Sequence[str]


class Card(NamedTuple):
    """A checkpoint, told to those who will use it. Texts are Markdown; names stand in `code`."""

    title: str
    about: Sequence[str]
    origins: Sequence[Origin]
    """What it was made from; their licence is carried over, where it is one."""
    tags: Sequence[str]
    sections: Sequence[Section]
    datasets: Sequence[str] = ()
    is_adapter: bool = False
    """Whether the weights are a LoRA and not a whole model."""


class Number(NamedTuple):
    """A share that was measured on facts, with its 95% interval."""

    model: str
    domain: str
    split: str
    value: float
    low: float
    high: float
    n: int


def write_card(folder: Path, card: Card) -> None:
    """Write the README of a checkpoint."""
    _save(folder, f"---\n{_header(card).to_yaml()}\n---\n\n{_body(card)}")


def put_numbers(folder: Path, numbers: Sequence[Number], words: Sequence[str], own: str) -> None:
    """Put measured numbers into the card of a checkpoint, in the place of those it had.

    Args:
        folder: the checkpoint's.
        numbers: of this model and of those it is compared with.
        words: sentences about how they were measured, as Markdown.
        own: which `Number.model` is this checkpoint; its numbers go into the header as well.
    """
    from huggingface_hub import EvalResult, ModelCard

    card = ModelCard((folder / CARD).read_text(encoding="utf-8"))
    before, after = _split_at(card.text, NUMBERS) or (f"{card.text}\n", "")
    card.text = before + _section(Section(NUMBERS, [*words, _numbers_table(numbers)])) + after
    data = cast("ModelCardData", card.data)
    results = [
        EvalResult(
            task_type="question-answering",
            dataset_type="custom",
            dataset_name=f"facts, {each.domain}, {each.split}",
            dataset_config=each.domain,  # results of equal config and split are taken together
            dataset_split=each.split,
            metric_type="accuracy",
            metric_name=f"accuracy, mean over relations (95% interval {_interval(each)}, "
            f"n = {each.n})",
            metric_value=round(100 * each.value, 1),
        )
        for each in numbers
        if each.model == own
    ]
    data.metrics = ["accuracy"] if results else None
    data.model_name = "made with sixtyfold" if results else None
    data.eval_results = results or None  # the hub refuses an empty list
    _save(folder, str(card))


def without_section(text: str, heading: str) -> str:
    r"""Return a card's text without a section.

    >>> without_section("# a\n\n## b\n\nwords\n\n## c\n\nmore\n", "b")
    '# a\n\n## c\n\nmore\n'
    """
    parts = _split_at(text, heading)
    return text if parts is None else "".join(parts)


def not_measured(command: str) -> Section:
    """Return the section of a checkpoint that nothing was asked yet."""
    words = "Nothing was measured when this checkpoint was written. To measure it:"
    return Section(NUMBERS, [words, fenced("bash", command)])


def licence_words(origins: Sequence[Origin]) -> str:
    """Say which licence is carried over, and which others apply."""
    stated = [each for each in origins if each.licence]
    if not stated:
        names = " and ".join(code(each.name) for each in origins)
        return f"No licence was found for {names}; look it up before you pass this model on."
    if _carried_over(origins):
        first = stated[0]
        return f"Licence, carried over from {code(first.name)}: {_licence(first)}."
    told = "; ".join(f"{_licence(each)} of {code(each.name)}" for each in stated)
    return f"Licences: {told}. They differ; see to both before you pass this model on."


def _licence(model: Origin) -> str:
    link = f", <{model.licence['license_link']}>" if "license_link" in model.licence else ""
    return f"{code(_licence_name(model.licence))}{link}"


def _licence_name(licence: Mapping[str, str]) -> str:
    named = licence["license"] == "other" and "license_name" in licence
    return licence["license_name" if named else "license"]


def _carried_over(origins: Sequence[Origin]) -> Mapping[str, str]:
    """Return the licence of all models that state one; empty where they state different ones."""
    stated = [each.licence for each in origins if each.licence]
    return stated[0] if len(set(map(_licence_name, stated))) == 1 else {}


def origin_words(model: Origin) -> str:
    """Name a model, where it comes from and its fingerprint."""
    comes = model.hub_id if model.hub_id not in (None, model.name) else None
    known = f", made from {code(comes)}" if comes else ""
    return f"{code(model.name)}{known} (fingerprint {code(model.fingerprint)})"


def loading(prompt: PromptOptions | None, *, trust_remote_code: bool = False) -> list[str]:
    """Return how the checkpoint is loaded and asked with transformers.

    Args:
        prompt: how questions were put in training; None where that is not known.
        trust_remote_code: whether the model comes with code of its own.
    """
    from sixtyfold.core.prompts import messages_of, question_text

    trust = ", trust_remote_code=True" if trust_remote_code else ""
    form = prompt or PromptOptions()
    if form.prompt_form == "chat":
        asked = [
            f"messages = {messages_of(form, _QUESTION)!r}",
            "prompt = tokenizer.apply_chat_template(",
            "    messages, tokenize=False, add_generation_prompt=True",
            ")",
            'inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")',
        ]
    else:
        asked = [
            f"prompt = {question_text(form, _QUESTION)!r}",
            'inputs = tokenizer(prompt, return_tensors="pt")',
        ]
    lines = [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'folder = "."  # this directory, or its id on the hub',
        f"tokenizer = AutoTokenizer.from_pretrained(folder{trust})",
        f"model = AutoModelForCausalLM.from_pretrained(folder{trust})",
        *asked,
        "output = model.generate(",
        '    inputs["input_ids"], attention_mask=inputs["attention_mask"],',
        "    max_new_tokens=20, do_sample=False,",
        ")",
        'new = output[0, inputs["input_ids"].shape[1] :]',
        "answer = tokenizer.decode(new, skip_special_tokens=True)",
        'print(answer.strip().split("\\n")[0])',
    ]
    how = "Questions were put in exactly this form in training."
    if prompt is None:
        how = "How questions were put in training is not known here; try this form first."
    return [how, fenced("python", "\n".join(lines))]


def versions() -> str:
    """Say which versions of the packages that decide results are here."""
    found = package_versions()
    return "Made with " + ", ".join(f"{n} {found[n]}" for n in _VERSIONS if n in found) + "."


def code(text: str) -> str:
    r"""Return text that others wrote as a code span, in which nothing acts as Markdown or HTML.

    >>> code("born_in"), code("a`b"), code("<b>|\n")
    ('`born_in`', '`` a`b ``', '`<b>⟨U+007C⟩⏎`')
    """
    shown = visible(text, longest=_LONGEST_NAME).replace("|", "⟨U+007C⟩") or " "
    runs = [len(run) for run in re.findall("`+", shown)]
    if not runs:
        return f"`{shown}`"
    fence = "`" * (max(runs) + 1)
    return f"{fence} {shown} {fence}"


def fenced(language: str, text: str) -> str:
    """Return a block of code; the fence is longer than any in the text."""
    runs = [len(run) for run in re.findall("`{3,}", text)]
    fence = "`" * (max(runs, default=2) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def listed(items: Iterable[str]) -> str:
    """Return a list, one item a line."""
    return "\n".join(f"- {item}" for item in items)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, the first column to the left and the others to the right."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(each)} |" for each in lines)


def _header(card: Card) -> ModelCardData:
    from huggingface_hub import ModelCardData

    ids = list(dict.fromkeys(each.hub_id for each in card.origins if each.hub_id))
    fields: dict[str, Any] = {
        "library_name": "peft" if card.is_adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["sixtyfold", *card.tags],
        "datasets": [each for each in card.datasets if is_hub_id(each)] or None,
        **_carried_over(card.origins),
    }
    if ids:
        fields["base_model"] = ids[0] if len(ids) == 1 else ids
        relation = "adapter" if card.is_adapter else "finetune"
        fields["base_model_relation"] = relation if len(ids) == 1 else "merge"
    return ModelCardData(**fields)


def _body(card: Card) -> str:
    begin = "\n\n".join([f"# {card.title}", *card.about])
    sections = "\n\n".join(_section(each).rstrip("\n") for each in card.sections)
    return f"{begin}\n\n{sections}\n"


def _section(section: Section) -> str:
    return "\n\n".join([f"## {section.heading}", *section.blocks]) + "\n\n"


def _split_at(text: str, heading: str) -> tuple[str, str] | None:
    """Return a card's text before and after a section; None where there is no such section."""
    begins = f"\n## {heading}\n"
    if begins not in text:
        return None
    before, rest = text.split(begins, 1)
    _, next_heading, after = rest.partition("\n## ")
    return before + "\n", next_heading.removeprefix("\n") + after


def _numbers_table(numbers: Sequence[Number]) -> str:
    rows = (
        [
            each.model,
            f"{each.domain}, {each.split}",
            f"{100 * each.value:.1f}",
            _interval(each),
            str(each.n),
        ]
        for each in numbers
    )
    return table(["model", "facts", "percent right", "95% interval", "n"], rows)


def _interval(number: Number) -> str:
    return f"{100 * number.low:.1f}–{100 * number.high:.1f}"


def _save(folder: Path, text: str) -> None:
    write_atomic(folder / CARD, lambda path: path.write_text(text, encoding="utf-8"))
