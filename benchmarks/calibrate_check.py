"""Fit what composition of a training set does to accuracy, for `check`, and test it.

    sixtyfold study results --file STUDY.yaml --out results.parquet
    python benchmarks/ask_training_sets.py STUDY.yaml --work DIR --out asked.parquet
    python benchmarks/calibrate_check.py results.parquet [more.parquet ...] --asked asked.parquet
        --out src/sixtyfold/workflows/check/calibration/calibration.json

Takes the results of any number of studies. Prints the cells, the slopes, the errors on sets and on
models left out beside those of a constant, and the verdict; `--out` gets the same for `check`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

from sixtyfold.core.atomic_files import write_atomic
from sixtyfold.core.fingerprint import file_sha256
from sixtyfold.workflows.check.calibration.cells import cells_of
from sixtyfold.workflows.check.calibration.fit import fit
from sixtyfold.workflows.check.calibration.fitted import Coverage, Fitted, Outcome, Tested
from sixtyfold.workflows.check.calibration.link import asked_of


def show(fitted: Fitted) -> None:
    """Print what was fitted, and how it did on what was left out."""
    print(f"{fitted.sets} sets of {fitted.trainings} trainings that others can be compared with")
    print(f"models: {', '.join(fitted.models)}; sizes: {fitted.sizes}")
    for name in fitted.recipes:
        print(f"recipe: {name}")
    print(f"asked: {', '.join(fitted.asked)}; not told by questions: {', '.join(fitted.not_asked)}")
    for name, outcome in fitted.outcomes.items():
        print(f"\n{name}: {'calibrated' if outcome.calibrated else 'not calibrated'} {outcome.why}")
        _show(outcome)


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
        low, high = (None if each is None else 100 * each for each in (tested.low, tested.high))
        line = (
            f"{words}: error {100 * tested.error:.2f} points, "
            f"constant {100 * tested.constant:.2f}, gain {100 * tested.gain:+.2f}"
        )
        if low is not None and high is not None:
            line += f" ({low:+.2f} to {high:+.2f}, {tested.folds} folds)"
        if coverage is not None:
            line += f"; interval held {coverage.covered} of {coverage.sets}"
        print(line)


def main() -> None:
    """Fit, show, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="+", help="results of studies (.parquet)")
    parser.add_argument("--asked", type=Path, nargs="*", default=[], help="asked training sets")
    parser.add_argument("--out", type=Path, help="where the calibration is written")
    options = parser.parse_args()
    cells = cells_of([pl.read_parquet(path) for path in options.results])
    with pl.Config(
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=200,
        fmt_str_lengths=60,
        tbl_hide_dataframe_shape=True,
    ):
        print(cells.with_columns(pl.selectors.float().round(3)))
    sources = {path.name: file_sha256(path) for path in [*options.results, *options.asked]}
    fitted = fit(cells, asked_of([pl.read_parquet(path) for path in options.asked]), sources)
    show(fitted)
    if options.out is not None:
        text = fitted.model_dump_json(indent=1) + "\n"
        write_atomic(options.out, lambda path: path.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    main()
