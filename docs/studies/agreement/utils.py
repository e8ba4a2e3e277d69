"""The documents of the task `agreement`, as lm-eval loads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datasets import Dataset


def load(**_: Any) -> dict[str, Dataset]:
    """Return the pairs of sentences."""
    with Path(__file__).with_name("agreement.jsonl").open(encoding="utf-8") as lines:
        return {"test": Dataset.from_list([json.loads(line) for line in lines])}
