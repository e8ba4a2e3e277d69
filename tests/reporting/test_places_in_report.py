from __future__ import annotations

import polars as pl

from sixtyfold.reporting.results import Results
from sixtyfold.reporting.weight_sections import moved


def test_where_the_most_changed_weights_lie() -> None:
    places = pl.DataFrame(
        {
            "top_percent": [10.0, 10.0],
            "layer": [0, 1],
            "block": ["q", "up"],
            "numel": [100, 300],
            "top_weights": [30.0, 10.0],
            "share_of_top": [0.75, 0.25],
            "share_of_region": [0.25, 0.75],
        }
    )
    nothing = Results(**dict.fromkeys(Results._fields))
    section = moved(nothing._replace(places=places))
    assert "Top 10% by r over 2 layers: 25.00% (layer 1) to 75.00% (layer 0)." in section.text
    (table,) = section.tables
    assert table.columns == ["block", "of the top 10%", "of all weights", "of its own weights"]
    assert table.rows == [["q", "75.00%", "25.00%", "30.00%"], ["up", "25.00%", "75.00%", "3.33%"]]
    assert moved(nothing).tables == []
