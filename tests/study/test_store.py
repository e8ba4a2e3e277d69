from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import toy_stages
from sixtyfold.core.errors import BadInput, Corrupted, IncompleteInput
from sixtyfold.study.any_store import StoredTable
from sixtyfold.study.columns import SCHEMA
from sixtyfold.study.jobs import FORMAT, Job, Place, make_job
from sixtyfold.study.numbers import numbers_of
from sixtyfold.study.open_store import open_store
from sixtyfold.study.store import LocalStore
from sixtyfold.study.work import spec_of, work


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    toy_stages.use(monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def facts_job() -> Job:
    return make_job("facts", {}, {"facts": Place("atlas", "facts0")})


def some_jobs() -> dict[str, Job]:
    """Facts, a selection, a checkpoint and its answers."""
    facts = facts_job()
    select = make_job("select", {"size": 4}, {"facts": facts.key})
    model = Place("somewhere", "model0")
    tune = make_job("tune", {}, {"model": model, "selection": select.key})
    asked = make_job("evaluate", {}, {"model": tune.key, "facts": facts.key})
    return {job.key: job for job in (facts, select, tune, asked)}


def worked(store: LocalStore) -> dict[str, Job]:
    """Do some jobs; return them by stage."""
    jobs = some_jobs()
    for job in jobs.values():
        outcome = work(job, {key: jobs[key] for key in job.after}, store)
        assert outcome.state == "done", outcome
    return {job.stage: job for job in jobs.values()}


def test_a_result_is_recorded_after_its_files(store: LocalStore) -> None:
    jobs = worked(store)
    asked = jobs["evaluate"]
    record = store.record(asked.key)
    assert set(record.files) == {"answers.parquet", "manifest.json", "numbers.parquet"}
    assert record.reads == {"model": jobs["tune"].key, "facts": jobs["facts"].key}
    assert store.recorded() == {job.key for job in jobs.values()}
    assert store.table(StoredTable("answers", "evaluate", asked.key)).height == toy_stages.FACTS
    expected = numbers_of(store.open(asked)).with_columns(key=pl.lit(asked.key))
    assert store.numbers([asked]).equals(expected)


def test_numbers_of_nothing_have_their_columns(store: LocalStore) -> None:
    empty = store.numbers([facts_job()])
    assert empty.schema == {**SCHEMA, "key": pl.String()}
    assert empty.is_empty()


def test_files_of_a_result_that_is_not_recorded_are_no_tables(store: LocalStore) -> None:
    jobs = worked(store)
    (store.root / "records" / f"{jobs['evaluate'].key}.json").unlink()
    assert {table.stage for table in store.tables()} == {"facts", "select", "tune"}
    assert store.place(jobs["evaluate"]).is_dir()
    assert StoredTable("facts", "facts", jobs["facts"].key) in store.tables()


def test_a_directory_of_something_else_or_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(BadInput, match=r"holds files that are no store \(thesis.txt\)"):
        LocalStore(tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    LocalStore(tmp_path / "old")
    for text in ('{"format": 0}', "{}", "not JSON"):
        (tmp_path / "old" / "format.json").write_text(text)
        with pytest.raises(BadInput, match=rf"of format (0|unknown), this version writes {FORMAT}"):
            LocalStore(tmp_path / "old")


def test_two_processes_make_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Path.iterdir

    def made_meanwhile(path: Path) -> Iterator[Path]:
        (path / "format.json").write_text(json.dumps({"format": FORMAT}))
        (path / "results").mkdir()
        return listed(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "iterdir", made_meanwhile)
        assert LocalStore(tmp_path / "store").recorded() == set()


def test_a_store_that_is_only_read_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"there is no store in .*study run' makes one"):
        open_store(str(tmp_path / "none"), make=False)
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot write to the store"):
        open_store(str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 0}, "is of format 0, this version writes"),
        ({"files": 3}, "is no record"),
        ({"key": None}, "is no record"),
        (None, "is not readable JSON"),
    ],
)
def test_a_damaged_or_older_record_is_named(
    change: dict[str, Any] | None, said: str, store: LocalStore
) -> None:
    job = worked(store)["facts"]
    path = store.root / "records" / f"{job.key}.json"
    values = json.loads(path.read_text())
    if change is None:
        path.write_text(path.read_text()[:-20])
    else:
        kept = {**values, **change}
        path.write_text(json.dumps({k: v for k, v in kept.items() if v is not None}))
    for asked in (store.record, lambda _: store.check(job), lambda _: store.open(job)):
        store._checked.clear()
        with pytest.raises(Corrupted, match=said) as caught:
            asked(job.key)
        assert job.key in str(caught.value)


def test_a_job_that_is_not_done_has_no_record(store: LocalStore) -> None:
    with pytest.raises(IncompleteInput, match=facts_job().key):
        store.record(facts_job().key)


@pytest.mark.parametrize("file", ["answers.parquet", "manifest.json", "numbers.parquet"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_a_damaged_file_is_named(damage: str, file: str, store: LocalStore) -> None:
    job = worked(store)["evaluate"]
    path = store.place(job) / file
    contents = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(contents[:-5])
    elif damage == "changed":
        path.write_bytes(contents[:-5] + b"12345")
    store._checked.clear()
    with pytest.raises(Corrupted, match=file):
        store.open(job)
    if damage != "changed":
        with pytest.raises(Corrupted, match=file):
            store.check(job)
    else:
        store.check(job)  # looks at sizes only, so that a thousand results take no time


def test_a_truncated_table_of_numbers_is_named_with_what_to_do(store: LocalStore) -> None:
    job = worked(store)["evaluate"]
    path = store.place(job) / "numbers.parquet"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(Corrupted, match=r"not readable .*'sixtyfold study run' makes them again"):
        store.numbers([job])
    path.unlink()
    with pytest.raises(Corrupted, match=r"numbers\.parquet"):
        store.numbers([job])


def test_a_job_whose_input_is_damaged_says_which(store: LocalStore) -> None:
    jobs = worked(store)
    path = store.place(jobs["facts"]) / "facts.parquet"
    path.write_bytes(path.read_bytes()[:-5])
    store._checked.clear()
    store.forget(jobs["select"])
    again = work(jobs["select"], {jobs["facts"].key: jobs["facts"]}, store)
    assert (again.state, again.damaged) == ("damaged", jobs["facts"].key)
    assert "facts.parquet has" in again.message


def test_a_forgotten_result_is_gone_and_made_again(store: LocalStore) -> None:
    jobs = worked(store)
    before = store.record(jobs["facts"].key).files
    store.forget(jobs["facts"])
    assert not store.is_recorded(jobs["facts"].key)
    assert not store.place(jobs["facts"]).exists()
    assert worked(store)
    assert store.record(jobs["facts"].key).files == before


def test_weights_are_removed_and_the_rest_of_a_checkpoint_stays(store: LocalStore) -> None:
    job = worked(store)["tune"]
    assert store.has_files(job)
    assert store.drop_weights(job)
    assert not store.has_files(job)
    assert store.is_recorded(job.key)
    assert not list(store.place(job).rglob("*.safetensors"))
    assert store.numbers([job]).height > 0
    store.check(job)
    store._checked.clear()
    with pytest.raises(IncompleteInput):
        store.open(job)
    assert [e["event"] for e in store.events() if e["key"] == job.key][-1] == "weights removed"


def test_weights_stay_while_they_are_read_and_nobody_reads_while_they_go(
    store: LocalStore,
) -> None:
    jobs = worked(store)
    other = LocalStore(store.root)
    with store.claim(jobs["evaluate"], [jobs["tune"]]) as ours:
        assert ours
        assert not other.drop_weights(jobs["tune"])
        assert other.has_files(jobs["tune"])
    with store.claim(jobs["tune"], ()), other.claim(jobs["evaluate"], [jobs["tune"]]) as theirs:
        assert not theirs
    assert other.drop_weights(jobs["tune"])


def test_two_jobs_read_one_input_at_a_time(store: LocalStore) -> None:
    jobs = worked(store)
    other = LocalStore(store.root)
    shared = [jobs["facts"]]
    with store.claim(jobs["select"], shared) as ours, other.claim(jobs["tune"], shared) as theirs:
        assert ours
        assert theirs


def _claim_and_wait(root: Path, job: Job, said: Any, go_on: Any) -> None:
    with LocalStore(root).claim(job, ()) as ours:
        said.put(ours)
        go_on.wait(60)


def test_of_two_processes_one_gets_a_job_and_a_killed_one_loses_it(store: LocalStore) -> None:
    context = multiprocessing.get_context("spawn")
    said, go_on = context.Queue(), context.Event()
    job = facts_job()
    first = context.Process(target=_claim_and_wait, args=(store.root, job, said, go_on))
    first.start()
    assert said.get(timeout=60) is True
    assert work(job, {}, store).state == "busy"
    assert not store.is_recorded(job.key)
    first.kill()
    first.join()
    assert work(job, {}, store).state == "done"
    assert work(job, {}, store).state == "done"
    assert [event["event"] for event in store.events()] == ["started", "recorded"]


def test_half_a_line_in_the_log_is_left_out(store: LocalStore) -> None:
    worked(store)
    count = len(store.events())
    with (store.root / "log.jsonl").open("a") as log:
        log.write('{"time": 1, "ev')
    assert len(store.events()) == count
    store.log("started", facts_job())  # on the same line: nobody ended the other
    assert len(store.events()) == count
    store.log("started", facts_job())
    assert len(store.events()) == count + 1


def test_a_failure_says_where_the_details_are(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(toy_stages, "facts", broken)
    outcome = work(facts_job(), {}, store)
    assert outcome.state == "failed"
    path = store.root / "failures" / f"{facts_job().key}.txt"
    assert str(path) in outcome.message
    assert "by nothing" in path.read_text()
    assert not store.is_recorded(facts_job().key)


def test_a_killed_job_continues_where_it_was(store: LocalStore) -> None:
    job = facts_job()
    store.begin(job)
    place = Path(spec_of(job, {}, store).out)
    place.mkdir(parents=True)
    (place / "plan.json").write_text("{}")
    store.begin(job)
    assert (place / "plan.json").is_file()
