"""The pictures of the documentation are what their script draws."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from fenced import ROOT, markdown_files

from loaded_script import load_script

FOLDER = ROOT / "docs" / "pictures"


DRAW = load_script(FOLDER / "draw.py")
#: A shape, without the places that depend on how wide the fonts of a machine are.
_SHAPE = re.compile(r' d="([^"]+)"')
_TEXT = re.compile(r"<text[^>]*>([^<]*)</text>")


def shown(svg: str) -> tuple[list[str], list[str]]:
    return sorted(_TEXT.findall(svg)), sorted(rounded(shape) for shape in _SHAPE.findall(svg))


def rounded(shape: str) -> str:
    return re.sub(r"-?\d+\.?\d*(?:e-?\d+)?", lambda found: f"{float(found[0]):.1f}", shape)


@pytest.mark.parametrize("picture", DRAW.PICTURES, ids=lambda picture: picture.__name__)
def test_a_picture_is_what_its_script_draws(picture: Callable[[], object]) -> None:
    kept = (FOLDER / f"{picture.__name__}.svg").read_text(encoding="utf-8")
    texts, shapes = shown(kept)
    assert len(texts) > 5
    assert len(shapes) > 2
    assert (texts, shapes) == shown(DRAW.svg(picture))


def test_every_picture_is_used_and_described() -> None:
    text = "\n".join(file.read_text(encoding="utf-8") for file in markdown_files())
    found = re.findall(r"!\[([^\]]*)\]\([^)]*/?pictures/(\w+)\.svg\)", text)
    used = {name: words for words, name in found}
    assert set(used) == {picture.__name__ for picture in DRAW.PICTURES}
    assert all(len(words) > 20 for words in used.values())
    assert {path.stem for path in FOLDER.glob("*.svg")} == set(used)
