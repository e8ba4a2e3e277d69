"""Two passes, one model in memory at a time.

First pass: the tuned model's logits at every token of the right answers, chunk by chunk, into
scratch files among the stage's parts. Second pass: the base model reads the same prompts, each
chunk is reduced to a few numbers per fact and token, and its scratch file goes away. (The tuned
model comes first because P2's drift needs its top 10 before the base's logits: so the base's are
never stored.) A chunk whose reduced parts lie there is not made again in either pass.
"""

from __future__ import annotations

import gc
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sixtyfold.core.atomic_files import write_atomic
from sixtyfold.core.errors import BadInput
from sixtyfold.core.models import release_model
from sixtyfold.core.progress import progress
from sixtyfold.core.stage import StageDirectory
from sixtyfold.stages.drift.measures import row_measures, top_k_kl
from sixtyfold.stages.drift.prompts import Prompts, answer_rows
from sixtyfold.stages.drift.spec import DriftSpec
from sixtyfold.stages.drift.tokens import token_sums

if TYPE_CHECKING:
    from sixtyfold.engines.torch_engine import TorchEngine

Logits = NDArray[np.float32]
PARTS = ("drift_positions", "drift_tokens", "drift")  # the last one says that a chunk is done


class Work(NamedTuple):
    """What the passes go through."""

    facts: pl.DataFrame
    prompts: Prompts
    chunks: list[list[int]]


def run_passes(stage: StageDirectory, work: Work, spec: DriftSpec) -> None:
    """Make all parts that are not there yet.

    Raises:
        BadInput: the disk has no room for the scratch files.
    """
    todo = [index for index in range(len(work.chunks)) if not stage.has_part(PARTS[-1], index)]
    missing = [index for index in todo if not scratch_file(stage, index).is_file()]
    # Each pass is a call of its own: when it returns, nothing holds its model any more.
    if missing:
        with stage.timed("tuned"):
            _store_tuned(stage, work, missing, spec)
    if todo:
        with stage.timed("base"):
            _reduce_base(stage, work, todo, spec)


def _store_tuned(stage: StageDirectory, work: Work, missing: list[int], spec: DriftSpec) -> None:
    engine = _only_engine(spec.tuned, spec)
    rows = sum(answer_rows(work.prompts, work.chunks[index]) for index in missing)
    refuse_without_room(stage.path, 4 * rows * engine.vocabulary_size)
    for index in progress(missing, "drift: tuned", len(missing)):
        question, answer = _of(work, index)
        _store(scratch_file(stage, index), answer_logits(engine, question, answer))


def _reduce_base(stage: StageDirectory, work: Work, todo: list[int], spec: DriftSpec) -> None:
    engine = _only_engine(spec.base, spec)
    for index in progress(todo, "drift: base", len(todo)):
        _reduce(stage, engine, work, index)


def scratch_file(stage: StageDirectory, index: int) -> Path:
    """Return where the tuned model's logits of a chunk lie between the passes."""
    return stage.parts / f"tuned-{index:05d}.npy"


def refuse_without_room(path: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        BadInput: fewer than `needed` bytes are free where `path` lies.
    """
    free = shutil.disk_usage(path).free
    if free < needed:
        raise BadInput(
            f"{path} has {free / 1e9:.1f} GB free and drift needs {needed / 1e9:.1f} GB there "
            "for a while; choose another --out, or measure fewer facts (--levels 4)"
        )


def _only_engine(reference: str, spec: DriftSpec) -> TorchEngine:
    """Load a model after the one before it has left memory."""
    from sixtyfold.engines.torch_engine import TorchEngine

    release_model()
    gc.collect()
    return TorchEngine.load(reference, spec)


def _store(path: Path, logits: Logits) -> None:
    path.parent.mkdir(exist_ok=True)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as handle:
            np.save(handle, logits)

    write_atomic(path, write)


def _of(work: Work, index: int) -> tuple[list[list[int]], list[list[int]]]:
    chunk = work.chunks[index]
    return ([work.prompts.question[each] for each in chunk],
            [work.prompts.answer[each] for each in chunk])  # fmt: skip


def answer_logits(
    engine: TorchEngine, prompts: list[list[int]], answers: list[list[int]]
) -> Logits:
    """Return a model's logits at every token of the given answers, behind their prompts.

    Args:
        engine: the model.
        prompts: B prompts.
        answers: B answers of at least one token.

    Returns:
        float32[R, V], R = all tokens of all answers: those of the first answer, then those of the
        second. Row t of an answer is the distribution that its token t is drawn from.
    """
    batch = engine.prefill(prompts)
    firsts = batch.logits_BV.float().cpu().numpy()
    starts = np.cumsum([0, *map(len, answers)])
    found = np.empty((int(starts[-1]), firsts.shape[1]), dtype=np.float32)
    found[starts[:-1]] = firsts
    longer = [row for row, answer in enumerate(answers) if len(answer) > 1]
    if longer:
        rest = batch.fork(longer).extend([answers[row][:-1] for row in longer])
        for row, logits in zip(longer, rest, strict=True):
            start, further = int(starts[row]) + 1, len(answers[row]) - 1
            found[start : start + further] = logits[:further].float().cpu().numpy()
    return found


def _reduce(stage: StageDirectory, engine: TorchEngine, work: Work, index: int) -> None:
    """Compare one chunk, write its parts and drop its scratch file."""
    chunk = work.chunks[index]
    question, answer = _of(work, index)
    scratch = scratch_file(stage, index)
    tuned = np.load(scratch, mmap_mode="r", allow_pickle=False)
    base = answer_logits(engine, question, answer)
    cloze = engine.prefill([work.prompts.cloze[each] for each in chunk]).logits_BV
    firsts = np.cumsum([0, *map(len, answer)])[:-1]
    stage.write_part("drift_tokens", index, token_sums(tuned[firsts], base[firsts]))
    positions = _positions(work.facts[chunk], answer, tuned, base)
    stage.write_part("drift_positions", index, positions)
    kl_top10, covered = top_k_kl(tuned[firsts], cloze.float().cpu().numpy())
    facts = _facts(work.facts[chunk], positions, kl_top10, covered)
    stage.write_part("drift", index, facts)
    scratch.unlink()


def _positions(
    facts: pl.DataFrame, answers: list[list[int]], tuned: Logits, base: Logits
) -> pl.DataFrame:
    """Return one row per fact and answer token."""
    ids = np.concatenate([np.asarray(answer, dtype=np.int64) for answer in answers])
    lengths = [len(answer) for answer in answers]
    measured = row_measures(tuned, base, ids)
    return pl.DataFrame(
        {
            "fact_id": np.repeat(facts["fact_id"].to_numpy(), lengths),
            "position": np.concatenate([np.arange(1, n + 1) for n in lengths]).astype(np.int32),
            "token": ids,
            **measured._asdict(),
        }
    )


def _facts(
    facts: pl.DataFrame, positions: pl.DataFrame, kl_top10: NDArray[np.float64],
    covered: NDArray[np.float64],
) -> pl.DataFrame:  # fmt: skip
    """Return one row per fact: its first token, and the sums over its answer."""
    whole = positions.group_by("fact_id").agg(
        answer_tokens=pl.len().cast(pl.Int32),
        whole_logp_base=pl.col("logp_base").sum(),
        whole_logp_tuned=pl.col("logp_tuned").sum(),
    )
    first = (
        positions.filter(pl.col("position") == 1)
        .drop("position", "token")
        .rename({"logp_base": "answer_logp_base", "logp_tuned": "answer_logp_tuned"})
    )
    own = facts.select("fact_id", "relation", "domain", "level").with_columns(
        kl_top10=pl.Series(kl_top10), base_mass_top10=pl.Series(covered)
    )
    columns = [
        *("fact_id", "relation", "domain", "level", "answer_tokens"),
        *("kl_top10", "base_mass_top10", "kl_tuned_base", "kl_base_tuned", "js"),
        *("answer_logp_base", "answer_logp_tuned", "whole_logp_base", "whole_logp_tuned"),
        *("outside_base", "outside_tuned"),
    ]
    joined = own.join(first, on="fact_id").join(whole, on="fact_id")
    return joined.select(columns)
