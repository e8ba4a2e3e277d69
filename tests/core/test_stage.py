from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sixtyfold.core import stage as stage_module
from sixtyfold.core.errors import BadInput, Corrupted, IncompleteInput, OtherResult
from sixtyfold.core.spec import StageSpec
from sixtyfold.core.stage import finished, open_stage

INPUTS = {"model": "a" * 16}
TABLE = pl.DataFrame({"key": ["b", "a"], "value": [1.5, None]})


class SomeSpec(StageSpec):
    model: str = "embedded"
    size: int = 60
    seed: int = 0


def run(out: Path, parts: int = 3, stop_before: int | None = None, **options: Any) -> Any:
    """A stage of `parts` chunks that can be stopped like a killed process."""
    with open_stage("some", SomeSpec(out=out, **options), INPUTS) as directory:
        if directory.complete:
            return finished(out, "some")

        def make(index: int) -> pl.DataFrame:
            if index == stop_before:
                raise KeyboardInterrupt
            return pl.DataFrame({"key": [f"{9 - index}"], "chunk": [index]})

        directory.make_parts("rows", range(parts), make, "some")
        directory.join_parts("rows", parts, ["key"])
        return directory.finish({"rows": parts}, note="x")


def contents(path: Path) -> dict[str, bytes]:
    return {
        each.name: each.read_bytes()
        for each in sorted(path.iterdir())
        if each.is_file() and each.name not in {"timings.json", ".lock"}
    }


def test_a_killed_run_continues_to_the_same_bytes(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", stop_before=2)
    assert not (tmp_path / "killed" / "manifest.json").exists()
    written = (tmp_path / "killed" / "parts" / "rows-00000.parquet").stat().st_mtime_ns
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", stop_before=2)
    kept = (tmp_path / "killed" / "parts" / "rows-00000.parquet").stat().st_mtime_ns
    assert kept == written
    run(tmp_path / "killed")
    whole, killed = contents(tmp_path / "whole"), contents(tmp_path / "killed")
    assert whole.keys() == killed.keys()
    assert all(whole[name] == killed[name] for name in whole if name.endswith(".parquet"))
    assert finished(tmp_path / "whole").fingerprint == finished(tmp_path / "killed").fingerprint
    assert not (tmp_path / "killed" / "parts").exists()


def test_parts_left_by_a_kill_behind_the_manifest_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(stage_module.shutil, "rmtree", lambda *_, **__: None)
        run(tmp_path / "p")
    assert list((tmp_path / "p" / "parts").iterdir())
    run(tmp_path / "p")
    assert not (tmp_path / "p" / "parts").exists()


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    first = run(tmp_path)
    before = contents(tmp_path)
    assert run(tmp_path, stop_before=0) == first
    assert contents(tmp_path) == before
    assert first.table("rows")["chunk"].to_list() == [2, 1, 0]
    assert first.manifest["note"] == "x"


@pytest.mark.parametrize("complete", [True, False])
def test_other_settings_are_refused(tmp_path: Path, complete: bool) -> None:
    if complete:
        run(tmp_path)
    else:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, stop_before=1)
    before = contents(tmp_path)
    with pytest.raises(OtherResult, match=r"size: 60 there, 61 now.*choose another --out"):
        run(tmp_path, size=61)
    assert contents(tmp_path) == before


def test_other_inputs_are_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with (
        pytest.raises(OtherResult, match="model: 'aaaaaaaaaaaaaaaa' there, 'bbb' now"),
        open_stage("some", SomeSpec(out=tmp_path), {"model": "bbb"}),
    ):
        pass


def test_the_name_of_an_input_is_not_its_identity(tmp_path: Path) -> None:
    first = run(tmp_path, model="embedded")
    again = run(tmp_path, model="a/copy", stop_before=0)
    assert again.fingerprint == first.fingerprint


def test_another_stage_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with (
        pytest.raises(OtherResult, match="stage some, now other"),
        open_stage("other", SomeSpec(out=tmp_path), INPUTS),
    ):
        pass


def test_a_run_that_failed_before_its_first_result_binds_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_before=0, size=10_000)
    assert run(tmp_path, size=60).manifest["spec"]["size"] == 60


def test_files_of_something_else_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(OtherResult, match=r"something else \(thesis.tex\)"):
        run(tmp_path)
    assert [each.name for each in tmp_path.iterdir() if each.name[0] != "."] == ["thesis.tex"]


def test_two_processes_do_not_share_a_directory(tmp_path: Path) -> None:
    with (
        open_stage("some", SomeSpec(out=tmp_path), INPUTS),
        pytest.raises(BadInput, match="another process is working in"),
        open_stage("some", SomeSpec(out=tmp_path), INPUTS),
    ):
        pass
    with open_stage("some", SomeSpec(out=tmp_path), INPUTS) as directory:
        assert not directory.complete


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"cannot write to .*file.*choose another --out"):
        run(tmp_path / "file" / "out")


def test_only_missing_chunks_are_made_and_all_are_given(tmp_path: Path) -> None:
    made = []

    def make(chunk: str) -> pl.DataFrame:
        made.append(chunk)
        return pl.DataFrame({"key": [chunk]})

    with open_stage("some", SomeSpec(out=tmp_path), INPUTS) as directory:
        directory.write_part("rows", 1, pl.DataFrame({"key": ["earlier"]}))
        parts = directory.make_parts("rows", ["a", "b", "c"], make, "some")
        assert directory.make_parts("others", [], make, "some") == []
    assert made == ["a", "c"]
    assert [part["key"].item() for part in parts] == ["a", "earlier", "c"]


def test_a_missing_chunk_is_an_error(tmp_path: Path) -> None:
    with open_stage("some", SomeSpec(out=tmp_path), INPUTS) as directory:
        directory.write_part("rows", 1, TABLE)
        with pytest.raises(IncompleteInput, match=r"chunks \[0, 2\] of 'rows'"):
            directory.join_parts("rows", 3, ["key"])


def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".t.parquet.1-2.partial").write_bytes(b"half")
    with open_stage("facts", SomeSpec(out=tmp_path / "out"), {}):
        assert not list((tmp_path / "out").glob(".*.partial"))


def test_unfinished_and_foreign_directories_are_no_input(tmp_path: Path) -> None:
    with pytest.raises(IncompleteInput, match="there is no directory"):
        finished(tmp_path / "nowhere")
    with pytest.raises(IncompleteInput, match=r"no manifest\.json"):
        finished(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", stop_before=1)
    with pytest.raises(IncompleteInput, match=r"an unfinished run in .*'sixtyfold probe' finished"):
        finished(tmp_path / "killed", "probe")
    run(tmp_path / "done")
    with pytest.raises(IncompleteInput, match="the result of 'some'; a result of 'probe'"):
        finished(tmp_path / "done", "probe")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"spec": {}}', "\xff"])
def test_a_corrupted_manifest_is_named(tmp_path: Path, text: str) -> None:
    run(tmp_path)
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(Corrupted, match=r"manifest.json is not a manifest.*run the stage again"):
        finished(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "3"])
def test_a_corrupted_plan_is_named(tmp_path: Path, text: str) -> None:
    run(tmp_path)
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(Corrupted, match=r"plan\.json is not readable"):
        run(tmp_path)


def test_a_corrupted_table_is_named(tmp_path: Path) -> None:
    done = run(tmp_path)
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(Corrupted, match=r"rows.parquet is not a readable Parquet table"):
        done.table("rows")
    with pytest.raises(BadInput, match="there is no table"):
        done.table("columns")
    (tmp_path / "receipt.json").write_text("{")
    with pytest.raises(Corrupted, match=r"receipt.json is not readable JSON"):
        done.json("receipt")
    with pytest.raises(IncompleteInput, match="there is no file"):
        done.json("chosen")


def test_equal_runs_have_equal_manifests(tmp_path: Path) -> None:
    run(tmp_path / "one")
    run(tmp_path / "two")
    one, two = (contents(tmp_path / name) for name in ("one", "two"))
    assert one == two
    manifest = json.loads(one["manifest.json"])
    assert manifest["rows"] == {"rows": 3}
    assert "out" not in manifest["spec"]
    assert manifest["packages"]["torch"]
