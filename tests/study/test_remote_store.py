from __future__ import annotations

import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import toy_stages
from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.study import remote_files
from sixtyfold.study.any_store import Store
from sixtyfold.study.columns import SCHEMA
from sixtyfold.study.drive import Driven, drive
from sixtyfold.study.file import StudyFile
from sixtyfold.study.jobs import Job, Place, make_job
from sixtyfold.study.leases import Leases
from sixtyfold.study.local import LocalExecutor
from sixtyfold.study.open_store import open_store
from sixtyfold.study.plan import Inputs
from sixtyfold.study.remote_files import RemoteFiles, Unreachable
from sixtyfold.study.remote_store import RemoteStore
from sixtyfold.study.results import results_table
from sixtyfold.study.spec import SqlSpec
from sixtyfold.study.sql import ask
from sixtyfold.study.store import LocalStore
from sixtyfold.study.work import work

INPUTS = Inputs(Place("atlas", "facts0"), {"m": Place("somewhere", "model0")}, frozenset())
GRID = {
    "name": "sizes",
    "select": {"size": [4]},
    "tune": {"learning_rate": [1e-5, 3e-5]},
    "choose": "learning_rate",
    "diff": {},
}


class Faulty(MemoryFileSystem):
    """Fails every n-th call; cuts files whose name holds a word, on the way out or in."""

    protocol = "faulty"
    store: dict[str, Any] = {}  # noqa: RUF012 - one for all instances, as in memory://
    pseudo_dirs: list[str] = [""]  # noqa: RUF012
    error: Exception = OSError(5, "the network is down")
    every = 0
    calls = 0
    cut_sent = ""
    cut_read = ""
    lose_answers = 0

    @classmethod
    def _count(cls) -> None:
        cls.calls += 1
        if cls.every and cls.calls % cls.every == 0:
            raise cls.error

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("faulty:"))

    def cat_file(self, path: str, *args: Any, **kwargs: Any) -> bytes:
        self._count()
        found = super().cat_file(path, *args, **kwargs)
        return found[:-3] if self.cut_read and self.cut_read in path else found

    def pipe_file(self, path: str, value: bytes, *args: Any, **kwargs: Any) -> None:
        self._count()
        super().pipe_file(path, value, *args, **kwargs)
        if Faulty.lose_answers:
            Faulty.lose_answers -= 1
            raise TimeoutError("written, and the answer was lost")

    def put_file(self, source: str, path: str, *args: Any, **kwargs: Any) -> None:
        self._count()
        super().put_file(source, path, *args, **kwargs)
        if Faulty.cut_sent and Faulty.cut_sent in path:
            Faulty.cut_sent = ""
            super().pipe_file(path, super().cat_file(path)[:-3])

    def find(self, *args: Any, **kwargs: Any) -> Any:
        self._count()
        return super().find(*args, **kwargs)

    def exists(self, *args: Any, **kwargs: Any) -> bool:
        self._count()
        return super().exists(*args, **kwargs)

    def rm_file(self, path: str) -> None:
        self._count()
        super().rm_file(path)


fsspec.register_implementation("faulty", Faulty, clobber=True)


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    toy_stages.use(monkeypatch)
    monkeypatch.setenv("SIXTYFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote_files, "PAUSES", (0.0, 0.0, 0.0))
    for kind in (MemoryFileSystem, Faulty):
        kind.store.clear()
        kind.pseudo_dirs[:] = [""]
    for name, value in {
        "every": 0,
        "calls": 0,
        "cut_sent": "",
        "cut_read": "",
        "lose_answers": 0,
    }.items():
        setattr(Faulty, name, value)
    yield
    Faulty.every = 0


@pytest.fixture(params=["memory://bucket/place", "local://{}/remote", "faulty://bucket"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.param).format(tmp_path)


def made_up(**changed: Any) -> StudyFile:
    models = [{"name": "m", "model": "somewhere"}]
    values = {"name": "toy", "models": models, "seeds": [0, 1], "grids": [GRID], **changed}
    return StudyFile.model_validate(values)


def driven(store: Store, study: StudyFile | None = None, said: list[str] | None = None) -> Driven:
    tell = (said if said is not None else []).append
    return drive(study or made_up(), INPUTS, store, LocalExecutor(store), tell)


def started(store: Store) -> Counter[str]:
    return Counter(str(each["key"]) for each in store.events() if each["event"] == "started")


def table(store: Store, done: Driven) -> pl.DataFrame:
    return results_table(store, made_up(), done.plan)


def as_bytes(frame: pl.DataFrame, path: Path) -> bytes:
    frame.write_parquet(path)
    return path.read_bytes()


def stored(url: str, ending: str) -> list[str]:
    files = RemoteFiles(url)
    return [name for name in files.sizes(".") if name.endswith(ending)]


def on_another_machine(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RemoteStore:
    monkeypatch.setenv("SIXTYFOLD_CACHE", str(tmp_path / f"cache-{time.monotonic_ns()}"))
    return RemoteStore(url)


def test_results_are_those_of_a_local_store_byte_for_byte(url: str, tmp_path: Path) -> None:
    local, remote = LocalStore(tmp_path / "local"), open_store(url)
    assert isinstance(remote, RemoteStore)
    here, there = driven(local), driven(remote)
    assert not there.failed
    expected = as_bytes(table(local, here), tmp_path / "a")
    assert as_bytes(table(remote, there), tmp_path / "b") == expected
    assert set(started(remote).values()) == {1}
    assert local.recorded() == remote.recorded()
    assert {each.name for each in local.tables()} == {each.name for each in remote.tables()}


def test_a_finished_study_is_not_run_again_by_another_machine(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = driven(RemoteStore(url))
    again = on_another_machine(url, monkeypatch, tmp_path)
    before = len(again.events())
    after = driven(again)
    assert after.done == first.done
    assert len(again.events()) == before
    assert table(again, after).equals(table(RemoteStore(url), first))


def test_weights_are_removed_here_and_there_and_made_again_when_needed(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RemoteStore(url)
    done = driven(store)
    tuned = [job for job in done.plan.jobs.values() if job.stage == "tune"]
    assert not stored(url, ".safetensors")
    assert not list(store.local.rglob("*.safetensors"))
    assert tuned
    assert not any(store.has_files(job) for job in tuned)
    wider = made_up(grids=[{**GRID, "drift": {}}])
    there = on_another_machine(url, monkeypatch, tmp_path)
    done = driven(there, wider)
    assert not done.failed
    assert not stored(url, ".safetensors")
    counts = started(there)
    assert {counts[job.key] for job in tuned} == {1, 2}  # only the chosen ones once more


def test_inputs_are_fetched_once_and_kept_weights_too(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = made_up(keep_checkpoints=True)
    done = driven(RemoteStore(url), study)
    there = on_another_machine(url, monkeypatch, tmp_path)
    job = next(job for job in done.plan.jobs.values() if job.stage == "tune")
    result = there.open(job)
    assert (result.path / "model.safetensors").read_bytes() == b"weights" * 100
    assert result.path.is_relative_to(there.local)


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_file_is_named_and_the_job_done_again(
    url: str, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RemoteStore(url)
    done = driven(store)
    expected = table(store, done)
    job = next(job for job in done.plan.jobs.values() if job.stage == "evaluate")
    name = next(n for n in stored(url, "answers.parquet") if job.key in n)
    contents = store.files.read(name)
    if damage == "gone":
        store.files.remove([name])
    else:
        cut = contents[:-10] if damage == "cut" else contents[:-10] + b"0123456789"
        store.files.write(name, cut)
    there = on_another_machine(url, monkeypatch, tmp_path)
    with pytest.raises(Corrupted, match=r"answers\.parquet"):
        there.open(job)
    if damage != "changed":  # sizes are looked at before a run, contents when they are read
        said: list[str] = []
        after = driven(there, said=said)
        assert any("answers.parquet" in line and "made again" in line for line in said)
        assert started(there)[job.key] == 2
        assert table(there, after).equals(expected)


def test_a_changed_input_is_found_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "memory://bucket/place"
    store = RemoteStore(url)
    done = driven(store)
    select = next(job for job in done.plan.jobs.values() if job.stage == "select")
    name = next(n for n in stored(url, "selection.parquet") if select.key in n)
    contents = store.files.read(name)
    store.files.write(name, contents[:-10] + b"0123456789")
    there, said = on_another_machine(url, monkeypatch, tmp_path), []
    after = driven(there, made_up(grids=[{**GRID, "tune": {"learning_rate": [1e-5, 1e-4]}}]), said)
    assert not after.failed
    assert any(f"select {select.key} is made again" in line for line in said)


def test_hiccups_are_asked_again(tmp_path: Path) -> None:
    url = "faulty://bucket"
    expected = driven(local := LocalStore(tmp_path / "local"))
    Faulty.every = 7
    store = RemoteStore(url)
    done = driven(store)
    assert not done.failed
    assert Faulty.calls > 100
    assert table(store, done).equals(table(local, expected))
    Faulty.every = 0
    assert set(started(store).values()) == {1}


class _OfAPackage(Exception):
    """Not an OSError, as those of botocore are."""


@pytest.mark.parametrize(
    ("error", "times"),
    [(OSError("down"), 4), (TimeoutError(), 4), (_OfAPackage("down"), 4), (PermissionError(), 1)],
)
def test_a_store_that_does_not_answer_is_one_line(
    error: Exception, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RemoteStore("faulty://bucket")
    Faulty.every, Faulty.calls = 1, 0
    monkeypatch.setattr(Faulty, "error", error)
    said = f"faulty://bucket failed {times} times at listing records"
    with pytest.raises(Unreachable, match=said) as caught:
        store.recorded()
    assert "\n" not in str(caught.value)
    assert Faulty.calls == times


def test_a_call_that_is_wrong_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store = RemoteStore("faulty://bucket")
    Faulty.every, Faulty.calls = 1, 0
    monkeypatch.setattr(Faulty, "error", TypeError("no such argument"))
    with pytest.raises(TypeError):
        store.recorded()
    assert Faulty.calls == 1


def test_a_file_cut_on_the_way_is_stored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RemoteStore("faulty://bucket")
    Faulty.cut_sent = "answers.parquet"
    done = driven(store)
    assert not done.failed
    assert Faulty.cut_sent == ""
    there = on_another_machine("faulty://bucket", monkeypatch, tmp_path)
    for job in done.plan.jobs.values():
        if job.stage == "evaluate":
            assert there.open(job).table("answers").height == toy_stages.FACTS
    assert set(started(store).values()) == {1}


def test_a_lease_whose_answer_was_lost_is_ours() -> None:
    files = RemoteFiles("faulty://bucket")
    Faulty.lose_answers = 1
    assert files.create("claims/key/000001.json", b"ours")
    assert not files.create("claims/key/000001.json", b"theirs")


def test_a_read_that_is_always_cut_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "faulty://bucket"
    done = driven(RemoteStore(url))
    there = on_another_machine(url, monkeypatch, tmp_path)
    Faulty.cut_read = "numbers.parquet"
    assert table(there, done).height > 0  # the second way of reading is whole
    job = next(iter(done.plan.jobs.values()))
    Faulty.cut_read = f"records/{job.key}"
    with pytest.raises(Corrupted, match=f"records/{job.key}.json is not readable JSON"):
        RemoteStore(url).record(job.key)


def test_a_job_that_is_no_longer_held_by_a_dead_process_is_taken_over_at_once(
    url: str,
) -> None:
    first = Leases(RemoteFiles(url), "machine a")
    with first.hold("key", ()) as ours:
        assert ours
        with Leases(first.files, "machine b").hold("key", ()) as theirs:
            assert not theirs
        with Leases(first.files, "machine a").hold("key", ()) as after_a_kill:
            assert after_a_kill


def test_a_silent_machine_loses_its_lease_and_a_beating_one_does_not(url: str) -> None:
    files = RemoteFiles(url)
    quick, other = Leases(files, "a", seconds=0.4), Leases(files, "b", seconds=0.4)
    with quick.hold("key", ()) as ours:
        assert ours
        time.sleep(1.0)
        with other.hold("key", ()) as theirs:
            assert not theirs
    files.write("claims/key/000001.json", quick._text())
    with other.hold("key", ()) as theirs:
        assert not theirs
    time.sleep(0.6)
    with other.hold("key", ()) as theirs:
        assert theirs
    assert not stored(url, "000001.json")


def test_only_one_of_many_gets_a_lease(url: str) -> None:
    files, start, won = RemoteFiles(url), threading.Barrier(8), []

    def ask_for_it(name: str) -> None:
        leases = Leases(files, name)
        start.wait()
        with leases.hold("key", ()) as ours:
            won.extend([name] if ours else [])
            start.wait()

    threads = [threading.Thread(target=ask_for_it, args=(str(n),)) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(won) == 1


def _claimed(url: str, cache: str, seconds: float, said: Any) -> None:
    import os

    os.environ["SIXTYFOLD_CACHE"] = cache
    store, job = RemoteStore(url), make_job("facts", {}, {"facts": Place("atlas", "x")})
    with store.claim(job, ()) as ours:
        said.put(ours)
        time.sleep(seconds)


@pytest.mark.parametrize("same_machine", [True, False])
def test_a_killed_process_holds_a_job_only_among_machines(
    same_machine: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, cache = f"local://{tmp_path}/remote", str(tmp_path / "cache")
    context = multiprocessing.get_context("spawn")
    said = context.Queue()
    process = context.Process(target=_claimed, args=(url, cache, 60.0, said))
    process.start()
    assert said.get(timeout=60)
    if not same_machine:
        monkeypatch.setenv("SIXTYFOLD_CACHE", str(tmp_path / "elsewhere"))
    store, job = RemoteStore(url), make_job("facts", {}, {"facts": Place("atlas", "x")})
    with store.claim(job, ()) as ours:
        assert not ours
    process.kill()
    process.join()
    with store.claim(job, ()) as ours:
        assert ours is same_machine


def test_weights_that_another_machine_reads_stay(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RemoteStore(url)
    done = driven(store, made_up(keep_checkpoints=True))
    tune = next(job for job in done.plan.jobs.values() if job.stage == "tune")
    reader = next(job for job in done.plan.jobs.values() if tune.key in job.after)
    there = on_another_machine(url, monkeypatch, tmp_path)
    with there.claim(reader, [tune]) as ours:
        assert ours
        assert not store.drop_weights(tune)
        assert store.has_weights(tune)
    with store.claim(tune, ()) as ours, there.claim(reader, [tune]) as theirs:
        assert ours
        assert not theirs
    assert store.drop_weights(tune)
    assert not there.has_weights(tune)


def test_two_machines_share_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, found = "memory://bucket/shared", []
    stores = [on_another_machine(url, monkeypatch, tmp_path) for _ in range(2)]
    assert stores[0].leases.machine != stores[1].leases.machine
    threads = [
        threading.Thread(target=lambda each=each: found.append((each, driven(each))))
        for each in stores
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    tables = [table(store, done) for store, done in found]
    assert all(not done.failed for _, done in found)
    assert tables[0].equals(tables[1])
    recorded = Counter(each["key"] for each in stores[0].events() if each["event"] == "recorded")
    assert set(recorded.values()) == {1}


def test_what_runs_here_or_elsewhere_is_told(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RemoteStore(url)
    there = on_another_machine(url, monkeypatch, tmp_path)
    jobs = [make_job("facts", {"seed": n}, {"facts": Place("atlas", "x")}) for n in range(2)]
    with store.claim(jobs[0], ()):
        assert store.running(jobs) == there.running(jobs) == {jobs[0].key}
    assert store.running(jobs) == there.running(jobs) == set()


def test_files_of_a_machine_that_was_killed_are_not_mixed_with_recorded_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "memory://bucket"
    job = make_job("facts", {}, {"facts": Place("atlas", "x")})
    empty = pl.DataFrame(schema=SCHEMA)

    def save(store: RemoteStore, count: int) -> None:
        monkeypatch.setattr(toy_stages, "FACTS", count)
        store.begin(job)
        store.save(job, toy_stages.facts(_spec_of(job, store)), empty, 0.0)

    save(on_another_machine(url, monkeypatch, tmp_path), 20)
    killed = on_another_machine(url, monkeypatch, tmp_path)
    write = killed.files.write

    def until_the_record(name: str, contents: bytes) -> None:
        if name.startswith("records/"):
            raise KeyboardInterrupt
        write(name, contents)

    monkeypatch.setattr(killed.files, "write", until_the_record)
    with pytest.raises(KeyboardInterrupt):
        save(killed, 10)
    assert len(stored(url, "facts.parquet")) == 2
    third = on_another_machine(url, monkeypatch, tmp_path)
    assert third.open(job).table("facts").height == 20


def _spec_of(job: Job, store: Store) -> Any:
    from sixtyfold.study.work import spec_of

    return spec_of(job, {}, store)


def test_a_killed_job_continues_in_its_directory() -> None:
    store = RemoteStore("memory://bucket")
    job = make_job("facts", {}, {"facts": Place("atlas", "x")})
    store.begin(job)
    spec = _spec_of(job, store)
    spec.out.mkdir(parents=True)
    (spec.out / "plan.json").write_text("{}")
    (spec.out / "half").write_text("done")
    RemoteStore("memory://bucket").begin(job)
    assert (spec.out / "half").is_file()
    (spec.out / "plan.json").unlink()
    store.begin(job)
    assert not spec.out.exists()


def test_records_are_read_together_after_one_listing(url: str) -> None:
    done = driven(RemoteStore(url))
    store, asked = RemoteStore(url), []
    read = store.files.read_many
    store.files.read_many = lambda names: asked.append(len(names)) or read(names)  # type: ignore[method-assign]
    keys = store.recorded()
    assert keys == done.done
    for job in done.plan.jobs.values():
        store.check(job)
    assert asked == [len(keys)]


def test_everything_that_lies_there_is_counted(url: str, tmp_path: Path) -> None:
    store, local = RemoteStore(url), LocalStore(tmp_path / "local")
    done, _ = driven(store), driven(local)
    found = store.result_bytes()
    assert set(found) == {(job.stage, job.key) for job in done.plan.jobs.values()}
    assert set(found) == set(local.result_bytes())
    assert sum(found.values()) == sum(store.files.sizes("results").values())


def test_sql_sees_only_what_is_recorded(url: str) -> None:
    store = RemoteStore(url)
    done = driven(store)
    query = "select count(*) as n, count(distinct key) as keys from answers"
    all_of_them = ask(SqlSpec(store=url, query=query)).row(0)
    jobs = [job for job in done.plan.jobs.values() if job.stage == "evaluate"]
    assert all_of_them == (20 * len(jobs), len(jobs))
    store.files.remove([f"records/{jobs[0].key}.json"])
    assert ask(SqlSpec(store=url, query=query)).row(0)[1] == len(jobs) - 1


def test_two_processes_make_one_store(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = RemoteFiles.sizes

    def made_meanwhile(files: RemoteFiles, folder: str) -> dict[str, int]:
        if folder == ".":
            files.write("format.json", b'{"format": 1}')
            files.write("studies/s/study.json", b"{}")
        return listed(files, folder)

    with monkeypatch.context() as patched:
        patched.setattr(RemoteFiles, "sizes", made_meanwhile)
        assert RemoteStore("memory://made-by-two").recorded() == set()


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no store at memory://nowhere"):
        open_store("memory://nowhere", make=False)
    with pytest.raises(BadInput, match=r"nosuch://x cannot be opened .*Protocol not known"):
        open_store("nosuch://x")
    files = RemoteFiles("memory://other")
    files.write("mine.txt", b"x")
    with pytest.raises(BadInput, match="memory://other holds files that are no store"):
        RemoteStore("memory://other")
    files.write("format.json", b'{"format": 0}')
    with pytest.raises(BadInput, match="a store of format 0, this version writes 1"):
        RemoteStore("memory://other")


def test_a_failure_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    store = RemoteStore("memory://bucket")

    def broken(_: Any) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(toy_stages, "facts", broken)
    job = make_job("facts", {}, {"facts": Place("atlas", "x")})
    outcome = work(job, {}, store)
    assert outcome.state == "failed"
    assert "ZeroDivisionError: by nothing" in outcome.message
    assert b"by nothing" in store.files.read(f"failures/{job.key}.txt")
    ((key, stage, reason, _),) = RemoteStore("memory://bucket").failures()
    assert (key, stage, reason) == (job.key, "facts", "ZeroDivisionError: by nothing")
    assert f"memory://bucket/failures/{job.key}.txt" in outcome.message
