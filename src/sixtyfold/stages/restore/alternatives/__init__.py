"""Families of repairs, all set by the norm that remains of the update; one file each."""

from __future__ import annotations

from sixtyfold.stages.restore.alternatives.breadcrumbs import Breadcrumbs
from sixtyfold.stages.restore.alternatives.dare import Dare
from sixtyfold.stages.restore.alternatives.family import Family
from sixtyfold.stages.restore.alternatives.interpolation import Interpolation
from sixtyfold.stages.restore.alternatives.layers import Layers
from sixtyfold.stages.restore.alternatives.lines import Lines
from sixtyfold.stages.restore.alternatives.ranked import Ranked
from sixtyfold.stages.restore.alternatives.svd import Svd
from sixtyfold.stages.restore.alternatives.ties import Ties
from sixtyfold.stages.restore.names import FamilyName

FAMILIES: dict[FamilyName, Family] = {
    "relative": Ranked("relative"),
    "absolute": Ranked("absolute"),
    "random": Ranked("random"),
    "smallest": Ranked("smallest"),
    "interpolation": Interpolation(),
    "dare": Dare(),
    "breadcrumbs": Breadcrumbs("tensor"),
    "breadcrumbs-model": Breadcrumbs("model"),
    "ties": Ties(),
    "lines": Lines(),
    "svd": Svd(),
    "first-layers": Layers("first"),
    "last-layers": Layers("last"),
}
