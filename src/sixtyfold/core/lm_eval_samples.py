"""Sample logs of lm-eval as answer tables.

`lm-eval run --log_samples --output_path DIR` writes one `samples_TASK_DATE.jsonl` per task: a line
per document and filter, with the document, what the model was given (`arguments`), what it said
(`resps`, `filtered_resps`), hashes of document and target, and every metric under its own name
(layout of lm-eval 0.4.13, `evaluator.py` and `loggers/evaluation_tracker.py`). Knows that layout;
does not import lm-eval.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.accuracy import ANSWERS_SCHEMA, check_answers
from sixtyfold.core.errors import BadInput, Corrupted, suggestion
from sixtyfold.core.facts import DOMAINS
from sixtyfold.core.lm_eval_options import SampleOptions

PREFERRED = ("hit", "exact_match", "acc")
"""Metrics taken when none is named, in this order."""
_NEEDED = ("doc_id", "doc", "arguments", "filtered_resps", "filter", "metrics", "doc_hash")
_ASKED = ("fact_id", "question", "rule", "doc_hash", "target_hash", "prompt_hash")

Row = dict[str, Any]


class SampleLog(NamedTuple):
    """One or several logs of one model.

    asked: one row per answer with `question` (what identifies it in another log), `rule` (metric
    and filter) and hashes of document, target and prompt.
    """

    table: pl.DataFrame
    asked: pl.DataFrame
    fingerprint: str


def is_sample_log(path: Path) -> bool:
    """Whether a path is a sample log, or a directory that holds some and is no stage."""
    if path.is_dir():
        return not (path / "plan.json").is_file() and any(path.glob("samples_*.jsonl"))
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as lines:
        first = lines.readline()
    return all(f'"{name}"' in first for name in ("doc_id", "filtered_resps", "filter"))


def read_samples(path: Path, options: SampleOptions) -> SampleLog:
    """Read a sample log, or all logs of a directory (one per task).

    A document becomes a fact: its key is the document's own `fact_id` where it has one (tasks that
    `sixtyfold export` wrote), else a hash of task, number and content. Relation is the task, or
    the field that `relation_field` names. Logs know no domains: every document counts as `in`,
    unless it says otherwise itself.

    Raises:
        BadInput: a directory holds two logs of one task, a log has several filters or no yes/no
            metric to count, or the field is missing in a document.
        Corrupted: a line is no sample.
    """
    files = sorted(path.glob("samples_*.jsonl")) if path.is_dir() else [path]
    _refuse_two_of_a_task(files, path)
    rows, asked, digests = [], [], []
    for file in files:
        samples = _one_filter(list(_lines(file)), options.answer_filter, file)
        metric = _metric(samples, options.metric, file)
        for sample in samples:
            row = _answer(sample, metric, options, file)
            rows.append(row)
            asked.append(_asked(sample, metric, row["fact_id"], file))
        digests.append(hashlib.sha256(file.read_bytes()).hexdigest())
    fingerprint = hashlib.sha256("".join(digests).encode()).hexdigest()[:16]
    table = check_answers(pl.DataFrame(rows, schema=ANSWERS_SCHEMA), str(path))
    return SampleLog(table, pl.DataFrame(asked, schema=dict.fromkeys(_ASKED, pl.String)),
                     fingerprint)  # fmt: skip


def task_of(file: Path) -> str:
    """Return the task a log's name says, or `task` where it says none.

    >>> task_of(Path("samples_my_task_2026-01-02T03-04-05.678.jsonl")), task_of(Path("base.jsonl"))
    ('my_task', 'task')
    """
    parts = file.stem.split("_")
    return "_".join(parts[1:-1]) if parts[0] == "samples" and len(parts) > 2 else "task"


def check_same_questions(
    before: pl.DataFrame, after: pl.DataFrame, *, other_prompts: bool = False
) -> None:
    """Refuse two logs that did not ask the same.

    Args:
        before: `SampleLog.asked` of the first.
        after: of the second.
        other_prompts: allow other prompts (few-shot examples, templates) for the same documents.

    Raises:
        BadInput: they share no document, or for a shared one the content, the right answer, the
            metric or (unless allowed) the prompt differs.
    """
    both = before.join(after, on="question", suffix="_after")
    if both.is_empty():
        tasks = [each["question"][0].split("#")[0] for each in (before, after)]
        raise BadInput(
            f"the two logs share no document (the first begins with task {tasks[0]!r}, "
            f"the second with {tasks[1]!r}); give two logs of one task"
        )
    advice = "run both with the same task version, data, few-shot examples and seed"
    what = {
        "rule": ("metric or filter", "name one with --metric and --answer-filter"),
        "doc_hash": ("content", advice),
        "target_hash": ("right answer", advice),
        "prompt_hash": ("prompt or generation setting", f"{advice}, or allow it: --other-prompts"),
    }
    for column, (name, todo) in what.items():
        differing = both.filter(pl.col(column) != pl.col(f"{column}_after"))
        if differing.is_empty() or (column == "prompt_hash" and other_prompts):
            continue
        raise BadInput(
            f"document {differing['question'][0]} has another {name} in the second log "
            f"({differing.height} of {both.height} have); {todo}"
        )


def _refuse_two_of_a_task(files: Sequence[Path], path: Path) -> None:
    seen: dict[str, Path] = {}
    for file in files:
        other = seen.setdefault(task_of(file), file)
        if other is not file:
            raise BadInput(
                f"{path} holds two logs of task '{task_of(file)}' ({other.name}, {file.name}); "
                "give one of the files"
            )


def _lines(file: Path) -> Iterator[Row]:
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                sample = json.loads(line)
                missing = [name for name in _NEEDED if name not in sample]
            except (ValueError, TypeError):
                raise Corrupted(
                    f"{file}, line {number} is no JSON; log the samples again"
                ) from None
            if isinstance(sample, dict) and not missing and not _are_names(sample["metrics"]):
                missing = ["names of metrics"]
            if not isinstance(sample, dict) or missing:
                raise Corrupted(
                    f"{file}, line {number} is no sample of lm-eval: "
                    f"{', '.join(missing) or 'an object'} missing; "
                    "log the samples with --log_samples (lm-eval 0.4.5 or newer)"
                )
            yield sample


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(x, str) for x in value)


def _one_filter(samples: list[Row], wanted: str | None, file: Path) -> list[Row]:
    names = sorted({str(sample["filter"]) for sample in samples})
    if not names:
        raise BadInput(f"{file} holds no sample; log them with --log_samples")
    if wanted is None and len(names) > 1:
        raise BadInput(
            f"{file} holds answers by {len(names)} filters ({', '.join(names)}); "
            "name one with --answer-filter"
        )
    if wanted is not None and wanted not in names:
        raise BadInput(
            f"--answer-filter {wanted} is not in {file}{suggestion(wanted, names)}; "
            f"there: {', '.join(names)}"
        )
    return [sample for sample in samples if sample["filter"] == (wanted or names[0])]


def _metric(samples: list[Row], wanted: str | None, file: Path) -> str:
    """Return the name of the metric that counts as hit; all its values are yes or no."""
    names = [str(name) for name in samples[0]["metrics"]]
    if wanted is not None:
        if wanted not in names:
            raise BadInput(
                f"--metric {wanted} is not in {file}{suggestion(wanted, names)}; "
                f"there: {', '.join(names)}"
            )
        for sample in samples:
            if not _is_yes_or_no(sample.get(wanted)):
                raise BadInput(
                    f"metric '{wanted}' of document {sample['doc_id']} in {file} is "
                    f"{sample.get(wanted)!r}; kept and lost need one that is 0 or 1"
                )
        return wanted
    fit = [name for name in names if all(_is_yes_or_no(each.get(name)) for each in samples)]
    chosen = next((name for name in PREFERRED if name in fit), fit[0] if len(fit) == 1 else None)
    if chosen is None:
        which = f"several that are 0 or 1 ({', '.join(fit)})" if fit else "none that is 0 or 1"
        raise BadInput(
            f"{file} has the metrics {', '.join(names)}: {which}; name one with --metric"
        )
    return chosen


def _is_yes_or_no(value: Any) -> bool:
    return isinstance(value, bool | int | float) and value in (0, 1)


def _yes_or_none(value: Any) -> bool | None:
    return bool(value) if _is_yes_or_no(value) else None


def _answer(sample: Row, metric: str, options: SampleOptions, file: Path) -> Row:
    """Return one row of the answers table."""
    doc = sample["doc"] if isinstance(sample["doc"], dict) else {}
    own = isinstance(doc.get("fact_id"), str)
    key = f"{_question(sample, file)}#{sample['doc_hash']}".encode()
    relation = str(doc["relation"]) if own and doc.get("relation") else task_of(file)
    if options.relation_field is not None:
        relation = _field(doc, options.relation_field, sample, file)
    level = doc.get("level") if own else None
    hit = bool(sample[metric])
    try:
        prompt, answer = _prompts(sample)[0], _said(sample, metric)
    except (TypeError, ValueError, IndexError):
        raise Corrupted(
            f"{file}: arguments or answers of document {sample['doc_id']} are not laid out as "
            "lm-eval 0.4.13 does; log the samples again"
        ) from None
    return {
        "fact_id": doc["fact_id"] if own else hashlib.blake2b(key, digest_size=8).hexdigest(),
        "relation": relation,
        "domain": doc["domain"] if own and doc.get("domain") in DOMAINS else "in",
        "split": str(doc["split"]) if own and doc.get("split") else "test",
        "level": level if isinstance(level, int) else None,
        "prompt": prompt,
        "answer": answer,
        "hit": hit,
        "exact": hit if metric == "exact_match" else _yes_or_none(sample.get("exact")),
        "f1": None,
        "ended": None,
    }  # fmt: skip


def _field(doc: Row, name: str, sample: Row, file: Path) -> str:
    if doc.get(name) is None:
        raise BadInput(
            f"--relation-field {name}: document {sample['doc_id']} in {file} has no such field"
            f"{suggestion(name, doc)}; there: {', '.join(map(str, doc))}"
        )
    return str(doc[name])


def _question(sample: Row, file: Path) -> str:
    """Return what identifies a document in another log of the task."""
    doc = sample["doc"]
    if isinstance(doc, dict) and isinstance(doc.get("fact_id"), str):
        return str(doc["fact_id"])
    return f"{task_of(file)}#{sample['doc_id']}"


def _asked(sample: Row, metric: str, fact_id: str, file: Path) -> Row:
    given = json.dumps(sample["arguments"], sort_keys=True, ensure_ascii=False)
    return {
        "fact_id": fact_id,
        "question": _question(sample, file),
        "rule": f"lm-eval {metric} ({sample['filter']})",
        "doc_hash": _content_hash(sample),
        "target_hash": str(sample.get("target_hash", sample.get("target"))),
        "prompt_hash": hashlib.sha256(given.encode()).hexdigest(),
    }


def _content_hash(sample: Row) -> str:
    """Return lm-eval's hash of the document; of ours, which hold their prompt, one without it."""
    doc = sample["doc"]
    if isinstance(doc, dict) and isinstance(doc.get("fact_id"), str):
        rest = {name: value for name, value in doc.items() if name != "prompt"}
        return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
    return str(sample["doc_hash"])


def _requests(sample: Row) -> list[tuple[Any, Any]]:
    """Return what the model was given: (context, continuation or generation settings) each."""
    given = sample["arguments"]
    requests = list(given.values()) if isinstance(given, dict) else list(given)
    pairs = [list(each.values()) if isinstance(each, dict) else list(each) for each in requests]
    return [(pair[0], pair[1] if len(pair) > 1 else "") for pair in pairs if pair]


def _prompts(sample: Row) -> list[str]:
    return [str(context) for context, _ in _requests(sample)] or [""]


def _said(sample: Row, metric: str) -> str:
    """Return the model's answer as text: what it wrote, or the choice it found likeliest.

    A multiple-choice task logs [log-likelihood, greedy] per choice. `acc` goes by the largest; for
    other metrics of such a task (`acc_norm`), and where a single continuation was scored and is not
    the model's own, there is no text to show.
    """
    said = sample["filtered_resps"]
    if not isinstance(said, list) or not said:
        return str(said)
    if not isinstance(said[0], list):
        return str(said[0])
    requests = _requests(sample)
    if metric != "acc" or (len(requests) == 1 and not sample[metric]):
        return ""
    # Requests without context are those of the mutual-information metric, not choices.
    scored = [(*each, float(own[0])) for each, own in zip(requests, said, strict=True) if each[0]]
    contexts, choices, likely = zip(*scored, strict=True) if scored else (("",), ("",), (0.0,))
    # Where the question differs and the continuation does not (Winogrande), the question tells.
    shown = choices if len(set(map(str, choices))) > 1 or len(choices) == 1 else contexts
    return str(shown[likely.index(max(likely))]).strip()
