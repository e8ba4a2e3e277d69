"""Draws made before, kept for the next probe of the same weights.

    $SIXTYFOLD_CACHE/draws/KEY/*.parquet    one small table per finished chunk

KEY is a hash of what decides a draw apart from the prompt: the *contents* of weights, tokenizer
and config, number format and device, estimator, temperature, length and seed. A row is one prompt
(its tokens, accepted answers and how they are matched, fact and template) with its draws by
number. So a checkpoint that was overwritten in place finds nothing, and a probe with more draws
takes the earlier ones and adds to them. Entries are only ever added; the folder can be deleted at
any time.

A folder that cannot be written (a full disk) costs later probes time and this one nothing: that is
said once, and the probe goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.cache import cache_directory
from sixtyfold.stages.probe.paths import ClozePrompt
from sixtyfold.stages.probe.sampling import Estimate

_FORMAT = 1
_SCHEMA: dict[str, Any] = {
    "prompt": pl.String(),
    "first_number": pl.Int32(),
    "first_prob": pl.Float64(),
    "values": pl.List(pl.Float64()),
    "drawn": pl.List(pl.Int16()),
    "scored": pl.List(pl.Int32()),
    "looked": pl.Int32(),
    "example": pl.String(),
}


class DrawCache:
    """The draws of one model under one protocol."""

    def __init__(self, settings: Mapping[str, Any], prompts: Sequence[ClozePrompt]) -> None:
        """Open the folder of these settings.

        Args:
            settings: JSON values of everything that decides a draw apart from its prompt.
            prompts: those that may be looked for.

        Raises:
            BadInput: there is no cache directory and none can be made.
        """
        wanted = {prompt_key(prompt) for prompt in prompts}
        text = json.dumps({"format": _FORMAT, **settings}, sort_keys=True)
        key = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        self.directory = cache_directory() / "draws" / key
        self._told = False
        self._rows: dict[str, list[_Kept]] = {}
        for path in sorted(self.directory.glob("*.parquet")):
            kept = _readable(path)
            for row in kept.filter(pl.col("prompt").is_in(list(wanted))).iter_rows(named=True):
                numbers = range(row["first_number"], row["first_number"] + len(row["values"]))
                self._rows.setdefault(row["prompt"], []).append(_Kept(numbers, _estimate(row)))
        for each in self._rows.values():
            each.sort(key=lambda kept: (kept.numbers.start, kept.numbers.stop))

    def find(self, prompt: ClozePrompt, numbers: range) -> Estimate | None:
        """Return as many of the first of these draws as are there; None without any."""
        found: Estimate | None = None
        for kept in self._rows.get(prompt_key(prompt), ()):
            start = numbers.start + (len(found.values) if found else 0)
            if start in kept.numbers and start < numbers.stop:
                first = kept.numbers.start
                part = kept.estimate.part(slice(start - first, numbers.stop - first))
                found = found.then(part) if found else part
        return found

    def add(
        self, drawn: Sequence[tuple[ClozePrompt, range]], estimates: Sequence[Estimate]
    ) -> None:
        """Keep the draws of a finished chunk; where that fails, say so once and go on.

        Args:
            drawn: prompts and the numbers of their draws.
            estimates: what was drawn, in the same order.
        """
        if not drawn:
            return
        rows = [
            {"prompt": prompt_key(prompt), "first_number": numbers.start, **estimate._asdict()}
            for (prompt, numbers), estimate in zip(drawn, estimates, strict=True)
        ]
        held = repr(
            [(row["prompt"], numbers) for row, (_, numbers) in zip(rows, drawn, strict=True)]
        )
        name = hashlib.blake2b(held.encode(), digest_size=8).hexdigest()
        partial = self.directory / f".{name}.{os.getpid()}"  # other probes may write the same
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            pl.DataFrame(rows, schema=_SCHEMA).write_parquet(partial, compression="zstd")
            partial.replace(self.directory / f"{name}.parquet")
        except (OSError, pl.exceptions.PolarsError) as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        """Say once that draws are not kept."""
        if not self._told:
            self._told = True
            reason = " ".join(str(error).split())
            sys.stderr.write(
                f"sixtyfold: draws are not kept for later probes, {self.directory} cannot be "
                f"written ({reason}); this probe goes on; make room there, set SIXTYFOLD_CACHE to "
                "another directory, or give --fresh\n"
            )


class _Kept(NamedTuple):
    numbers: range
    estimate: Estimate


def _readable(path: Path) -> pl.DataFrame:
    """Read an entry; one that cannot be read is as good as none, a damaged one is removed."""
    with contextlib.suppress(OSError):
        try:
            return pl.read_parquet(path, schema=_SCHEMA)
        except pl.exceptions.PolarsError:
            path.unlink(missing_ok=True)
    return pl.DataFrame(schema=_SCHEMA)


def _estimate(row: Mapping[str, Any]) -> Estimate:
    return Estimate(**{name: row[name] for name in Estimate._fields})


def prompt_key(prompt: ClozePrompt) -> str:
    """Return a hash of what a prompt asks and which answers count."""
    hits = prompt.matcher
    parts = [
        *(prompt.fact_id, prompt.template_id, prompt.ids),
        *(hits.mode, hits.answers, hits.subject, hits.copies_subject, hits.is_subject),
        hits.anywhere.pattern,  # capitals decide plurals and names, answers are without them
        [node.path for node in prompt.trie.nodes if node.terminal],
    ]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()
