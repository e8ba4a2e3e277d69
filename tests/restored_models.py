"""Restore and rebuild from tests, and compare the models that come out."""

from __future__ import annotations

from pathlib import Path

from file_digests import digests
from sixtyfold.stages.restore.rebuild import run as run_rebuild
from sixtyfold.stages.restore.rebuild_spec import RebuildSpec
from sixtyfold.stages.restore.run import run
from sixtyfold.stages.restore.spec import RestoreSpec


def restore(base, tuned, out, **options):
    return run(RestoreSpec(base=str(base), tuned=str(tuned), out=out, **options))


def rebuild(patch, base, tuned, out, **options):
    return run_rebuild(
        RebuildSpec(patch=patch, base=str(base), tuned=str(tuned), out=out, **options)
    )


def assert_same_model(one: Path, other: Path) -> None:
    kept = {"plan.json", "manifest.json", "timings.json", ".lock"}
    first, second = (
        {name: digest for name, digest in digests(each).items() if name not in kept}
        for each in (one, other)
    )
    assert first == second
