"""Check: read a training file, find what is wrong, ask the model, write the cleaned file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.atomic_files import read_json, write_atomic
from sixtyfold.core.cost import forward_seconds, operations_per_second, parameters
from sixtyfold.core.facts import seeded_order
from sixtyfold.core.fingerprint import file_sha256
from sixtyfold.core.models import load_tokenizer, model_directory, model_fingerprint
from sixtyfold.core.spec import StageSpec
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage
from sixtyfold.sources.records import Record, read_records
from sixtyfold.stages.probe.aggregate import Recall
from sixtyfold.stages.probe.run import run as probe
from sixtyfold.stages.probe.spec import ProbeSpec
from sixtyfold.workflows.check.calibration.fitted import shipped
from sixtyfold.workflows.check.calibration.predict import expected
from sixtyfold.workflows.check.cleaned_file import some_rows
from sixtyfold.workflows.check.kinds import Measured, measure
from sixtyfold.workflows.check.knowledge import (
    Asked,
    asked_facts,
    asked_how,
    key_of,
    recall_by_form,
)
from sixtyfold.workflows.check.problems import Problem, find_problems
from sixtyfold.workflows.check.report import (
    Looked,
    file_facts,
    may_be_asked,
    rows_table,
    summary,
)
from sixtyfold.workflows.check.rows import SftFile, read_rows
from sixtyfold.workflows.check.spec import CheckSpec

_SCORED_AT_ONCE = 1024  # tokens of a padded batch: its logits over the vocabulary must fit


class _Read(NamedTuple):
    """The file in the model's tokens.

    facts: indices of the rows to ask the model about.
    texts: indices of the rows to score.
    """

    records: list[Record]
    file: SftFile
    measured: list[Measured]
    problems: list[Problem | None]
    facts: list[int]
    texts: list[int]
    asked: Asked | None


def run(spec: CheckSpec) -> Finished:
    """Check a training file.

    Returns:
        the stage with the table `rows`, `check.json`, the cleaned file (`cleaned` and the suffix
        of the file) and, where facts are held back, `held_back` in the same form.

    Raises:
        BadInput: the file is none, its columns are of no known form, or there is no such model.
        Corrupted: a Parquet file is not readable.
    """
    directory = model_directory(spec.model, spec.revision)
    read = _read(spec, directory)
    fitted = shipped()
    inputs = {
        "model": model_fingerprint(directory),
        "file": file_sha256(spec.file),
        "calibration": fitted.fingerprint,
    }
    with open_stage("check", spec, inputs) as stage:
        if stage.complete:
            return finished(spec.out, "check")
        with stage.timed("probe"):
            recalls = _recalls(read, spec)
        logp = _scored(stage, read, spec)
        found = Looked(read.file.rows, read.measured, read.problems, recalls, logp)
        table = stage.write_table("rows", rows_table(found, spec.hold_back))
        _write_files(spec, read.records, table)
        told = summary(table, found, _protocol(spec, read.asked))
        seen = file_facts(told, asked_how(spec))
        stage.write_json("check", {**told, "expected_effect": expected(fitted, seen)})
        return stage.finish({"rows": table.height}, notes=_notes(read))


def knowledge(spec: CheckSpec) -> dict[str, Any] | None:
    """Return what `check.json` says of the model's knowledge, without the rest of a check.

    Writes `facts` and `probe` in the place of a check; None where the file has no facts. Raises
    what `run` raises.
    """
    read = _read(spec, model_directory(spec.model, spec.revision))
    found = Looked(read.file.rows, read.measured, read.problems, _recalls(read, spec), {})
    told = summary(rows_table(found, "none"), found, _protocol(spec, read.asked))
    return told["knowledge"]  # type: ignore[no-any-return]


def plan(spec: CheckSpec) -> dict[str, Any]:
    """Return what a check would do, without doing it; raises what `run` raises."""
    directory = model_directory(spec.model, spec.revision)
    read = _read(spec, directory)
    prompts, lengths = 0, 0
    if read.asked is not None:
        tokenizer = load_tokenizer(directory)
        own = read.asked.templates.group_by("relation").agg("text")
        texts = {str(half): list(each) for half, each in own.iter_rows()}
        for half, question in read.asked.facts.select("relation", "question").iter_rows():
            prompts += len(texts[half])
            asked = [text.replace("{question}", question) for text in texts[half]]
            lengths += sum(map(len, tokenizer(asked)["input_ids"]))
    scored = sum(len(read.measured[at].prompt) + len(read.measured[at].answer) for at in read.texts)
    draws = prompts * spec.draws
    speed = operations_per_second(spec.dtype, spec.device)
    stepped = draws * spec.max_new_tokens
    seconds = forward_seconds(parameters(directory), lengths + scored, stepped, speed)
    return {
        "rows": len(read.file.rows),
        "problems": sum(each is not None for each in read.problems),
        "facts_to_ask": 0 if read.asked is None else read.asked.facts.height,
        "other_rows_to_score": len(read.texts),
        "prompts": prompts,
        "draws": draws,
        "sampled_tokens_at_most": stepped,
        "scored_tokens": scored,
        "estimated_seconds": round(seconds),
    }


def _read(spec: CheckSpec, directory: Path) -> _Read:
    records = read_records(spec.file)
    file = read_rows(records, spec.file, spec.columns)
    tokenizer = load_tokenizer(directory)
    measured = [measure(row, tokenizer, spec.fact_tokens) for row in file.rows]
    context = context_length(directory)
    longest = min(spec.max_length or context, context)
    problems = find_problems(file.rows, measured, longest)
    every = range(len(file.rows))
    facts = [at for at in every if measured[at].kind == "fact" and may_be_asked(problems[at])]
    texts = [at for at in every if measured[at].kind == "text" and problems[at] is None]
    chosen = _first([key_of(file.rows[at]) for at in facts], facts, spec)
    shown = [file.rows[at] for at in facts if problems[at] is None]
    asked = None
    if chosen:
        asked = asked_facts([file.rows[at] for at in chosen], shown, tokenizer, spec)
    scored = _first([file.rows[at].place for at in texts], texts, spec)
    return _Read(records, file, measured, problems, chosen, scored, asked)


def context_length(directory: Path) -> int:
    """Return the longest sequence a model takes, as its config.json says."""
    config = read_json(directory / "config.json")
    config = config.get("text_config", config)
    stated = config.get("max_position_embeddings", config.get("n_positions"))
    return int(stated) if stated else 1 << 20


def _first(keys: Sequence[str], rows: Sequence[int], spec: CheckSpec) -> list[int]:
    """Return the first `limit` rows of the seeded shuffle, in file order."""
    if spec.limit is None or spec.limit >= len(rows):
        return list(rows)
    return sorted(rows[at] for at in seeded_order(keys, spec.seed)[: spec.limit])


def _recalls(read: _Read, spec: CheckSpec) -> dict[str, dict[str, Recall]]:
    """Probe the facts by their questions; return form → key → recall."""
    if read.asked is None:
        return {}
    inputs = {"file": file_sha256(spec.file)}
    facts = spec.out / "facts"
    with open_stage("facts", StageSpec(out=facts), inputs) as written:
        if not written.complete:
            written.write_table("facts", read.asked.facts)
            written.write_table("templates", read.asked.templates)
            rows = {"facts": read.asked.facts.height, "templates": read.asked.templates.height}
            written.finish(rows)
    probed = probe(_probe_spec(spec, facts))
    return recall_by_form(probed.table("probe_prompts"), read.asked.forms)


def _probe_spec(spec: CheckSpec, facts: Path) -> ProbeSpec:
    return ProbeSpec(
        out=spec.out / "probe",
        model=spec.model,
        facts=str(facts),
        splits="train",
        match=spec.match,
        draws=spec.draws,
        allocation="even",
        max_new_tokens=spec.max_new_tokens,
        batch=spec.batch,
        seed=spec.seed,
        **spec.options().model_dump(),
    )


def _scored(stage: StageDirectory, read: _Read, spec: CheckSpec) -> dict[int, float]:
    """Return row index → mean log-probability of a token of the answer."""
    if not read.texts:
        return {}
    from sixtyfold.engines.likelihood import log_probabilities, token_chunks
    from sixtyfold.engines.torch_engine import TorchEngine

    rows = [read.measured[at] for at in read.texts]
    chunks = token_chunks([len(row.prompt) + len(row.answer) for row in rows], _SCORED_AT_ONCE)
    loaded: list[TorchEngine] = []

    def scored(chunk: list[int]) -> pl.DataFrame:
        if not loaded:
            loaded.append(TorchEngine.load(spec.model, spec))
        prompts, answers = [rows[at].prompt for at in chunk], [rows[at].answer for at in chunk]
        sums = log_probabilities(loaded[0], prompts, answers)
        return pl.DataFrame({"index": [read.texts[at] for at in chunk], "logp": sums})

    with stage.timed("score"):
        table = pl.concat(stage.make_parts("texts", chunks, scored, "check"))
    return {at: logp / len(read.measured[at].answer) for at, logp in table.iter_rows()}


def _write_files(spec: CheckSpec, records: Sequence[Record], table: pl.DataFrame) -> None:
    """Write the rows to keep, and those held back, as files of the form they came in."""
    suffix = spec.file.suffix.lower()
    wanted = {"cleaned": "keep"}
    if spec.hold_back != "none":
        wanted["held_back"] = "hold back"
    for name, recommendation in wanted.items():
        kept = (table["recommendation"] == recommendation).to_list()
        _write(spec.out / f"{name}{suffix}", some_rows(spec.file, records, kept))


def _write(path: Path, content: bytes) -> None:
    write_atomic(path, lambda temporary: temporary.write_bytes(content))


def _protocol(spec: CheckSpec, asked: Asked | None) -> str:
    if asked is None:
        return ""
    forms = ", ".join(f"{name} ({len(ids)})" for name, ids in asked.forms.items())
    return (
        f"recall from questions, prompts per fact: {forms}; {spec.draws} survival draws each at "
        f"T 0.7, {spec.max_new_tokens} tokens, match {spec.match}; the form with the highest mean "
        "counts. Not comparable with levels of cloze prompts"
    )


def _notes(read: _Read) -> list[str]:
    return [read.file.note, *(read.asked.notes if read.asked is not None else [])]


def first_offending(table: pl.DataFrame, most: int = 10) -> pl.DataFrame:
    """Return the first rows that are not kept."""
    return table.filter(pl.col("recommendation") != "keep").head(most)
