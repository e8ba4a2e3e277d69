"""Text and tables for people: in a terminal as wide as it is, in a file without control characters.

Everything shown passes `visible`, since facts, answers and names were written by others.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sixtyfold.core.visible_text import visible

FILE_WIDTH = 160
"""Columns of a table in a file, which has no width of its own."""
_LEAST_TEXT = 14  # columns of text may be folded to this width
_ROW = "row"
_NUMBER = re.compile(r"[+−–-]?[\d,]*\.?\d*(e[+-]?\d+)?%?")


def terminal() -> Console:
    """Return the output stream: as wide as the terminal, wider where it is a file."""
    return Console(width=None if sys.stdout.isatty() else FILE_WIDTH)


def say(text: str, *, whole: bool = False) -> None:
    """Print a line.

    Args:
        text: the line.
        whole: in a terminal, do not break it between words; in a file it is never broken.
    """
    shown = visible(text, longest=len(text))
    unbroken = whole or not sys.stdout.isatty()
    Console().print(shown, highlight=False, markup=False, soft_wrap=unbroken)


def say_result(path: Path) -> None:
    """Print where a result is: the last line of every command that writes one."""
    say(f"result: {path}", whole=True)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of text; columns of numbers stand to the right.

    Args:
        headings: of the columns, all different; the first tells the rows apart.
        rows: as many cells each.
    """
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in headings]
    cells = {
        name: [visible(cell) for cell in column]
        for name, column in zip(headings, columns, strict=True)
    }
    numbers = {name for name, column in cells.items() if all(map(_NUMBER.fullmatch, column))}
    _print(cells, headings[:1], numbers)


def print_frame(
    frame: pl.DataFrame,
    labels: Sequence[str] | None = None,
    digits: str = ",.3f",
    missing: str = "None",
) -> None:
    """Print a data frame of which no number is cut.

    Text is folded to a few characters where that makes room; what is still wider than the terminal
    goes on in a table below.

    Args:
        frame: what to print.
        labels: columns that tell the rows apart, the first where not given. They begin every table,
            or the number of the row does where they are wide.
        digits: format of decimal numbers.
        missing: stands where there is no value.
    """
    cells = {
        name: [cell_text(value, digits, missing) for value in frame[name]] for name in frame.columns
    }
    numbers = {name for name, kind in frame.schema.items() if kind.is_numeric()}
    _print(cells, frame.columns[:1] if labels is None else labels, numbers)


def cell_text(value: Any, digits: str = ",.3f", missing: str = "None") -> str:
    """Return a value as a cell of a table shows it."""
    if value is None:
        return missing
    return format(value, digits) if isinstance(value, float) else visible(str(value))


def _print(cells: dict[str, list[str]], labels: Sequence[str], numbers: set[str]) -> None:
    console = terminal()
    for columns in _that_fit(cells, labels, numbers, console.width):
        table = Table()
        for name in columns:
            number = name in numbers or name == _ROW
            justify: Literal["right", "left"] = "right" if number else "left"
            table.add_column(_heading(name), justify=justify, no_wrap=number, overflow="fold")
        for row in zip(*(cells[name] for name in columns), strict=True):
            table.add_row(*map(escape, row))
        console.print(table)


def _heading(name: str) -> str:
    return name.replace("_", " ")


def _that_fit(
    cells: dict[str, list[str]], labels: Sequence[str], numbers: set[str], width: int
) -> list[list[str]]:
    """Group columns so that each group fits the width; `cells` gets row numbers where needed."""
    needed = {name: _needed(name, texts, name in numbers) for name, texts in cells.items()}
    if 1 + sum(needed.values()) <= width:
        return [list(cells)]
    first = list(labels)
    others = [each for each in cells if each not in labels]
    if 2 * sum(needed[each] for each in labels) > width:
        rows = [str(index) for index in range(1, 1 + len(cells[others[0]]))] if others else []
        cells[_ROW], first, others = rows, [_ROW], [*labels, *others]
        needed[_ROW] = _needed(_ROW, rows, number=True)
    groups = [list(first)]
    for name in others:
        used = 1 + sum(needed[each] for each in groups[-1])
        if used + needed[name] > width and len(groups[-1]) > len(first):
            groups.append(list(first))
        groups[-1].append(name)
    return groups


def _needed(name: str, texts: list[str], number: bool) -> int:
    """Return the least width of a column with its frame."""
    longest = max(map(len, texts), default=0)
    if number:
        return max(len(_heading(name)), longest) + 3
    return max(*map(len, _heading(name).split()), min(_LEAST_TEXT, longest), 1) + 3
