"""Which repair is best over several tunings: searches of the same options, taken together.

    for SEED in 0 1 2 3 4; do
        sixtyfold search --base BASE --tuned TUNED-$SEED --facts FACTS --no-checkpoint --out s$SEED
    done
    python benchmarks/repairs_over_seeds.py s0 s1 s2 s3 s4

Prints every family's best (chosen on dev by each search for itself) on test, as the difference to
the tuned model and to the best interpolation, with 95% intervals over facts and tunings.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.core.stage import finished
from sixtyfold.workflows.search_replicas import over_replicas


def main() -> None:
    """Print the table of the searches named on the command line."""
    try:
        found = over_replicas([finished(Path(each), "search") for each in sys.argv[1:]])
    except SixtyfoldError as error:
        sys.exit(f"{error}\n\n{__doc__}")
    points = [(pl.col(name) * 100).round(1) for name in ("accuracy", "difference", "low", "high")]
    shares = [pl.col(name).round(4) for name in ("p", "p_holm")]
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=160, tbl_hide_dataframe_shape=True):
        print(found.with_columns(*points, *shares))


if __name__ == "__main__":
    main()
