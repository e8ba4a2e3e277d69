from __future__ import annotations

import polars as pl

from sixtyfold.stages.drift.prediction import PREDICTION_SCHEMA
from sixtyfold.stages.drift.summary import SUMMARY_SCHEMA
from sixtyfold.stages.drift.words import (
    prediction_table,
    summary_table,
    tokens_table,
    words_of,
)


def test_summary() -> None:
    rows = [
        ("all", "all", "kl_top10", 30, 1.234, 1.0, 1.5, 1.1),
        ("all", "all", "js", 30, 0.5, 0.4, 0.6, 0.5),
        ("position", "2", "js", 7, 0.25, None, None, 0.2),
        ("position", "2", "logp_change", 7, -1.0, None, None, -1.0),
    ]
    table = summary_table(pl.DataFrame(rows, schema=SUMMARY_SCHEMA, orient="row"))
    assert table["facts"].to_list() == ["all", "position 2"]
    assert table["P2"].to_list() == ["1.23 (1.00 to 1.50)", ""]
    assert table["JS"].to_list() == ["0.50 (0.40 to 0.60)", "0.25"]
    assert table["first token"].to_list() == ["", "-1.00"]


def test_tokens() -> None:
    tokens = pl.DataFrame(
        {
            "direction": ["up", "up", "down"],
            "text": [" a", "\\n", " b"],
            "mean_change": [0.2, 0.1, -0.3],
            "mean_base": [0.1, 0.1, 0.4],
            "mean_tuned": [0.3, 0.2, 0.1],
            "up": [3, 2, 0],
            "down": [0, 1, 4],
        }
    )
    assert tokens_table(tokens, 1).rows() == [
        ("' a'", 10.0, 30.0, 20.0, 3, 0, "up"),
        ("' b'", 40.0, 10.0, -30.0, 0, 4, "down"),
    ]


def test_prediction() -> None:
    rows = [
        ("js", 5, 9, 0.5, 0.1, 0.7, 0.8, 0.6, 0.95, 0.01, 0.02),
        ("kl_top10", 3, 9, 0.5, None, None, 0.8, None, None, 0.01, 0.02),
        ("kl_top10", 0, 9, *[None] * 8),
    ]
    table = prediction_table(pl.DataFrame(rows, schema=PREDICTION_SCHEMA, orient="row"))
    assert table["area under curve"].to_list() == ["0.80 (0.60 to 0.95)", "0.80", "–"]
    assert table["p Holm"].to_list() == ["0.0200", "0.0200", "–"]


def test_lines() -> None:
    plain = {"p2": None, "mass_outside": {"base": {"largest": 0.0}, "tuned": {"largest": 0.0}}}
    assert words_of(plain)[1:] == ["P2's figure needs level-4 facts: give --probe"]
    asked = words_of({**plain, "without_cloze": ["capital"]})
    assert asked[2].startswith("- no cloze templates for 1 relations (capital): there P2's figure")
    told = words_of(
        {
            "p2": {"mean": 1.0, "low": 0.5, "high": 1.5, "n": 40},
            "mass_outside": {"base": {"largest": 0.0}, "tuned": {"largest": 0.0321}},
            "shared_ids": 99,
            "prediction_rests_on": {
                "facts": 9, "answered_by_both_tables": 8, "known_to_base": 5, "lost": 2,
            },
        }
    )  # fmt: skip
    assert told[1] == "P2's figure, level-4 facts: 1.000 (0.500 to 1.500, n = 40)"
    assert "share 99 tokens" in told[2]
    assert "0.00% of the base's probability and 3.21% of the tuned" in told[2]
    assert told[3].endswith("the base answered 5, 2 of them were lost")
