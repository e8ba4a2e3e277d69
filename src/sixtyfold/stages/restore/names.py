"""Names of the rules that rank weights and of all families of repairs.

Apart from the packages that hold them, because help is shown without loading those.
"""

from __future__ import annotations

from typing import Literal

RuleName = Literal["relative", "absolute", "random", "smallest"]

FamilyName = Literal[
    RuleName,
    "interpolation",
    "dare",
    "breadcrumbs",
    "breadcrumbs-model",
    "ties",
    "lines",
    "svd",
    "first-layers",
    "last-layers",
]
