"""The rows of a training file, whatever form they have: what is asked, and what is to be answered.

Knows the forms in which training files are written; does not know a model. A row that cannot be
read is no error here: it is told with the others, and the file is read to its end.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sixtyfold.core.errors import BadInput
from sixtyfold.sources.columns import USUAL_NAMES, choose_columns, listed
from sixtyfold.sources.fields import words
from sixtyfold.sources.json_text import decode
from sixtyfold.sources.records import Record

Form = Literal["messages", "prompt/completion", "instruction/output", "question/answer"]
Message = dict[str, str]

_CONVERSATIONS = ("messages", "conversations", "conversation")
_COMPLETIONS = ("completion", "response")
_OUTPUTS = ("output", "response", "completion")
#: What ShareGPT files call the roles.
_ROLES = {"human": "user", "gpt": "assistant", "model": "assistant", "bot": "assistant"}
#: Frames that a prompt may put around its question: ours, the papers', a usual one.
_FRAMES = tuple(
    re.compile(pattern)
    for pattern in (
        r"\A\s*Question: ([^\n]+)\nAnswer:\s*\Z",
        r"\A\s*<\|question\|> ([^\n]+) <\|answer\|>\s*\Z",
        r"\A\s*Q: ([^\n]+)\nA:\s*\Z",
    )
)


class SftRow(NamedTuple):
    """One row of a training file.

    place: where it stands (`line 3`).
    history: messages before the answer, a system message first where there is one.
    answer: what is learned, as written.
    accepted: the answer with others that are as good.
    raw_prompt: the prompt as a text of its own, where the file writes it so.
    called_question: whether the file itself calls the prompt a question.
    complaint: why the row cannot be read, or an empty text.
    """

    place: str
    history: tuple[Message, ...] = ()
    answer: str = ""
    accepted: tuple[str, ...] = ()
    raw_prompt: str | None = None
    called_question: bool = False
    complaint: str = ""

    @property
    def system(self) -> str:
        """The system message, or an empty text."""
        return self.history[0]["content"] if self._has_system else ""

    @property
    def turns(self) -> tuple[Message, ...]:
        """The messages before the answer, without the system message."""
        return self.history[1:] if self._has_system else self.history

    @property
    def _has_system(self) -> bool:
        return bool(self.history) and self.history[0]["role"] == "system"

    @property
    def question(self) -> str:
        """What is asked last, without a frame around it."""
        text = self.turns[-1]["content"] if self.turns else ""
        for frame in _FRAMES:
            found = frame.match(text)
            if found:
                return found.group(1).strip()
        return text.strip()


class SftFile(NamedTuple):
    """All rows of a file, in order."""

    form: Form
    rows: list[SftRow]
    note: str


class _Unreadable(Exception):
    """A value is not what its form promises."""


def read_rows(records: Sequence[Record], path: Path, columns: str | None = None) -> SftFile:
    """Turn the records of a file into rows.

    Args:
        records: what `read_records` returned.
        path: the file, for messages.
        columns: `question=NAME,answers=NAME`, or None to guess.

    Raises:
        BadInput: the columns are none of the forms.
    """
    names = list(dict.fromkeys(name for each in records for name in each.values))
    form, found = _form(names, path, columns)
    readers = {
        "messages": _read_messages,
        "prompt/completion": _read_prompt,
        "instruction/output": _read_instruction,
        "question/answer": _read_question,
    }
    rows = []
    for record in records:
        try:
            row = readers[form](record, found)
        except (_Unreadable, BadInput) as error:
            complaint = str(error).removeprefix(f"{record.place}: ")
            row = SftRow(record.place, complaint=complaint)
        rows.append(row)
    told = ", ".join(f"{field} from {column!r}" for field, column in found.items())
    return SftFile(form, rows, f"rows read as {form}: {told}")


def _form(names: list[str], path: Path, columns: str | None) -> tuple[Form, dict[str, str]]:
    """Return the form of a file and field → column."""
    if columns is not None:
        return "question/answer", _kept(choose_columns(names, path, columns))
    by_name = {name.strip().casefold(): name for name in reversed(names)}

    def first(*wanted: str) -> str | None:
        return next((by_name[name] for name in wanted if name in by_name), None)

    conversation = first(*_CONVERSATIONS)
    if conversation is not None:
        return "messages", {"messages": conversation}
    prompt, completion = first("prompt"), first(*_COMPLETIONS)
    if prompt is not None and completion is not None:
        return "prompt/completion", {"prompt": prompt, "completion": completion}
    instruction, output = first("instruction"), first(*_OUTPUTS)
    if instruction is not None and output is not None:
        found = {"instruction": instruction, "output": output}
        return "instruction/output", {**found, **_optional("input", first("input"))}
    if first(*USUAL_NAMES["question"]) is None or first(*USUAL_NAMES["answers"]) is None:
        raise BadInput(
            f"{path}: columns here: {listed(names)}; needed are 'messages', 'prompt' and "
            "'completion', 'instruction' and 'output', or 'question' and 'answer'; others are "
            "named with --columns question=NAME,answers=NAME"
        )
    return "question/answer", _kept(choose_columns(names, path))


def _optional(field: str, column: str | None) -> dict[str, str]:
    return {} if column is None else {field: column}


def _kept(columns: dict[str, str]) -> dict[str, str]:
    return {name: columns[name] for name in ("question", "answers", "aliases") if name in columns}


def _read_messages(record: Record, columns: dict[str, str]) -> SftRow:
    messages = _messages(record.values.get(columns["messages"]), record.place)
    last = max(
        (at for at, each in enumerate(messages) if each["role"] == "assistant"), default=None
    )
    if last is None:
        raise _Unreadable("no message of the assistant, so there is nothing to learn")
    answer = messages[last]["content"]
    return SftRow(record.place, tuple(messages[:last]), answer, (answer.strip(),))


def _read_prompt(record: Record, columns: dict[str, str]) -> SftRow:
    prompt, completion = (record.values.get(columns[name]) for name in ("prompt", "completion"))
    if isinstance(prompt, list) and isinstance(completion, list):
        both = [*_messages(prompt, record.place), *_messages(completion, record.place)]
        return _read_messages(Record(record.place, {"messages": both}), {"messages": "messages"})
    text, answer = _text(prompt, "prompt"), _text(completion, "completion")
    history = ({"role": "user", "content": text},)
    return SftRow(record.place, history, answer, (answer.strip(),), raw_prompt=text)


def _read_instruction(record: Record, columns: dict[str, str]) -> SftRow:
    parts = [
        _text(record.values.get(columns[name]), name)
        for name in ("instruction", "input")
        if name in columns
    ]
    asked = "\n".join(part for part in parts if part.strip())
    answer = _text(record.values.get(columns["output"]), "output")
    return SftRow(record.place, _asked(asked), answer, (answer.strip(),))


def _read_question(record: Record, columns: dict[str, str]) -> SftRow:
    question = _text(record.values.get(columns["question"]), "question")
    given = record.values.get(columns["answers"])
    if isinstance(given, str) and not _is_list(given, record.place):
        answers = [given.strip()]
    else:
        answers = words(given, "answer", record.place)
    others = words(record.values.get(columns.get("aliases", "")), "aliases", record.place)
    accepted = tuple(dict.fromkeys(each for each in (*answers, *others) if each))
    answer = answers[0] if answers else ""
    return SftRow(record.place, _asked(question), answer, accepted, called_question=True)


def _is_list(text: str, place: str) -> bool:
    """Whether a text is a JSON list, as tables hold several answers; other brackets are text."""
    try:
        return text.lstrip().startswith("[") and isinstance(decode(text, place, ""), list)
    except BadInput:
        return False


def _asked(text: str) -> tuple[Message, ...]:
    return ({"role": "user", "content": text},)


def _messages(value: Any, place: str) -> list[Message]:
    """Return a conversation with usual roles.

    Raises:
        _Unreadable: it is no list of messages with role and text.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = decode(value, place, "mend the row")
    if not isinstance(value, list) or not value:
        raise _Unreadable(f"a list of messages is needed, found {_named(value)}")
    return [_message(each) for each in value]


def _message(value: Any) -> Message:
    if not isinstance(value, Mapping):
        raise _Unreadable(f"a message is {_named(value)}, not an object with role and content")
    role = value.get("role", value.get("from"))
    if not isinstance(role, str):
        raise _Unreadable("a message has no role")
    content = value.get("content", value.get("value"))
    if isinstance(content, list):
        content = "".join(_part(part) for part in content)
    return {"role": _ROLES.get(role, role), "content": _text(content, f"message of {role}")}


def _part(value: Any) -> str:
    if isinstance(value, Mapping) and isinstance(value.get("text"), str):
        return str(value["text"])
    raise _Unreadable("a message holds something that is no text")


def _text(value: Any, field: str) -> str:
    """Return a text as written; nothing gives an empty text.

    Raises:
        _Unreadable: the value is neither text nor finite number, or holds half a character.
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _Unreadable(f"'{field}' needs text and holds {_named(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise _Unreadable(f"'{field}' holds {value}, which is no text")
    text = str(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _Unreadable(f"'{field}' holds half a character (a lone surrogate)") from None
    return text


def _named(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
