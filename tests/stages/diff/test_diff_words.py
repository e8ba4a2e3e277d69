from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from made_up_checkpoints import moved, random_values, write_checkpoint, write_pair
from sixtyfold.cli import run_command
from sixtyfold.core.stage import finished
from sixtyfold.stages.diff import words

CHANGES = {
    "weights": 1000,
    "changed": 150,
    "share_changed": 0.15,
    "near_zero_base": 0,
    "sum_relative": 50.0,
    "sum_relative_near_zero": 0.0,
    "inexact": 0,
    "added_rows": 0,
    "update_norm": 0.5,
    "base_norm": 10.0,
}


@pytest.fixture
def pair(tmp_path):
    base, tuned = write_pair(tmp_path)
    other = write_checkpoint(tmp_path / "other", moved(random_values(), seed=5))
    return ["diff", "--base", str(base), "--tuned", str(tuned)], str(other)


def test_what_a_person_sees(pair, tmp_path, capsys):
    command, other = pair
    out = str(tmp_path / "out")
    options = ["--spectrum", "--papers-rounding", "--other", other, "--top", "10,50"]
    assert run_command([*command, "--out", out, *options]) == 0
    printed = capsys.readouterr().out
    done = finished(tmp_path / "out")
    changes = done.json("changes")
    for shown in (
        f"{changes['changed']:,} of 108 weights of the region changed",
        "of the top 10%",
        "top 10% by r over 2 layers: ",
        "papers' rounding",
        "shuffled",
        "Gaussian",
        "stable rank",
        "1 tensors that are no matrices left out",
        "all singular values found",
        "cosine of the two updates",
        "Jaccard",
        "even unrelated updates share their top",
    ):
        assert shown in printed
    assert printed.splitlines()[-1] == f"result: {out}"
    assert "|base| ≥ 1e-6" not in printed, "no zeros: the second figure says nothing new"


def test_nothing_is_shown_that_was_not_asked_for(pair, tmp_path, capsys):
    command, _ = pair
    assert run_command([*command, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    for absent in ("papers' rounding", "stable rank", "Jaccard"):
        assert absent not in printed


def test_as_json(pair, tmp_path, capsys):
    command, other = pair
    out = ["--out", str(tmp_path / "out"), "--json"]
    assert run_command([*command, *out, "--other", other]) == 0
    value = json.loads(capsys.readouterr().out)
    done = finished(tmp_path / "out")
    assert value["changes_totals"] == done.json("changes")
    assert value["overlap_totals"] == done.json("overlap")
    assert value["concentration"] == done.table("concentration").to_dicts()
    assert {row["split"] for row in value["weight_groups"]} == {"model", "region", "layer", "block"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--top", "0"], "a percentage is above 0 and at most 100"),
        (["--top", "1,101"], "a percentage is above 0 and at most 100"),
        (["--top", "some"], "percentages are given as 20 or as 1,3,5"),
        (["--layers", "x"], "layers are given as 8-15"),
    ],
)
def test_bad_options(pair, tmp_path, capsys, given, said):
    command, _ = pair
    assert run_command([*command, "--out", str(tmp_path / "out"), *given]) == 2
    assert said in capsys.readouterr().err


def test_equal_models_can_be_shown(pair, tmp_path, capsys):
    command, _ = pair
    same = [*command[:3], "--tuned", command[2], "--other", command[2]]
    assert run_command([*same, "--out", str(tmp_path / "out"), "--spectrum"]) == 0
    printed = capsys.readouterr().out
    assert "0 of 108 weights of the region changed (0.0%)" in printed
    assert "undoes" not in printed
    assert "cosine of the two updates –" in printed


def test_notes_say_what_distorts():
    assert words.notes({**CHANGES, "share_changed": 1.0}, pl.Series([1.0, 60.0])) == []
    found = "\n".join(
        words.notes(
            {
                **CHANGES,
                "near_zero_base": 3,
                "sum_relative_near_zero": 20.0,
                "inexact": 4,
                "added_rows": 5,
            },
            pl.Series([1.0, 10.0, 20.0, 60.0]),
        )
    )
    assert "3 base weights are 0 or nearly so and hold 40.0% of Σr" in found
    assert "only 15.0% of the weights changed: restoring the top 20% undoes the whole" in found
    assert "4 base weights are not exact" in found
    assert "5 added embedding rows are in no figure" in found


def test_a_few_zeros_among_many_weights_are_seen_by_what_they_hold(tmp_path, capsys):
    base = random_values(shapes={"model.layers.0.mlp.up_proj.weight": (1200, 1000)})
    for values in base.values():
        values[np.abs(values) < 1e-4] = 1e-4
        values[0, 0] = 0.0  # one of 1.2 million holds a visible part of the sum
    tuned = {name: values + np.float32(1e-3) for name, values in base.items()}
    names = [str(write_checkpoint(tmp_path / name, each)) for name, each in
             (("base", base), ("tuned", tuned))]  # fmt: skip
    out = ["--out", str(tmp_path / "out"), "--top", "1"]
    assert run_command(["diff", "--base", names[0], "--tuned", names[1], *out]) == 0
    printed = capsys.readouterr().out
    assert "|base| ≥ 1e-6" in printed
    totals = finished(tmp_path / "out").json("changes")
    held = 100 * totals["sum_relative_near_zero"] / totals["sum_relative"]
    assert totals["sum_relative_near_zero"] == pytest.approx(1e5, rel=1e-3)
    assert f"1 base weights are 0 or nearly so and hold {held:.1f}% of Σr" in printed


def test_a_region_without_matrices_can_be_shown(pair, tmp_path, capsys):
    command, _ = pair
    region = ["--region", "*.q_proj.bias", "--spectrum", "--out", str(tmp_path / "out")]
    assert run_command([*command, *region]) == 0
    printed = capsys.readouterr().out
    assert "the region has no matrix: 1 tensors left out of the spectrum" in printed
    assert "top 10% of the region is less than half a weight" in printed


def test_a_top_of_no_weight_lies_nowhere(pair, tmp_path, capsys):
    command, _ = pair
    options = ["--region", "*.q_proj.bias", "--out", str(tmp_path / "out"), "--json"]
    assert run_command([*command, *options]) == 0
    json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    places = finished(tmp_path / "out").table("places").sort("top_percent")
    assert places["share_of_top"].to_list() == [None] * 4 + [1.0] * 3
    assert places["top_weights"].to_list() == [0, 0, 0, 0, 1, 2, 2]


def test_changed_line():
    assert words.changed_line(CHANGES) == (
        "150 of 1,000 weights of the region changed (15.0%); norm of the update 0.5, 5.00% of the "
        "base's"
    )
    assert words.changed_line({**CHANGES, "base_norm": 0.0}).endswith("norm of the update 0.5")


def test_places_by_hand():
    rows = {
        "top_percent": [10.0] * 3 + [40.0] * 3,
        "layer": [0, 1, 1] * 2,
        "block": ["q", "q", "up"] * 2,
        "numel": [100, 100, 200] * 2,
        "top_weights": [10.0, 20.0, 10.0, 100.0, 30.0, 30.0],
        "share_of_top": [0.25, 0.5, 0.25, 0.625, 0.1875, 0.1875],
        "share_of_region": [0.25, 0.25, 0.5] * 2,
    }
    places = pl.DataFrame(rows)
    assert words.shown_top(places) == 10
    assert words.places_table(places, "block").rows() == [
        ("q", "75.00%", "50.00%", "15.00%"),
        ("up", "25.00%", "50.00%", "5.00%"),
    ]
    assert words.places_table(places, "layer")["layer"].to_list() == ["0", "1"]
    line = words.layers_line(places)
    assert line == "top 10% by r over 2 layers: 25.00% (layer 0) to 75.00% (layer 1)"


def test_spectrum_shows_medians_and_the_error():
    names = {f"{kind}_{rank}": [0.1, 0.2, 0.6] for kind in ("share", "chance")
             for rank in words.RANKS}  # fmt: skip
    table = pl.DataFrame({"block": ["q"] * 3, "stable_rank": [2.0, None, 4.0],
                          "stable_rank_chance": [10.0] * 3, "error": [0.0, 0.0004, 0.0],
                          **names})  # fmt: skip
    (row,) = words.spectrum_table(table).to_dicts()
    assert (row["matrices"], row["stable rank"], row["by chance"]) == (3, "3.0", "10")
    assert row["rank 16 (chance)"] == "20.0% (20.0%)"
    assert "too low by 0.04%" in words.spectrum_line(table, 0)
    assert "left out" not in words.spectrum_line(table, 0)
    assert np.isfinite(float(row["stable rank"]))
