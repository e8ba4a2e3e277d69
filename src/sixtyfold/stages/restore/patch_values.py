"""The weights of a patch: which ones differ from the tuned model's, and their bits.

`patch.safetensors` holds for every tensor that differs three tensors of its own. Weights are looked
at in spans of `CHUNK`:

    spans:NAME    U32 (n, 3): first weight of a span, bytes of its gaps, number of its values
    gaps:NAME     U8: distance of each value from the one before it (from the start of the span,
                  less one, for the first); a byte of 255 is a distance of 255 without a value
    values:NAME   the values, in the tuned model's format

So a value costs one byte besides its own, whatever the size of the model.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from sixtyfold.core.checkpoint_pair import CHUNK, PairedTensor
from sixtyfold.core.errors import Corrupted
from sixtyfold.core.float_formats import RAW_TYPES, Array
from sixtyfold.core.safetensors_file import SafetensorsFile, StoredTensor
from sixtyfold.core.tensor_names import Region
from sixtyfold.core.weight_files import Weights
from sixtyfold.stages.restore.outcomes import Piece

NAME = "patch.safetensors"
_SKIP = 255

Gaps = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.intp]


def gaps_of(positions: Positions) -> Gaps:
    """Return ascending positions as distances of one byte.

    >>> gaps_of(np.array([0, 2, 300])).tolist()
    [0, 1, 255, 42]
    """
    distances = np.diff(positions, prepend=-1) - 1
    skips = distances // _SKIP
    ends = np.cumsum(skips + 1) - 1
    gaps = np.full(int(ends[-1]) + 1 if ends.size else 0, _SKIP, np.uint8)
    gaps[ends] = distances % _SKIP
    return gaps


def positions_of(gaps: Gaps) -> Positions:
    """Return what `gaps_of` was given.

    >>> positions_of(np.array([0, 1, 255, 42], np.uint8)).tolist()
    [0, 2, 300]
    """
    ends = np.flatnonzero(gaps != _SKIP)
    positions: Positions = np.cumsum(gaps, dtype=np.intp)[ends] + np.arange(ends.size)
    return positions


class _Written(NamedTuple):
    """A tensor of the patch while its weights come in."""

    dtype: str
    spans: list[tuple[int, int, int]]


class ValuesWriter:
    """Writes the weights of a patch as they come; call `finish`, and `close` in any case.

    Args:
        directory: where `patch.safetensors` is written.

    Raises:
        OSError: it cannot be written; nothing is left of it after `close`.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME
        self._parts = [directory / f".{NAME}.{part}.partial" for part in ("gaps", "values", "")]
        self._gaps: BinaryIO = self._parts[0].open("w+b")
        self._values: BinaryIO = self._parts[1].open("w+b")
        self._tensors: dict[str, _Written] = {}
        self._seen: dict[str, int] = {}

    def add(self, tuned: Weights, start: int, raw: Array) -> None:
        """Take the repaired weights of a tensor from flat index `start` on.

        Args:
            tuned: the tensor they are compared with, bit by bit.
            start: flat index of the first.
            raw: shape (n,), in the tensor's format.
        """
        if start < self._seen.get(tuned.name, 0):  # a tied head repeats its embedding
            return
        self._seen[tuned.name] = start + raw.size
        kind = f"u{raw.itemsize}"
        old = tuned.raw(start, start + raw.size)
        positions = np.flatnonzero(raw.view(kind) != old.view(kind))
        tuned.release(start, start + raw.size)
        if positions.size:
            gaps = gaps_of(positions)
            self._gaps.write(gaps.data)
            self._values.write(raw[positions].data.cast("B"))
            written = self._tensors.setdefault(tuned.name, _Written(tuned.dtype, []))
            written.spans.append((start, gaps.size, positions.size))

    def finish(self) -> None:
        """Put the file together and move it into place."""
        spans = {
            name: np.array(each.spans, "<u4").reshape(-1, 3) for name, each in self._tensors.items()
        }
        with self._parts[2].open("wb") as out:
            out.write(self._header(spans))
            for table in spans.values():
                out.write(table.data.cast("B"))
            for part in (self._gaps, self._values):
                part.seek(0)
                shutil.copyfileobj(part, out, 1 << 20)
        self._parts[2].replace(self._path)

    def close(self) -> None:
        """Close and remove what is unfinished."""
        self._gaps.close()
        self._values.close()
        for part in self._parts:
            part.unlink(missing_ok=True)

    def _header(self, spans: dict[str, npt.NDArray[np.uint32]]) -> bytes:
        entries: dict[str, object] = {}
        end = 0
        for part in ("spans", "gaps", "values"):
            for name, table in spans.items():
                dtype, width, shape = "U32", 4, list(table.shape)
                if part == "gaps":
                    dtype, width, shape = "U8", 1, [int(table[:, 1].sum())]
                elif part == "values":
                    dtype = self._tensors[name].dtype
                    width, shape = RAW_TYPES[dtype].itemsize, [int(table[:, 2].sum())]
                start, end = end, end + width * int(np.prod(shape))
                entries[f"{part}:{name}"] = {
                    "dtype": dtype,
                    "shape": shape,
                    "data_offsets": [start, end],
                }
        text = json.dumps(entries, ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text


class PatchedSpan(NamedTuple):
    """Weights of a tensor that a patch changes."""

    start: int
    """Flat index that positions count from."""
    positions: Positions
    values: Array
    """In the tensor's format."""


class PatchValues:
    """The weights of a patch, read span by span.

    Args:
        directory: the patch.

    Raises:
        BadInput: there is no `patch.safetensors`.
        Corrupted: it is damaged.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME
        self._tensors = SafetensorsFile(self._path).tensors

    def spans(self, name: str) -> Iterator[PatchedSpan]:
        """Go through what changes in a tensor, in flat order; nothing if it does not."""
        if f"spans:{name}" not in self._tensors:
            return
        try:
            table, gaps, values = (
                self._tensors[f"{part}:{name}"] for part in ("spans", "gaps", "values")
            )
            yield from _spans(table, gaps, values)
        except (KeyError, ValueError):
            raise Corrupted(f"{self._path} is damaged at tensor '{name}'; make it again") from None


def _spans(table: StoredTensor, gaps: StoredTensor, values: StoredTensor) -> Iterator[PatchedSpan]:
    gap = value = 0
    for start, bytes_of_gaps, count in table.raw().reshape(table.shape).tolist():
        own = gaps.raw(gap, gap + bytes_of_gaps).view(np.uint8)
        found = PatchedSpan(start, positions_of(own), values.raw(value, value + count))
        if found.positions.size != found.values.size:
            raise ValueError
        yield found
        gaps.release(gap, gap + bytes_of_gaps)
        values.release(value, value + count)
        gap, value = gap + bytes_of_gaps, value + count


class PatchedTuned(NamedTuple):
    """The checkpoint that a patch with weights makes of its tuned model; an `Outcome`.

    It does not look at the base, so its pieces do not say how much remains of the update.
    """

    region: Region
    values: PatchValues

    def pieces(self, tensors: Sequence[PairedTensor]) -> Iterator[list[Piece]]:
        """Go through tensors run by run; see `Outcome`.

        Raises:
            Corrupted: the patch does not fit a tensor.
        """
        for tensor in tensors:
            try:
                for raw, changed in _patched(tensor, self.values.spans(tensor.name)):
                    yield [Piece(raw, changed, changed, 0, 0.0)]
            except (IndexError, TypeError, ValueError):
                raise Corrupted(
                    f"the patch does not fit tensor '{tensor.name}'; make the patch again"
                ) from None


def _patched(tensor: PairedTensor, spans: Iterator[PatchedSpan]) -> Iterator[tuple[Array, int]]:
    """Go through a tensor's weights with the patch applied, and how many it changed."""
    span = next(spans, None)
    for start in range(0, tensor.numel, CHUNK):
        stop = min(start + CHUNK, tensor.numel)
        raw = tensor.tuned.raw(start, stop).copy()
        tensor.tuned.release(start, stop)
        changed = 0
        while span is not None:
            indices = span.positions + span.start
            inside = int(np.searchsorted(indices, stop))
            raw[indices[:inside] - start] = span.values[:inside]
            changed += inside
            if inside < indices.size:
                span = PatchedSpan(span.start, span.positions[inside:], span.values[inside:])
                break
            span = next(spans, None)
        yield raw, changed
