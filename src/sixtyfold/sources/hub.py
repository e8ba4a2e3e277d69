"""Data sets of the Hugging Face hub, or a local folder in the same form, through `datasets`.

What `datasets` does by itself is left to it: the cache, HF_TOKEN, HF_HUB_OFFLINE. Data set scripts
are never run. A user cannot mend rows on the hub: those without an answer (SQuAD 2.0 has them) are
left out and counted, and so are splits that say by their name that they have no labels.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.sources.columns import choose_columns, describe_columns
from sixtyfold.sources.fields import SPLIT_NAMES, read_fields, split_of, words
from sixtyfold.sources.options import ReadOptions
from sixtyfold.sources.rows import ROWS_SCHEMA, SourceRows

UNLABELLED = ("unlabelled", "unlabeled", "unsupervised")
_BATCH = 1000


def read_hub(rest: str, options: ReadOptions) -> SourceRows:
    """Read facts from a data set of the hub.

    Args:
        rest: NAME, NAME@REVISION, or a local folder with data files.
        options: `hub_config` is the configuration, `columns` names columns.

    Returns:
        rows of all splits. Where there is one split only, it says nothing about what to hold out
        and its rows get none.

    Raises:
        BadInput: the data set is not found or not reachable, has several configurations or splits
            of other names, or a column or row is not what it should be; the message names split
            and row.
    """
    name = f"hub:{rest}"
    with _quiet():
        splits = _load(name, rest, options.hub_config)
    notes = _without_unlabelled(name, splits)
    rows: list[dict[str, Any]] = []
    left_out: dict[str, int] = {}
    columns: dict[str, str] = {}
    for split, table in splits.items():
        where = f"{name}, split {split}"
        columns = choose_columns(table.column_names, where, options.columns)
        for number, given in enumerate(_given(table, columns, split, len(splits)), start=1):
            place = f"{where}, row {number}"
            if words(given["answers"], "answers", place):
                rows.append(read_fields(given, place))
            else:
                left_out[split] = left_out.get(split, 0) + 1
    if not rows:
        raise BadInput(f"{name}: no row has an answer; give a data set of questions with answers")
    if len(splits) == 1 and "split" not in columns:
        notes.insert(0, f"one split only ('{next(iter(splits))}'), which holds nothing out")
    notes.insert(0, describe_columns(columns, options.columns))
    if left_out:
        counts = ", ".join(f"{split} {number:,}" for split, number in left_out.items())
        notes.append(f"{sum(left_out.values()):,} rows without an answer left out ({counts})")
    return SourceRows(pl.DataFrame(rows, schema=ROWS_SCHEMA), {}, tuple(notes))


def _given(
    table: Any, columns: dict[str, str], split: str, splits: int
) -> Iterator[dict[str, Any]]:
    """Yield what each row of a split holds for the fields of a fact."""
    from datasets import ClassLabel

    labels = {
        field: table.features[column]
        for field, column in columns.items()
        if isinstance(table.features[column], ClassLabel)
    }
    for batch in table.select_columns(list(dict.fromkeys(columns.values()))).iter(_BATCH):
        for index in range(len(next(iter(batch.values())))):
            given = {field: batch[column][index] for field, column in columns.items()}
            for field, feature in labels.items():
                label = given[field]
                # -1 is how the hub writes a label that is kept back.
                known = label is not None and label >= 0
                given[field] = feature.int2str(label) if known else None
            if splits > 1:
                given["split"] = split
            yield given


def _without_unlabelled(name: str, splits: dict[str, Any]) -> list[str]:
    """Take splits without labels out, refuse unknown names, and say what was done."""
    notes = []
    for split in [each for each in splits if each.casefold() in UNLABELLED]:
        number = splits.pop(split).num_rows
        notes.append(f"split '{split}' left out: {number:,} rows without labels")
    unknown = [split for split in splits if split.casefold() not in SPLIT_NAMES]
    if unknown and len(splits) > 1:
        raise BadInput(
            f"{name} has the splits {', '.join(splits)}, of which {unknown[0]!r} is none of "
            f"{', '.join(SPLIT_NAMES)}{suggestion(unknown[0], SPLIT_NAMES)}; save the rows wanted "
            "as a table with a column 'split' and give it as table:FILE"
        )
    if len(splits) > 1:
        by_name: dict[str, str] = {}
        for split in splits:
            other = by_name.setdefault(split_of(split, name), split)
            if other != split:
                notes.append(f"splits '{other}' and '{split}' are one here")
    elif not splits:
        raise BadInput(f"{name} has no split with labels; give a data set with answers")
    return notes


def _load(name: str, rest: str, config: str | None) -> dict[str, Any]:
    """Return the splits of a data set by name.

    Raises:
        BadInput: it cannot be had; the message says why.
    """
    import datasets
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    path, revision = _path_and_revision(name, rest)
    try:
        return dict(datasets.load_dataset(path, config, revision=revision))
    except (DatasetsError, HTTPError, OSError, ValueError, RuntimeError) as error:
        raise BadInput(f"{name} {_reason(error, path, revision, config)}") from None


def _path_and_revision(name: str, rest: str) -> tuple[str, str | None]:
    """Split NAME@REVISION; a folder may have an '@' in its name."""
    local = Path(rest)
    if local.is_file():
        raise BadInput(f"{name} is a file; give it as table:{rest}, or the folder it lies in")
    path, at, revision = rest.rpartition("@")
    if local.is_dir() or not at:
        return rest, None
    if Path(path).is_dir():
        raise BadInput(f"{name}: a local folder has no revisions; give it as hub:{path}")
    if not path or not revision:
        raise BadInput(f"{name} is not of the form hub:NAME or hub:NAME@REVISION")
    return path, revision


def _reason(error: Exception, path: str, revision: str | None, config: str | None) -> str:
    """Say in one line why a data set could not be had, and what to do."""
    from datasets.exceptions import DatasetNotFoundError

    first = " ".join(str(error.__cause__ or error).split())[:300]
    if isinstance(error, DatasetNotFoundError):
        return (
            f"was not found on the hub ({first}); check the name and the revision, and set "
            "HF_TOKEN where it is private or gated"
        )
    if isinstance(error, ConnectionError):
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
        advice = "unset HF_HUB_OFFLINE" if offline else "check the connection"
        return f"cannot be reached ({first}); {advice}, or give a local folder"
    if isinstance(error, ValueError):
        configs = _configs(path, revision)
        if configs and config not in configs:
            wanted = f"no configuration {config!r}" if config else "several configurations"
            hint = suggestion(config, configs) if config else ""
            return f"has {wanted}; choose one with --hub-config: {', '.join(configs)}{hint}"
    return f"cannot be read ({first}); give a data set of plain data files"


def _configs(path: str, revision: str | None) -> list[str]:
    import datasets
    from datasets.exceptions import DatasetsError

    with contextlib.suppress(DatasetsError, OSError, ValueError, RuntimeError):
        return list(datasets.get_dataset_config_names(path, revision=revision))
    return []


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep progress bars and log lines of `datasets` and the hub off stderr for a while."""
    import datasets
    from datasets.utils import logging
    from huggingface_hub.utils import logging as hub_logging
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    shown, shown_by_hub = (
        not datasets.are_progress_bars_disabled(),
        not are_progress_bars_disabled(),
    )
    verbosity, verbosity_of_hub = logging.get_verbosity(), hub_logging.get_verbosity()
    datasets.disable_progress_bars()
    disable_progress_bars()
    logging.set_verbosity(logging.CRITICAL)
    hub_logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        hub_logging.set_verbosity(verbosity_of_hub)
        if shown:
            datasets.enable_progress_bars()
        if shown_by_hub:
            enable_progress_bars()
