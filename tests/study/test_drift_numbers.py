"""What a study keeps of a result of drift."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import polars as pl

from sixtyfold.core.stage import Finished
from sixtyfold.study import numbers


def test_the_whole_is_of_no_part() -> None:
    summary = pl.DataFrame(
        [("all", "all"), ("domain", "in"), ("level", "4")], schema=["split", "group"], orient="row"
    ).with_columns(measure=pl.lit("js"), mean=0.5, low=0.4, high=0.6, n=3)
    result: Any = SimpleNamespace(
        path=Path("d"), manifest={"stage": "drift", "spec": {}}, table=lambda _: summary
    )
    found = list(numbers._drift(cast("Finished", result)))
    assert [each.part for each in found] == [None, "domain in", "level 4"]
    assert {each.value for each in found} == {0.5}
