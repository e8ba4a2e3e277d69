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
from sixtyfold.report.untrusted import script_json


class Table(NamedTuple):
    """A small table; cells are text and get escaped."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


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
        SixtyfoldError: a bundled script holds the end of a script element (a broken package).
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sixtyfold.report", "."),
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
        data=Markup(script_json(data)),  # noqa: S704: script_json leaves no markup in it
        style=Markup(_table_style() + _own("page.css")),  # noqa: S704: from packages
        vega=Markup(vega),  # noqa: S704: from a package
        tables=Markup(tables),  # noqa: S704: from a package
        own=Markup(own),  # noqa: S704: ours
        hashes=[_hash(script) for script in (vega, own)],
    )


@cache
def chart_script() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script."""
    return _inside_script("vl-convert", vl_convert.javascript_bundle())


@cache
def table_script() -> str:
    """Return DataTables as one module (from itables), comments at its end removed."""
    text = resources.files("itables").joinpath("html/dt_bundle.js").read_text(encoding="utf-8")
    return _inside_script("itables", text)


def _table_style() -> str:
    text = resources.files("itables").joinpath("html/dt_bundle.css").read_text(encoding="utf-8")
    if re.search(r"</style|@import|url\((?!data:)", text, re.IGNORECASE):
        raise SixtyfoldError(
            "the style sheet of the installed itables loads something or ends its element; "
            "install the version that constraints.txt names"
        )
    return text


def _own(name: str) -> str:
    return resources.files("sixtyfold.report").joinpath(name).read_text(encoding="utf-8")


def _inside_script(package: str, text: str) -> str:
    if re.search(r"</script|<!--", text, re.IGNORECASE):
        raise SixtyfoldError(
            f"the script of the installed {package} cannot stand inside a page; "
            "install the version that constraints.txt names"
        )
    return text


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
