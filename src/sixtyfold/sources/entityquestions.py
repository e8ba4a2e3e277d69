"""EntityQuestions in its official form: DIR/train|dev|test/P17.train.json and so on.

The data set (Sciavolino et al., arXiv 2109.08535) puts one question pattern per Wikidata relation
around a subject, so the subject is what stands between the two halves of the pattern. Answers are
the objects, without aliases. Repeated subjects whose answers contradict each other are several
entities of one name; they are flagged `ambiguous`.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.core.facts import SPLITS, text_lists
from sixtyfold.sources.clean import YE2025_IN_DOMAIN
from sixtyfold.sources.json_text import decode
from sixtyfold.sources.options import ReadOptions
from sixtyfold.sources.records import LARGEST_ARRAY, read_records
from sixtyfold.sources.relations import read_data
from sixtyfold.sources.rows import ROWS_SCHEMA, SourceRows

_FILE_NAME = re.compile(r"(P\d+)\.(train|dev|test)\.json")
_OF_THE_PAPER = "arXiv 2509.16596 counts 75,944 train, 9,555 test and 11,613 out-of-domain test"


class Pattern(NamedTuple):
    """The two halves of a relation's question, around the subject."""

    before: str
    after: str

    def subject(self, question: str) -> str | None:
        """Return the subject of a question, or None for a question of another form.

        >>> Pattern("Where was ", " born?").subject("Where was Ada Lovelace born?")
        'Ada Lovelace'
        """
        fits = question.startswith(self.before) and question.endswith(self.after)
        inside = question[len(self.before) : len(question) - len(self.after)]
        return inside if fits and inside.strip() else None


def patterns() -> dict[str, Pattern]:
    """Return the question pattern of every relation of the data set."""
    found = {}
    for relation, about in read_data("entityquestions.yaml").items():
        before, _, after = about["question"].partition("{subject}")
        found[relation] = Pattern(before, after)
    return found


def read_entityquestions(rest: str, options: ReadOptions) -> SourceRows:  # noqa: ARG001 - a Reader
    """Read all relations and splits that lie in a folder.

    Args:
        rest: the folder that holds train, dev and test.
        options: not used; the form is fixed.

    Raises:
        BadInput: it is no such folder, or a file or record is not of the form; the message names
            file and record.
    """
    root = Path(rest)
    files = _files(root)
    known = patterns()
    columns: dict[str, list[Any]] = {"relation": [], "subject": [], "objects": [], "question": []}
    splits: list[str] = []
    for path, relation, split in files:
        if relation not in known:
            raise BadInput(
                f"{path}: relation {relation} is none of EntityQuestions"
                f"{suggestion(relation, known)}; allowed are {', '.join(known)}"
            )
        read = _read_file(path, known[relation])
        columns["relation"] += [relation] * len(read)
        columns["subject"] += [row[0] for row in read]
        columns["objects"] += [row[1] for row in read]
        columns["question"] += [row[2] for row in read]
        splits += [split] * len(read)
    objects = text_lists(columns.pop("objects"))
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String())).with_columns(
        objects=objects,
        split=pl.Series(splits, dtype=pl.String),
        domain=pl.when(pl.col("relation").is_in(YE2025_IN_DOMAIN))
        .then(pl.lit("in"))
        .otherwise(pl.lit("out")),
        flags=pl.lit([], dtype=pl.List(pl.String())),
        popularity=pl.lit(None, dtype=pl.Int64),
    )
    data = read_data("entityquestions.yaml")
    templates = {name: about["templates"] for name, about in data.items()}
    rows = frame.select(list(ROWS_SCHEMA)).cast(ROWS_SCHEMA)
    return SourceRows(rows, templates, (_counted(rows),), add_names=True)


def _counted(rows: pl.DataFrame) -> str:
    """Say how many rows were read, as the papers count them."""
    inside, test = pl.col("domain") == "in", pl.col("split") == "test"
    counts = [
        rows.filter(inside & (pl.col("split") == "train")).height,
        rows.filter(inside & test).height,
        rows.filter(~inside & test).height,
    ]
    listed = "{:,} train, {:,} test and {:,} out-of-domain test".format(*counts)
    return f"{rows.height:,} rows read; in the papers' relations {listed} ({_OF_THE_PAPER})"


def _files(root: Path) -> list[tuple[Path, str, str]]:
    """Return file, relation and split of everything to read."""
    form = "a folder with train/P17.train.json, dev/P17.dev.json, test/P17.test.json and so on"
    if root.is_file():
        packed = zipfile.is_zipfile(root)
        what = "is a zip archive; unpack it and give the folder" if packed else "is a file"
        raise BadInput(f"entityquestions:{root} {what}; needed is {form}")
    if not root.is_dir():
        raise BadInput(f"entityquestions:{root} does not exist; needed is {form}")
    found = []
    for split in SPLITS:
        for path in sorted((root / split).glob("*.json")):
            name = _FILE_NAME.fullmatch(path.name)
            if name is None or name[2] != split:
                raise BadInput(
                    f"{path}: the name is not of the form RELATION.{split}.json; "
                    "rename the file or move it away"
                )
            found.append((path, name[1], split))
    if not found:
        inner = [each.name for each in sorted(root.iterdir()) if (each / "train").is_dir()]
        hint = f"; did you mean {root / inner[0]}?" if inner else ""
        raise BadInput(f"entityquestions:{root} holds no such file; needed is {form}{hint}")
    return found


def _read_file(path: Path, pattern: Pattern) -> list[tuple[str, list[str], str]]:
    """Return subject, objects and question of every record."""
    rows = []
    for number, record in enumerate(_records(path), start=1):
        reason = _complaint(record)
        if reason is None:
            question = record["question"]
            subject = pattern.subject(question)
            if subject is not None:
                rows.append((subject, [answer.strip() for answer in record["answers"]], question))
                continue
            asked = f"{pattern.before}SUBJECT{pattern.after}"
            reason = f"the question {question[:80]!r} is not of the form {asked!r}"
        raise BadInput(f"{path}, record {number}: {reason}; mend or drop the record")
    return rows


def _complaint(record: Any) -> str | None:
    """Say what is wrong with a record, or None."""
    if not isinstance(record, dict):
        return f"an object with question and answers is needed, found a {type(record).__name__}"
    for key, kind in (("question", str), ("answers", list)):
        if key not in record:
            return f"'{key}' is missing"
        if not isinstance(record[key], kind):
            needed = "text" if kind is str else "a list"
            return f"'{key}' needs {needed} and holds a {type(record[key]).__name__}"
    return _complaint_about_texts(record["question"], record["answers"])


def _complaint_about_texts(question: str, answers: list[Any]) -> str | None:
    if not answers:
        return "'answers' is empty"
    for answer in answers:
        if not isinstance(answer, str) or not answer.strip():
            return f"'answers' needs texts and holds {repr(answer)[:80]}"
    if _half_character(question, *answers):
        return "a text holds half a character (a lone surrogate)"
    return None


def _half_character(*texts: str) -> bool:
    return any(not text.isascii() and re.search("[\ud800-\udfff]", text) for text in texts)


def _records(path: Path) -> list[Any]:
    """Return the list a file holds.

    Raises:
        BadInput: it is not readable, not UTF-8, no JSON or no list; the message names the line or
            record.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_ARRAY:
            raise BadInput(f"{path}: {size:,} bytes; this is no file of EntityQuestions")
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror})") from None
    try:
        records = decode(content.decode("utf-8-sig"), str(path), "fetch or unpack the file again")
    except (UnicodeDecodeError, BadInput):
        read_records(path)  # slower, one by one, and so names the line or record
        raise
    if not isinstance(records, list) or not records:
        kind = "an empty list" if records == [] else f"a {type(records).__name__}"
        raise BadInput(f"{path}: holds {kind}; a list of records is needed")
    return records
