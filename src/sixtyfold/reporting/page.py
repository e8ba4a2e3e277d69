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


class LongTable(NamedTuple):
    """A table of any length: searched, filtered, sorted and paged in the browser."""

    name: str
    caption: str
    packed: str
    """What `packed.py` made of its columns."""


class Point(NamedTuple):
    """A sentence of a list and the numbers it rests on, each in words."""

    sentence: str
    evidence: Sequence[str] = ()


class Section(NamedTuple):
    """A part of the page; `missing` says which stage would fill it."""

    anchor: str
    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    missing: str | None = None
    points: Sequence[tuple[str, Sequence[Point]]] = ()
    """Lists with their headings."""
    long_tables: Sequence[LongTable] = ()
    commands: Sequence[str] = ()
    files: Sequence[tuple[str, str]] = ()
    """Name and text of files that are shown folded."""


class Page(NamedTuple):
    """All of a report."""

    title: str
    tiles: Sequence[tuple[str, str, str]]
    """Heading, number, interval or note."""
    sections: Sequence[Section]


def render(page: Page) -> str:
    """Return the page as HTML; equal pages give equal text.

    Raises:
        SixtyfoldError: what the installed itables holds is not what is expected here.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sixtyfold.reporting", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = page.sections
    charts = {figure.name: figure.chart for section in sections for figure in section.figures}
    tables = [table for section in sections for table in section.long_tables]
    scripts = [chart_script(), table_script(), _own("charts.js"), _own("long_tables.js")]
    return environment.get_template("page.html.j2").render(
        page=page,
        charts=_trusted(script_json(charts)),
        tables=tables,
        style=_trusted(_table_style() + _own("page.css")),
        scripts=[_trusted(script) for script in scripts],
        hashes=[_hash(script) for script in scripts],
    )


@cache
def chart_script() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script."""
    return _inside_script(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


@cache
def table_script() -> str:
    """Return DataTables (from itables) as one script that sets `window.jQuery`.

    Raises:
        SixtyfoldError: the bundle of the installed itables exports no jQuery.
    """
    text = resources.files("itables").joinpath("html/dt_bundle.js").read_text(encoding="utf-8")
    # A module of a page that may load nothing cannot be imported; a script can be run.
    body, *exports = re.split(r"\bexport\s*\{([^}]*)\};", text)
    found = re.search(r"([\w$]+) as jQuery", exports[0]) if len(exports) == 2 else None
    if found is None:
        raise SixtyfoldError(
            "the script of the installed itables exports no jQuery; "
            "install the version that constraints.txt names"
        )
    return _inside_script(f'(() => {{"use strict";{body}\nwindow.jQuery = {found[1]};}})();')


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
