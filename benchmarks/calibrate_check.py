"""Fit what composition of a training set does to accuracy, for `check`, and test it.

    sixtyfold study results --file STUDY.yaml --out results.parquet
    python benchmarks/ask_training_sets.py STUDY.yaml --work DIR --out asked.parquet
    python benchmarks/calibrate_check.py results.parquet [more.parquet ...] --asked asked.parquet

Takes the results of any number of studies. Prints the cells, the slopes, the errors on sets and on
models left out beside those of a constant, and the verdict. With `--write` the calibration that
`check` reads is replaced, and what it was fitted on is kept in benchmarks/data/calibration; without
results it is fitted again on what is kept there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import polars as pl

from sixtyfold.core.atomic_files import write_atomic
from sixtyfold.core.errors import BadInput, SixtyfoldError
from sixtyfold.core.fingerprint import file_sha256
from sixtyfold.workflows.check.calibration.cells import CLASSES, cells_of, used
from sixtyfold.workflows.check.calibration.fit import fit
from sixtyfold.workflows.check.calibration.fitted import FILE, Coverage, Fitted, Outcome, Tested
from sixtyfold.workflows.check.calibration.link import asked_of, mix_of
from sixtyfold.workflows.check.knowledge import BUCKETS

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "benchmarks" / "data" / "calibration"
CALIBRATION = ROOT / "src/sixtyfold/workflows/check/calibration" / FILE


def table(path: Path) -> pl.DataFrame:
    """Read a Parquet file.

    Raises:
        BadInput: it is none.
    """
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{path} is no table that can be read ({reason}); give a .parquet") from None


def show_cells(cells: pl.DataFrame) -> None:
    """Print every cell."""
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=200, fmt_str_lengths=60):
        print(cells.with_columns(pl.selectors.float().round(3)))


def show(fitted: Fitted) -> None:
    """Print what was fitted, and how it did on what was left out."""
    print(f"{fitted.sets} sets of {fitted.trainings} trainings that others can be compared with")
    print(f"models: {', '.join(fitted.models)}; sizes: {fitted.sizes}")
    for name in fitted.recipes:
        print(f"recipe: {name}")
    print(f"asked: {', '.join(fitted.asked)}; not told by questions: {', '.join(fitted.not_asked)}")
    for name, outcome in fitted.outcomes.items():
        verdict = "calibrated" if outcome.calibrated else f"not calibrated: {outcome.why}"
        print(f"\n{name}: {verdict}")
        _show(outcome)


def show_asked(tables: list[pl.DataFrame]) -> None:
    """Print how facts of each class come out in questions, and natural files told by that alone."""
    for each in asked_of(tables):
        print(f"\n{each.model} ({each.study}): told apart {each.spread:.2f}; rows {BUCKETS}")
        print(each.link.round(2))
        for row in each.rows.filter(levels="natural").iter_rows(named=True):
            told = mix_of(each.link, np.array([row[name] for name in BUCKETS])).shares
            true = [sum(row[f"level_{level}"] for level in own) for own in CLASSES.values()]
            print(f"natural file of {row['facts']}: told {told.round(2)}, true {np.round(true, 2)}")


def _show(outcome: Outcome) -> None:
    if outcome.slopes is None:
        return
    first, second = outcome.slopes
    print(f"points per share: level 0 {100 * first:+.1f}, levels 1 and 2 {100 * second:+.1f}")
    for fold in outcome.folds:
        first, second = fold.slopes
        print(f"  without {fold.model}: {100 * first:+.1f}, {100 * second:+.1f}")
    parts: dict[str, tuple[Tested | None, Coverage | None]] = {
        "left-out sets": (outcome.groups, None),
        "left-out models": (outcome.models, outcome.coverage),
        "the same, asked": (outcome.asked, outcome.asked_coverage),
    }
    for words, (tested, coverage) in parts.items():
        if tested is None:
            continue
        line = (
            f"{words}: error {100 * tested.error:.2f} points, "
            f"constant {100 * tested.constant:.2f}, gain {100 * tested.gain:+.2f}"
        )
        if tested.low is not None:
            line += f" (with 95% certainty above {100 * tested.low:+.2f}; {tested.folds} folds)"
        if coverage is not None:
            line += f"; interval held {coverage.covered} of {coverage.trainings} trainings"
        print(line)


def keep(results: list[Path], asked: list[Path]) -> None:
    """Replace what is kept by the rows of these tables that are fitted on."""
    tables = {f"results-{path.stem}": used(table(path)) for path in results}
    tables |= {f"asked-{path.stem.removeprefix('asked-')}": table(path) for path in asked}
    KEPT.mkdir(parents=True, exist_ok=True)
    for path in KEPT.glob("*.parquet"):
        path.unlink()
    for name, each in tables.items():
        each.write_parquet(KEPT / f"{name}.parquet")


def fitted_on(results: list[Path], asked: list[Path]) -> Fitted:
    """Return the calibration that these tables give; sources are named from the root on."""
    sources = {
        path.resolve().relative_to(ROOT).as_posix(): file_sha256(path)
        for path in [*results, *asked]
        if path.resolve().is_relative_to(ROOT)
    }
    asked_tables = asked_of([table(path) for path in asked])
    return fit(cells_of([table(path) for path in results]), asked_tables, sources)


def kept() -> tuple[list[Path], list[Path]]:
    """Return the kept tables of results, and of what was asked."""
    return sorted(KEPT.glob("results-*.parquet")), sorted(KEPT.glob("asked-*.parquet"))


def main(arguments: list[str] | None = None) -> None:
    """Fit, show, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="*", help="results of studies (.parquet)")
    parser.add_argument("--asked", type=Path, nargs="*", default=[], help="asked training sets")
    parser.add_argument("--write", action="store_true", help="replace the calibration of check")
    options = parser.parse_args(arguments)
    results, asked = (options.results, options.asked) if options.results else kept()
    if not results:
        raise BadInput(f"{KEPT} holds no results of studies; name some")
    show_cells(cells_of([table(path) for path in results]))
    show_asked([table(path) for path in asked])
    fitted = fitted_on(results, asked)
    show(fitted)
    if options.write:
        if options.results:
            keep(results, asked)
            fitted = fitted_on(*kept())
        text = fitted.model_dump_json(indent=1) + "\n"
        write_atomic(CALIBRATION, lambda path: path.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    try:
        main()
    except SixtyfoldError as error:
        sys.exit(str(error))
