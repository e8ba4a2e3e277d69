"""What a script gets with `--json`."""

from __future__ import annotations

import json
import math
from typing import Any


def json_document(value: Any, encoding: str | None = "utf-8") -> str:
    r"""Return a result as one JSON document; numbers that JSON has not (NaN) are null.

    Args:
        value: what a command returns for scripts.
        encoding: of the stream it goes to; other than UTF-8 gets ASCII alone.

    >>> json_document({"share": float("nan"), "name": "é"}, "ascii")
    '{\n  "share": null,\n  "name": "\\u00e9"\n}\n'
    """
    plain = (encoding or "").lower().replace("-", "") != "utf8"
    told = _finite(value)
    return json.dumps(told, indent=2, ensure_ascii=plain, allow_nan=False, default=str) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
