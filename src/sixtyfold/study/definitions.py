"""What the studies of a store are: which file describes each, and what it keeps.

A study is known by its name. The same file with more in it, or a file that was moved, is the same
study; two files that are both there and say the same name are two, and one of them is refused.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.core.facts import read_table
from sixtyfold.study.any_store import Store
from sixtyfold.study.file import StudyFile
from sixtyfold.study.plan import Plan
from sixtyfold.study.reading import read_study
from sixtyfold.study.stages import MAKES_WEIGHTS

_BEFORE_CHOICES = ("probe", "tune", "dev")
"""Roles that a plan has whatever is chosen."""
_OF_RESULTS = ("role", "stage", "key")
"""Columns of the cells that say which result a row is; the others say which cell it is of."""


class Earlier(NamedTuple):
    """The file that described a study of this name when it was last run.

    file: where it was.
    host: the machine it was on.
    lost: results that it asked for and the present file does not; None where the table that says
        so is damaged.
    """

    file: str
    host: str
    lost: int | None

    def words(self) -> str:
        """Return how many results it asked for and the present file does not."""
        return "an unknown number of" if self.lost is None else str(self.lost)


class Kept(NamedTuple):
    """What other studies of a store keep.

    keys: of the trainings whose weights they keep or still read.
    unknown: the studies of which nobody knows, as their tables of cells are damaged.
    """

    keys: set[str]
    unknown: list[str]


def note_study(
    store: Store, study: StudyFile, plan: Plan, file: Path, *, instead: bool
) -> Earlier | None:
    """Write down which file describes a study; return what it takes the place of, if it does.

    Args:
        store: where its results lie.
        study: as the file says.
        plan: the study's.
        file: where it stands.
        instead: let it take the place of another file's study.

    Raises:
        BadInput: the name is another file's, and `instead` is not given.
    """
    if not instead:
        refuse_other(store, study, plan, file)
    earlier = _earlier(store, study, plan)
    definition = {"file": str(file.absolute()), "host": socket.gethostname()}
    store.write_definition(study.name, {**definition, "study": study.model_dump(mode="json")})
    if earlier is None or earlier.lost == 0 or _is_this(earlier, file):
        return None
    return earlier


def refuse_other(store: Store, study: StudyFile, plan: Plan, file: Path) -> None:
    """Refuse a study whose name another file has that is still there and asks for other results.

    Raises:
        BadInput: says which file, and what to do.
    """
    found = _earlier(store, study, plan)
    if found is None or found.lost == 0 or _is_this(found, file):
        return
    if found.host == socket.gethostname() and _still_says(Path(found.file), study.name):
        raise BadInput(
            f"{file} and {found.file} both describe a study named {study.name} in {store.url}, and "
            f"{found.words()} results of the latter are not of the former; give one of them "
            "another name or store, or let this file take the other's place: 'sixtyfold study run "
            "--instead'"
        )


def kept_by_others(store: Store, name: str) -> Kept:
    """Return the trainings whose weights another study of the store keeps or still reads.

    A study still reads the trainings of a cell until all results of the cell are there. What it
    asks for only once its learning rates are chosen is not known here.
    """
    definitions, recorded = store.definitions(), store.recorded()
    kept = Kept(set(), [])
    for file in store.cells_files():
        if file.parent.name == name:
            continue
        try:
            cells = read_table(file)
        except Corrupted:
            kept.unknown.append(file.parent.name)
            continue
        if not _values(definitions.get(file.parent.name, {})).get("keep_checkpoints"):
            labels = [each for each in cells.columns if each not in _OF_RESULTS]
            cells = cells.filter(~pl.col("key").is_in(recorded).all().over(labels))
        kept.keys.update(cells.filter(pl.col("stage").is_in(MAKES_WEIGHTS))["key"])
    return kept


def _earlier(store: Store, study: StudyFile, plan: Plan) -> Earlier | None:
    definition = store.definitions().get(study.name)
    if definition is None:
        return None
    lost: int | None = 0
    for cells in store.cells_files():
        if cells.parent.name == study.name:
            lost = _lost(cells, plan)
    return Earlier(str(definition.get("file")), str(definition.get("host")), lost)


def _lost(cells: Path, plan: Plan) -> int | None:
    """Return how many results of a study's last run a plan does not ask for; None: damaged."""
    try:
        table = read_table(cells)
    except Corrupted:
        return None
    return len(set(table.filter(table["role"].is_in(_BEFORE_CHOICES))["key"]) - set(plan.jobs))


def _is_this(earlier: Earlier, file: Path) -> bool:
    return earlier.file == str(file.absolute()) and earlier.host == socket.gethostname()


def _still_says(file: Path, name: str) -> bool:
    """Whether a file is still there and describes a study of that name, as far as can be read."""
    if not file.is_file():
        return False
    try:
        return read_study(file).name == name
    except BadInput:  # such as a place from an environment variable that is not set here
        return True


def _values(definition: dict[str, Any]) -> dict[str, Any]:
    found = definition.get("study")
    return found if isinstance(found, dict) else {}
