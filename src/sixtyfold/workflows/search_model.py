"""One loaded model that becomes one candidate after another, in memory."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import polars as pl

from sixtyfold.core.accuracy import ANSWERS_SCHEMA
from sixtyfold.core.errors import BadInput
from sixtyfold.core.float_formats import Floats
from sixtyfold.core.loadable import loadable, remove_copy
from sixtyfold.core.models import release_model
from sixtyfold.core.stage import StageDirectory
from sixtyfold.core.tensor_names import canonical
from sixtyfold.stages.restore.candidates import Candidate, Candidates
from sixtyfold.workflows.search_questions import Questions
from sixtyfold.workflows.search_spec import SearchSpec

if TYPE_CHECKING:
    from sixtyfold.engines.torch_engine import TorchEngine


class CandidateModel:
    """The tuned model, loaded when it is first asked; use it in a `with` block.

    Where the tuned model is a LoRA adapter or a pickle, it is written out while it is loaded.

    Norms are those of the float32 weights. The model that answers runs in the number format of
    `--dtype`, to which every candidate, the tuned model included, is rounded.
    """

    def __init__(
        self,
        spec: SearchSpec,
        candidates: Candidates,
        questions: Questions,
        stage: StageDirectory,
    ) -> None:
        self._spec = spec
        self._questions = questions
        self._candidates = candidates
        self._stage = stage
        self._engine: TorchEngine | None = None
        self._now: Candidate | None = None

    def __enter__(self) -> Self:
        remove_copy(self._stage.path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The model kept for the next stage was overwritten; it is no longer what was loaded.
        if self._engine is not None:
            self._engine = None
            release_model()

    def answers(self, candidate: Candidate, facts: pl.DataFrame) -> pl.DataFrame:
        """Answer questions with a candidate's weights; sorted by key."""
        if facts.is_empty():
            return pl.DataFrame(schema=ANSWERS_SCHEMA)
        engine = self._engine or self._load()
        if self._now is not candidate:
            with self._stage.timed("apply"):
                overwrite(engine, self._candidates.tensors(candidate))
            self._now = candidate
        with self._stage.timed("answer"):
            return self._questions.ask(engine, facts)

    def base_answers(self, facts: pl.DataFrame) -> pl.DataFrame:
        """Answer questions with the base itself, before the tuned model is loaded."""
        from sixtyfold.engines.torch_engine import TorchEngine

        base = self._candidates.pair.base
        with self._stage.timed("load"), loadable(base, self._stage.path) as directory:
            engine = TorchEngine.load(str(directory), self._spec)
        with self._stage.timed("answer"):
            return self._questions.ask(engine, facts)

    def _load(self) -> TorchEngine:
        from sixtyfold.engines.torch_engine import TorchEngine

        tuned = self._candidates.pair.tuned
        with self._stage.timed("load"), loadable(tuned, self._stage.path) as directory:
            # By directory: --revision is the base's, of the tuned model it would be another one.
            self._engine = TorchEngine.load(str(directory), self._spec)
        return self._engine


def overwrite(engine: TorchEngine, tensors: Iterable[tuple[str, Floats]]) -> None:
    """Overwrite weights of a loaded model, by name.

    Raises:
        BadInput: the loaded model has no weight of this name and size.
    """
    import torch

    weights = {canonical(name): value for name, value in engine.model.state_dict().items()}
    with torch.no_grad():
        for name, values in tensors:
            weight = weights.get(canonical(name))
            if weight is None or weight.shape != values.shape:
                raise BadInput(
                    f"weight '{name}' of the checkpoint has no counterpart of shape "
                    f"{list(values.shape)} in the model as transformers loads it; write candidates "
                    "with 'sixtyfold restore' and judge them with 'sixtyfold evaluate'"
                )
            weight.copy_(torch.from_numpy(values))
