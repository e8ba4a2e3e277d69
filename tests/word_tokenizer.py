"""A tokenizer whose tokens are words with the space in front of them: counts by hand."""

from __future__ import annotations

import re
from typing import Any


class WordTokenizer:
    """Enough of a tokenizer to tokenise prompts and answers; no chat template unless given."""

    bos_token: str | None = None
    bos_token_id: int | None = None

    def __init__(self, chat_template: str | None = None) -> None:
        self.chat_template = chat_template
        self._ids: dict[str, int] = {}

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        words = re.findall(r"\s?\S+|\s", text)
        return {"input_ids": [self._ids.setdefault(word, len(self._ids)) for word in words]}

    def decode(self, ids: list[int], **_: Any) -> str:
        words = list(self._ids)
        return "".join(words[each] for each in ids)

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return "".join(f"[{each['role']}]{each['content']}\n" for each in messages) + "[assistant]"
