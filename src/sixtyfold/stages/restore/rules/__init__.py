"""Rules that rank updates for restoring, one file each."""

from __future__ import annotations

from sixtyfold.stages.restore.names import RuleName
from sixtyfold.stages.restore.rules import absolute, random, relative, smallest
from sixtyfold.stages.restore.rules.rule import Score

RULES: dict[RuleName, Score] = {
    "relative": relative.score,
    "absolute": absolute.score,
    "random": random.score,
    "smallest": smallest.score,
}
