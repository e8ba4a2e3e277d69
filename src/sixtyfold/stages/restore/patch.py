"""A restored checkpoint in compact form: how to make it again from the models it was made of.

    patch.json            fingerprints, how to make it, SHA-256 of every weight file
    patch.safetensors     the weights themselves, only in the form `values`

Three forms need base and tuned model and a few kilobytes, so thirty restored checkpoints of a pair
take the disk of the two models. `threshold`: the rule with the exact score at which it was cut, and
the ties at that score; `factor`: the share that is kept of every update; `options`: the options
that restore was given, where their result is worked out again. The fourth, `values`
(`patch_values`), holds positions and bits of all weights that differ from the tuned model's; it
needs the tuned model alone.

A checkpoint that is made again is compared with the SHA-256 of the first one before it counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.atomic_files import read_json
from sixtyfold.core.checkpoint_pair import CheckpointPair, PairedTensor
from sixtyfold.core.errors import Corrupted
from sixtyfold.core.float_formats import Array
from sixtyfold.core.progress import progress
from sixtyfold.core.stage import StageDirectory
from sixtyfold.stages.restore.outcomes import NestedCuts, OnePlan, Outcome
from sixtyfold.stages.restore.patch_values import PatchedTuned, PatchValues, ValuesWriter
from sixtyfold.stages.restore.plans import InterpolatedPlan, RankedPlan
from sixtyfold.stages.restore.rules import RULES
from sixtyfold.stages.restore.spec import RestoreSpec
from sixtyfold.stages.restore.threshold import Cut, Ranking
from sixtyfold.stages.restore.write import RESTORED_SCHEMA, stream_file

FORMAT = 1
_FORMS = ("threshold", "factor", "options", "values")
_NOT_IN_A_RECIPE = {"base", "tuned", "revision", "allow_pickle", "out", "plan", "as_patch"}

WorkOut = Callable[[Mapping[str, Any], CheckpointPair], Outcome]


class Patch(NamedTuple):
    """What a patch directory holds."""

    directory: Path
    form: str
    """threshold, factor, options or values."""
    base: str
    """Fingerprint of the base."""
    tuned: str
    """Fingerprint of the tuned model."""
    files: dict[str, str]
    """Weight file to SHA-256."""
    recipe: dict[str, Any]
    """What the form needs besides."""

    @classmethod
    def read(cls, directory: Path) -> Patch:
        """Read `patch.json`.

        Raises:
            IncompleteInput: there is none.
            Corrupted: it is not readable, or of another version.
        """
        path = directory / "patch.json"
        try:
            value = dict(read_json(path))
            if value.pop("format") != FORMAT:
                raise Corrupted(f"{path} is of another version of sixtyfold; make the patch again")
            found = cls(directory, **value)
            found._check()
        except (KeyError, TypeError, ValueError) as error:
            raise Corrupted(f"{path} is no patch ({error!r}); make it again") from None
        return found

    def _check(self) -> None:
        """Raise ValueError or TypeError where a part is of another kind than a patch has."""
        texts = [self.form, self.base, self.tuned]
        if isinstance(self.files, dict):
            texts += self.files.values()
        if not all(isinstance(each, str) for each in texts) or self.form not in _FORMS:
            raise ValueError(f"form {self.form!r}")
        if not isinstance(self.files, dict) or not isinstance(self.recipe, dict):
            raise TypeError("no files or no recipe")

    def recorded(self) -> dict[str, Any]:
        """Return what `patch.json` says."""
        return {"format": FORMAT, **{k: v for k, v in self._asdict().items() if k != "directory"}}

    def outcome(self, pair: CheckpointPair, again: WorkOut) -> Outcome:
        """Return the checkpoint that the patch makes of its pair.

        Args:
            pair: the models the patch was made of.
            again: works a checkpoint out from the options of restore.

        Raises:
            Corrupted: it does not fit the pair.
        """
        try:
            if self.form == "options":
                return again(self.recipe, pair)
            pair.region(self.recipe["region"])
            if self.form == "values":
                return PatchedTuned(self.recipe["region"], PatchValues(self.directory))
            if self.form == "factor":
                return OnePlan(InterpolatedPlan(self.recipe["region"], float(self.recipe["alpha"])))
            return _cuts_of(self.recipe, pair)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise Corrupted(
                f"{self.directory / 'patch.json'} does not fit its models ({error!r}); make it "
                "again"
            ) from None


def write_patches(
    pair: CheckpointPair,
    outcome: Outcome,
    stages: Sequence[StageDirectory],
    inputs: Mapping[str, str],
    spec: RestoreSpec,
) -> list[pl.DataFrame]:
    """Write the patch of every checkpoint of an outcome instead of the checkpoints themselves.

    Args:
        pair: base and tuned.
        outcome: what the checkpoints hold.
        stages: one directory a checkpoint.
        inputs: fingerprints of `base` and `tuned`.
        spec: the options that the outcome was made of; with `patch_values` the weights are stored.

    Returns:
        the table `restored_weights` of every checkpoint, as `write_weights` returns it.

    Raises:
        BadInput: a base weight is beyond the tuned dtype's range.
        Corrupted: a weight is not a finite number.
        OSError: the disk is full; nothing is left that could be taken for a patch.
    """
    region = {tensor.name for tensor in pair.region(outcome.region)}
    recipes = _recipes(outcome, spec, len(stages))
    stored = [ValuesWriter(stage.path) if spec.patch_values else None for stage in stages]
    rows: list[list[dict[str, object]]] = [[] for _ in stages]
    hashes: list[dict[str, str]] = [{} for _ in stages]
    try:
        for file in progress(pair.tuned.files, "patch", len(pair.tuned.files)):
            copies = [_Hashed(each) for each in stored]
            stream_file(file, pair, outcome, region, copies)
            for index, copy in enumerate(copies):
                rows[index] += copy.rows
                hashes[index][file.name] = copy.digest.hexdigest()
        for each in stored:
            if each is not None:
                each.finish()
    finally:
        for each in stored:
            if each is not None:
                each.close()
    tables = []
    for index, stage in enumerate(stages):
        patch = Patch(
            stage.path, recipes[index].form, inputs["base"], inputs["tuned"], hashes[index],
            recipes[index].content,
        )  # fmt: skip
        table = pl.DataFrame(rows[index], RESTORED_SCHEMA).sort("tensor")
        tables.append(stage.write_table("restored_weights", table))
        stage.write_json("patch", patch.recorded())
    return tables


class _Hashed:
    """A weight file that is hashed and not written; its repaired weights go to a patch."""

    def __init__(self, values: ValuesWriter | None) -> None:
        self.rows: list[dict[str, object]] = []
        self.digest = hashlib.sha256()
        self._values = values

    def write(self, data: memoryview) -> None:
        self.digest.update(data)

    def put(self, paired: PairedTensor, start: int, raw: Array) -> None:
        self.digest.update(raw.data.cast("B"))
        if self._values is not None:
            self._values.add(paired.tuned, start, raw)


class _Recipe(NamedTuple):
    form: str
    content: dict[str, Any]


def _recipes(outcome: Outcome, spec: RestoreSpec, count: int) -> list[_Recipe]:
    """Return how every checkpoint is made again."""
    plan = outcome.plan if isinstance(outcome, OnePlan) else None
    if spec.patch_values:
        return [_Recipe("values", {"region": outcome.region})] * count
    if isinstance(plan, RankedPlan):
        outcome = NestedCuts.made_of(plan.region, [(plan.ranking, [plan.cut])])
    if isinstance(outcome, NestedCuts):
        return [_Recipe("threshold", _recipe_of(outcome, index)) for index in range(count)]
    if isinstance(plan, InterpolatedPlan):
        return [_Recipe("factor", {"region": plan.region, "alpha": plan.alpha})]
    options = spec.model_dump(mode="json", exclude_unset=True, exclude=_NOT_IN_A_RECIPE)
    return [_Recipe("options", options)] * count


def _recipe_of(outcome: NestedCuts, index: int) -> dict[str, Any]:
    """Return the cuts of one checkpoint: per ranking its tensors, and where it is cut."""
    groups = {id(group): group for group in outcome.groups.values()}.values()
    some = next(iter(groups)).ranking
    return {
        "region": outcome.region,
        "rule": some.rule,
        "seed": some.seed,
        "cuts": [
            {
                "tensors": [tensor.name for tensor in group.ranking.tensors],
                **group.cuts[index]._asdict(),
            }
            for group in groups
        ],
    }


def _cuts_of(recipe: Mapping[str, Any], pair: CheckpointPair) -> NestedCuts:
    """Return what `_recipe_of` wrote down."""
    groups = []
    for given in recipe["cuts"]:
        tensors = [pair.tensors[name] for name in given["tensors"]]
        ends = {str(name): int(end) for name, end in given["ends"].items()}
        found = Cut(int(given["number"]), int(given["key"]), ends)
        if recipe["rule"] not in RULES or not 0 <= found.key < 1 << 32:
            raise ValueError(f"rule {recipe['rule']}, score {found.key}")
        groups.append((Ranking(tensors, recipe["rule"], int(recipe["seed"])), [found]))
    outcome = NestedCuts.made_of(recipe["region"], groups)
    if outcome.groups.keys() != {tensor.name for tensor in pair.region(outcome.region)}:
        raise ValueError("its tensors are not those of the region")
    return outcome
