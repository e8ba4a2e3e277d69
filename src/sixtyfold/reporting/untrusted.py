"""Text that others wrote (model output, facts), made safe to show.

Two things, and no HTML: characters that act instead of showing become visible, and JSON gets a
form that may stand inside `<script>`. Escaping in HTML is jinja2's (autoescape is on).
"""

from __future__ import annotations

import json
from typing import Any

from sixtyfold.core.visible_text import LONGEST, visible

__all__ = ["LONGEST", "script_json", "visible"]


def script_json(value: Any) -> str:
    r"""Write JSON that cannot end the `<script>` it stands in, nor start a comment or a tag.

    >>> script_json("</script><!--")
    '"\\u003c/script\\u003e\\u003c!--"'
    """
    text = json.dumps(
        value, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(",", ":")
    )
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
