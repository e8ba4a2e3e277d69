"""The two models of a pair, found by what a user calls them, with fingerprints of their contents.

    models = find_pair(spec.base, spec.tuned, spec.revision, allow_pickle=spec.allow_pickle)
    with open_stage(name, spec, models.inputs): pair = models.open()

The tuned model may be a LoRA adapter; with `allow_pickle` either may be a pickle checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sixtyfold.core.checkpoint import (
    holds_whole_model,
    is_adapter,
    pickle_files,
    pickled_weights,
)
from sixtyfold.core.checkpoint_pair import CheckpointPair, open_pair
from sixtyfold.core.errors import BadInput
from sixtyfold.core.models import (
    check_model_directory,
    model_directory,
    model_fingerprint,
    refuse_unfinished,
)
from sixtyfold.core.threads import in_order


class PairModels(NamedTuple):
    """Where a base and a tuned model are."""

    base: Path
    tuned: Path
    inputs: dict[str, str]
    """Their fingerprints, as a stage records its inputs."""
    allow_pickle: bool

    def open(self) -> CheckpointPair:
        """Open both; raises what `open_pair` raises."""
        return open_pair(self.base, self.tuned, allow_pickle=self.allow_pickle)

    def check_unchanged(self) -> None:
        """Look at both again, after they were read; a result must be of what `inputs` says.

        Raises:
            BadInput: one of them is no longer what it was when it was found.
        """
        for name, directory in (("base", self.base), ("tuned", self.tuned)):
            if _fingerprint(directory) != self.inputs[name]:
                raise BadInput(
                    f"the {name} model {directory} was changed while it was read; "
                    "when it is finished, give the command again with another --out"
                )


def find_pair(
    base: str, tuned: str, revision: str | None = None, *, allow_pickle: bool = False
) -> PairModels:
    """Find a base and a tuned model.

    Args:
        base: `embedded`, a directory, a GGUF file or a Hugging Face id.
        tuned: the same, or a LoRA adapter of that base.
        revision: branch, tag or commit of the base.
        allow_pickle: take local directories that hold their weights as pickles.

    Raises:
        BadInput: a model is missing, or holds no weights that may be read.
        IncompleteInput: it is a stage that was not finished.
        Corrupted: a GGUF file or a shard index is damaged.
    """

    def whole(path: Path) -> Path:
        pickles = [] if holds_whole_model(path) else pickled_weights(path)
        if pickles and not allow_pickle:
            raise BadInput(
                f"{path} holds its weights as a pickle ({pickles[0].name}), which can run code "
                "when opened; save them as safetensors where you trust it, or give --allow-pickle"
            )
        return refuse_unfinished(path) if pickles else check_model_directory(path)

    def whole_or_adapter(path: Path) -> Path:
        return refuse_unfinished(path) if is_adapter(path) else whole(path)

    before = model_directory(base, revision, whole)
    after = model_directory(tuned, check=whole_or_adapter)
    prints = in_order(_fingerprint, (before, after))
    inputs = dict(zip(("base", "tuned"), prints, strict=True))
    return PairModels(before, after, inputs, allow_pickle)


def _fingerprint(directory: Path) -> str:
    """Return the fingerprint of a model's contents, its pickles only where they are its weights."""
    return model_fingerprint(directory, pickle_files(directory))
