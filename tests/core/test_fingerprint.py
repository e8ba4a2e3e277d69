from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from sixtyfold.core import fingerprint
from sixtyfold.core.fingerprint import file_sha256, fingerprint_files


def test_names_and_contents_count_and_places_do_not(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in ("a", "b"):
            (tmp_path / folder / name).write_text(name)
    one, two = (sorted((tmp_path / folder).iterdir()) for folder in ("one", "two"))
    assert fingerprint_files(one) == fingerprint_files(two[::-1])
    two[0].write_text("b")
    two[1].write_text("a")
    assert fingerprint_files(one) != fingerprint_files(two)
    assert fingerprint_files(one) != fingerprint_files(one[:1])


def test_a_large_file_is_read_once_and_noticed_when_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIXTYFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fingerprint, "_MEMO_FROM_BYTES", 4)
    path = tmp_path / "weights"
    path.write_bytes(b"old weights")
    first = file_sha256(path)
    assert first == hashlib.sha256(b"old weights").hexdigest()

    reads = []
    real = fingerprint._hash_file
    monkeypatch.setattr(fingerprint, "_hash_file", lambda p: reads.append(p) or real(p))
    assert file_sha256(path) == first
    assert reads == []

    stat = path.stat()
    path.write_bytes(b"new weights")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert file_sha256(path) == hashlib.sha256(b"new weights").hexdigest()
    assert reads == [path]


def test_a_broken_memo_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXTYFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fingerprint, "_MEMO_FROM_BYTES", 0)
    path = tmp_path / "weights"
    path.write_bytes(b"weights")
    wanted = file_sha256(path)
    for note in (tmp_path / "cache" / "hashes").iterdir():
        note.write_text("{")
    assert file_sha256(path) == wanted


def test_hashes_that_cannot_be_written_down_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIXTYFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fingerprint, "_MEMO_FROM_BYTES", 0)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "hashes").write_text("in the way")
    path = tmp_path / "weights"
    path.write_bytes(b"weights")
    for _ in range(2):
        assert file_sha256(path) == hashlib.sha256(b"weights").hexdigest()


def test_a_file_overwritten_while_it_is_hashed_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIXTYFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fingerprint, "_MEMO_FROM_BYTES", 0)
    path = tmp_path / "weights"
    path.write_bytes(b"old weights")
    real = fingerprint._hash_file

    def late(each: Path) -> str:
        digest = real(each)
        path.write_bytes(b"newer weights")
        return digest

    monkeypatch.setattr(fingerprint, "_hash_file", late)
    file_sha256(path)
    monkeypatch.setattr(fingerprint, "_hash_file", real)
    assert file_sha256(path) == hashlib.sha256(b"newer weights").hexdigest()
