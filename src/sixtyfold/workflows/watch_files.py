"""What a watch writes: figures and answers of each step, the base's distributions, kept weights.

    out/step-000050.parquet     the figures of one step
    out/answers-000050.parquet  its answers
    out/base.safetensors        the base's distributions (level-4 facts × vocabulary)
    out/best.safetensors        weights of the best step, where a rule keeps them
    out/watch.json              rule, chosen step, cost, steps left out

The kept weights carry the figures by which they were chosen, so that a training that goes on after
a kill, at an earlier step than theirs, knows what it holds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from sixtyfold.core.atomic_files import write_atomic, write_json, write_parquet
from sixtyfold.core.checkpoint_saving import told_as_disk_errors
from sixtyfold.workflows.watch_figures import SCHEMA
from sixtyfold.workflows.watch_rule import Judged

if TYPE_CHECKING:
    import torch

_BEST = "best.safetensors"
_BASE = "base.safetensors"


class WatchFiles:
    """The directory of a watch; without one nothing is written and nothing found."""

    def __init__(self, place: Path | None) -> None:
        self.place = place

    def begin(self, step: int) -> pl.DataFrame:
        """Return the figures seen up to the step at which a training begins or goes on.

        What came later is removed, and of a training that begins at step 0 all there was.

        Raises:
            OSError: the directory cannot be made or read.
        """
        none = pl.DataFrame(schema=SCHEMA)
        if self.place is None:
            return none
        self.place.mkdir(parents=True, exist_ok=True)
        seen = [none]
        for path in sorted(self.place.glob("step-*.parquet")):
            if 0 < step >= int(path.stem.split("-")[1]):
                seen.append(pl.read_parquet(path, schema=SCHEMA))
            else:
                path.unlink()
                path.with_name(path.name.replace("step-", "answers-")).unlink(missing_ok=True)
        if step == 0:
            (self.place / _BEST).unlink(missing_ok=True)
            (self.place / _BASE).unlink(missing_ok=True)
        return pl.concat(seen)

    def write_step(self, step: int, figures: pl.DataFrame, answers: pl.DataFrame) -> None:
        """Write the tables of one step.

        Raises:
            OSError: they cannot be written.
        """
        if self.place is not None:
            write_parquet(self.place / f"answers-{step:06d}.parquet", answers)
            write_parquet(self.place / f"step-{step:06d}.parquet", figures)

    def write_base(self, base_NV: torch.Tensor | None) -> None:
        """Write the base's log-probabilities [facts of level 4, V].

        Raises:
            OSError: they cannot be written.
        """
        if base_NV is not None:
            self._write_tensors(_BASE, {"base": base_NV.contiguous()})

    def base(self) -> torch.Tensor | None:
        """Return the base's log-probabilities, None where none were written."""
        from safetensors.torch import load_file

        if self.place is None or not (self.place / _BASE).is_file():
            return None
        return load_file(self.place / _BASE)["base"]

    def keep(self, step: Judged, model: Any) -> None:
        """Write the trained weights of a model in place of those kept before.

        Raises:
            OSError: they cannot be written; those kept before stay.
        """
        weights = {name: value.detach().cpu().contiguous() for name, value in _trained(model)}
        self._write_tensors(_BEST, weights, {"judged": json.dumps(step)})

    def kept(self) -> Judged | None:
        """Return the figures of the weights kept, None where there are none."""
        from safetensors import safe_open

        if self.place is None or not (self.place / _BEST).is_file():
            return None
        with safe_open(self.place / _BEST, "pt") as weights:
            return Judged(*json.loads(weights.metadata()["judged"]))

    def put_back(self, model: Any) -> None:
        """Put the kept weights into a model."""
        import torch
        from safetensors import safe_open

        if self.place is not None:
            with torch.no_grad(), safe_open(self.place / _BEST, "pt") as weights:
                for name, value in _trained(model):
                    value.copy_(weights.get_tensor(name))

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary.

        Raises:
            OSError: it cannot be written.
        """
        if self.place is not None:
            write_json(self.place / "watch.json", summary)

    def _write_tensors(
        self, name: str, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None
    ) -> None:
        from safetensors.torch import save_file

        if self.place is None:
            return
        path = self.place / name
        with told_as_disk_errors(path):
            write_atomic(path, lambda partial: save_file(tensors, partial, metadata))


def forget_weights(place: Path) -> None:
    """Remove the kept weights of a finished watch, once they are saved elsewhere."""
    (place / _BEST).unlink(missing_ok=True)


def _trained(model: Any) -> list[tuple[str, torch.Tensor]]:
    return [(name, value) for name, value in model.named_parameters() if value.requires_grad]
