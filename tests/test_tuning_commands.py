from __future__ import annotations

from pathlib import Path

import pytest

from sixtyfold.cli import run_command
from sixtyfold.console_tuning import ladder_words


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"enough": 60, "best": 240}, "60 examples are enough: less than 2 points below the best"),
        ({"enough": 240, "best": 240}, "no smaller size is shown to be within 2 points"),
        ({"enough": 30, "best": 30}, "30 examples are enough: the best on dev, and nothing"),
        ({"enough": 60, "best": 60, "hurts": [120, 240]}, "more hurts at 120, 240"),
    ],
)
def test_what_a_ladder_says(chosen: dict[str, object], words: str) -> None:
    assert words in ladder_words({"delta_points": 2, "hurts": [], **chosen}, 30)


def test_a_watched_training_shows_every_step_that_was_asked(
    planted: Path, selected: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f"tune --model {planted} --facts {planted} --selection {selected} --watch 2"
    assert run_command(f"{command} --batch 8 --out {tmp_path}/tuned".split()) == 0
    shown = capsys.readouterr().out
    steps = [line.split()[1] for line in shown.splitlines() if line.startswith("│")]
    assert steps in (["0", "2", "4"], ["0", "4"])
    assert ("at steps 2" in shown) == ("2" not in steps)
    assert "of the time" in shown
    assert {"step", "in"} <= set(shown.split())
