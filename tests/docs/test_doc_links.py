"""Links between the Markdown files lead to files of this project, as they are browsed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fenced import ROOT, markdown_files
from markdown_it import MarkdownIt
from markdown_it.token import Token

#: Pages that stand in the built site alone (`docs/reference/pages.py`).
MADE = {ROOT / "docs" / "reference" / "commands.md"}


def links(tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        for name in ("href", "src"):
            if (address := token.attrGet(name)) is not None:
                yield str(address)
        yield from links(token.children or [])


@pytest.mark.parametrize("file", markdown_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_every_link_leads_to_a_file(file: Path) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(file.read_text(encoding="utf-8"))
    for address in links(tokens):
        if address.startswith(("https://", "http://127.0.0.1", "#")):
            continue
        target = (file.parent / address.split("#")[0]).resolve()
        assert target.exists() or target in MADE, address


def test_links_are_found() -> None:
    text = "[a](b.md#c) ![d](e.svg) [f](https://g.h)"
    assert list(links(MarkdownIt("commonmark").parse(text))) == ["b.md#c", "e.svg", "https://g.h"]
