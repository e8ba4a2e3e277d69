"""What a page is made of, and the page as one HTML file.

Knows sections, figures and tables, not what they are about (`sections.py`). The file loads
nothing: a content security policy forbids it, scripts are named in it by their hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import jinja2
import vl_convert
from markupsafe import Markup

from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.reporting.untrusted import script_json


class Table(NamedTuple):
    """A small table; cells are text and get escaped."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: bool = False
    """Whether the cells are sentences, which wrap, rather than numbers, which line up."""


class Figure(NamedTuple):
    """A chart and the numbers behind it."""

    name: str
    caption: str
    chart: dict[str, Any]
    data: Table


class Section(NamedTuple):
    """A part of the page; `missing` says which stage would fill it."""

    anchor: str
    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    missing: str | None = None


class FactTable(NamedTuple):
    """The searchable table: one row per test fact, cells as text or numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | int | None]]
    filters: Sequence[int]
    """Indices of the columns with a choice above the table."""


class Page(NamedTuple):
    """All of a report."""

    title: str
    tiles: Sequence[tuple[str, str, str]]
    """Heading, number, interval or note."""
    sections: Sequence[Section]
    facts: FactTable | None
    repeat: Sequence[tuple[str, str]]
    """Stage, its manifest as JSON text."""
    commands: Sequence[str]


def render(page: Page) -> str:
    """Return the page as HTML; equal pages give equal text.

    Raises:
        SixtyfoldError: the style sheet of the installed itables would load something.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sixtyfold.reporting", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures = [figure for section in page.sections for figure in section.figures]
    data = {"charts": {figure.name: figure.chart for figure in figures}, "facts": None}
    if page.facts is not None:
        data["facts"] = page.facts._asdict()
    vega, tables, own = chart_script(), table_script(), _own("page.js")
    return environment.get_template("page.html.j2").render(
        page=page,
        data=_trusted(script_json(data)),
        style=_trusted(_table_style() + _own("page.css")),
        vega=_trusted(vega),
        tables=_trusted(tables),
        own=_trusted(own),
        hashes=[_hash(script) for script in (vega, own)],
    )


@cache
def chart_script() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script."""
    return _inside_script(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


@cache
def table_script() -> str:
    """Return DataTables as one module (from itables), comments at its end removed."""
    text = resources.files("itables").joinpath("html/dt_bundle.js").read_text(encoding="utf-8")
    return _inside_script(text)


def _table_style() -> str:
    text = resources.files("itables").joinpath("html/dt_bundle.css").read_text(encoding="utf-8")
    if re.search(r"</style|@import|url\((?!data:)", text, re.IGNORECASE):
        raise SixtyfoldError(
            "the style sheet of the installed itables loads something or ends its element; "
            "install the version that constraints.txt names"
        )
    return text


def _own(name: str) -> str:
    return resources.files("sixtyfold.reporting").joinpath(name).read_text(encoding="utf-8")


def _inside_script(text: str) -> str:
    # These three steer the HTML parser inside a script element. In JavaScript they only occur in
    # strings and patterns, where \x3c is the same character.
    return re.sub(r"<(?=!--|/?script)", r"\\x3c", text, flags=re.IGNORECASE)


def _trusted(text: str) -> Markup:
    # Scripts and styles of installed packages and ours, and JSON without markup; nothing else.
    return Markup(text)  # noqa: S704


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
