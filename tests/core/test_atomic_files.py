from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from sixtyfold.core import atomic_files
from sixtyfold.core.atomic_files import write_json, write_parquet

TABLE = pl.DataFrame({"key": ["b", "a"], "value": [1.5, None]})


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "t.parquet", TABLE)
    before = (tmp_path / "t.parquet").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_parquet(tmp_path / "t.parquet", TABLE.head(1))
    assert (tmp_path / "t.parquet").read_bytes() == before
    with pytest.raises(OSError, match="No space left"):
        write_json(tmp_path / "manifest.json", {})
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path) -> None:
    """Polars has an error of its own for it, which the command line would not know."""
    atomic_files.partial_name(tmp_path / "t.parquet").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as raised:
        write_parquet(tmp_path / "t.parquet", TABLE)
    assert raised.value.errno is not None
    assert raised.value.filename == str(tmp_path / "t.parquet")
    assert not list(tmp_path.iterdir())


def test_numbers_that_json_does_not_know_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert not (tmp_path / "x.json").exists()
