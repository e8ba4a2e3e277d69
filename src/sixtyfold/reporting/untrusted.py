"""Text that others wrote (model output, facts), made safe to show.

Two things, and no HTML: characters that act instead of showing become visible, and JSON gets a
form that may stand inside `<script>`. Escaping in HTML is jinja2's (autoescape is on). Numbers that
are none (a training that diverged) are null in JSON, which has no word for them.
"""

from __future__ import annotations

import json
import math
from typing import Any

from sixtyfold.core.visible_text import LONGEST, visible

__all__ = ["LONGEST", "finite", "script_json", "visible"]


def script_json(value: Any) -> str:
    r"""Write JSON that cannot end the `<script>` it stands in, nor start a comment or a tag.

    >>> script_json("</script><!--")
    '"\\u003c/script\\u003e\\u003c!--"'
    """
    text = json.dumps(
        finite(value), ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(",", ":")
    )
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def finite(value: Any) -> Any:
    """Return a value of JSON in which numbers that are not finite are None.

    >>> finite({"a": [1.5, float("nan")], "b": float("inf")})
    {'a': [1.5, None], 'b': None}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value
