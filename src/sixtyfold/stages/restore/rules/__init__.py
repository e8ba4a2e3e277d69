"""Rules that rank updates for restoring, one file each."""

from __future__ import annotations

from typing import Literal

from sixtyfold.stages.restore.rules import absolute, random, relative, smallest
from sixtyfold.stages.restore.rules.rule import Score

RuleName = Literal["relative", "absolute", "random", "smallest"]

RULES: dict[RuleName, Score] = {
    "relative": relative.score,
    "absolute": absolute.score,
    "random": random.score,
    "smallest": smallest.score,
}
