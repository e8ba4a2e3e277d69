"""Draw a whole probe: chunk by chunk, killed and continued, with draws that are known already.

Two passes. The first gives every prompt its pilot (or, evenly allocated, all its draws); what it
found decides how many further draws each prompt gets (`schedule.py`), which the second pass makes.
Chunks follow from the prompts and the first pass alone, so a continued probe has the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.stage import StageDirectory
from sixtyfold.engines.memory import ran_out_of_memory
from sixtyfold.engines.torch_engine import TorchEngine
from sixtyfold.stages.probe.draw_cache import DrawCache
from sixtyfold.stages.probe.paths import ClozePrompt
from sixtyfold.stages.probe.record import Asked, joined, prompt_rows
from sixtyfold.stages.probe.sampling import ROULETTE, Estimate, Sampling, sample_prompts
from sixtyfold.stages.probe.schedule import Pilot, further_draws

Chunk = list[tuple[ClozePrompt, range]]


class Drawing:
    """Makes the draws of one probe and writes them down as parts of its stage."""

    def __init__(
        self,
        stage: StageDirectory,
        engine: TorchEngine,
        how: Sampling,
        rows: int,
        cache: DrawCache | None,
    ) -> None:
        """Prepare.

        Args:
            stage: where parts are written.
            engine: the model.
            how: how to draw.
            rows: most draws that run together.
            cache: draws made before, if they may be used.
        """
        self.stage = stage
        self.engine = engine
        self.how = how
        self.rows = rows
        self.cache = cache

    def even(self, prompts: Sequence[ClozePrompt], draws: int) -> pl.DataFrame:
        """Give every prompt the same number of draws.

        Returns:
            the rows of `probe_prompts`, sorted by key.
        """
        parts = self._draw_all("probe_prompts", [(each, range(draws)) for each in prompts])
        return joined(parts)

    def allocated(self, prompts: Sequence[ClozePrompt], draws: float) -> pl.DataFrame:
        """Give every prompt a pilot and further draws where they tell most.

        Args:
            prompts: all prompts of all facts.
            draws: draws per prompt on average, at least 1.

        Returns:
            the rows of `probe_prompts`, sorted by key.
        """
        pilot = self.even(prompts, 1)
        total = round((draws - 1.0) * len(prompts))
        if total <= 0:
            return pilot
        further = further_numbers(pilot, total, self.how.seed)
        wanted = [
            (each, range(1, 1 + further[each.fact_id, each.template_id]))
            for each in prompts
            if further[each.fact_id, each.template_id] > 0
        ]
        return joined([pilot, *self._draw_all("further", wanted)])

    def _draw_all(self, name: str, wanted: Chunk) -> list[pl.DataFrame]:
        chunks = fixed_chunks(wanted, self.rows)
        return self.stage.make_parts(name, chunks, self._draw, "probe")

    def _draw(self, chunk: Chunk) -> pl.DataFrame:
        known = [self.cache.find(*each) if self.cache else None for each in chunk]
        missing = [
            (prompt, numbers[len(found.values) :] if found else numbers)
            for (prompt, numbers), found in zip(chunk, known, strict=True)
        ]
        asked = [each for each in missing if each[1]]
        made = draw_in_memory(self.engine, asked, self.how)
        if self.cache:
            self.cache.add(asked, made)
        fresh = iter(made)
        estimates = []
        for found, (_, numbers) in zip(known, missing, strict=True):
            parts = [*([found] if found else []), *([next(fresh)] if numbers else [])]
            estimates.append(parts[0] if len(parts) == 1 else parts[0].then(parts[1]))
        keys = [Asked(each.fact_id, each.template_id, len(each.ids)) for each, _ in chunk]
        return prompt_rows(keys, estimates, counts_hits=self.how.estimator == "draws")


def fixed_chunks(wanted: Chunk, rows: int) -> list[Chunk]:
    """Cut prompts into chunks of at most `rows` draws, longest prompts first.

    A prompt with more draws than that has a chunk to itself.
    """
    order = sorted(range(len(wanted)), key=lambda index: (-len(wanted[index][0].ids), index))
    chunks: list[Chunk] = []
    left = 0
    for index in order:
        draws = len(wanted[index][1])
        if not chunks or draws > left:
            chunks.append([])
            left = rows
        chunks[-1].append(wanted[index])
        left -= draws
    return chunks


def draw_in_memory(engine: TorchEngine, chunk: Chunk, how: Sampling) -> list[Estimate]:
    """Draw a chunk; where memory runs out, draw it in halves.

    Raises:
        BadInput: there is not enough memory for a single draw.
    """
    if not chunk:
        return []
    try:
        return sample_prompts(engine, [p for p, _ in chunk], [n for _, n in chunk], how)
    except RuntimeError as error:
        if not ran_out_of_memory(error):
            raise
    if len(chunk) > 1:
        half = len(chunk) // 2
        return [
            *draw_in_memory(engine, chunk[:half], how),
            *draw_in_memory(engine, chunk[half:], how),
        ]
    prompt, numbers = chunk[0]
    if len(numbers) == 1:
        raise BadInput(
            f"memory does not suffice for a single draw of {len(prompt.ids)} + "
            f"{how.max_new_tokens} tokens; use a smaller model, --dtype or --max-new-tokens"
        )
    half = len(numbers) // 2
    (first,) = draw_in_memory(engine, [(prompt, numbers[:half])], how)
    (second,) = draw_in_memory(engine, [(prompt, numbers[half:])], how)
    return [first.then(second)]


def further_numbers(pilot: pl.DataFrame, total: int, seed: int) -> dict[tuple[str, int], int]:
    """Return how many further draws each (fact, template) gets after its pilot.

    Args:
        pilot: rows of `probe_prompts` with one draw each, sorted by key.
        total: further draws of all prompts together.
        seed: the probe's.
    """
    facts = [group for _, group in pilot.group_by("fact_id", maintain_order=True)]
    pilots = [
        Pilot(
            group["fact_id"][0],
            np.minimum(group["first_prob"].fill_null(0.0).to_numpy(), 1.0 - ROULETTE),
            group["recall_hat"].to_numpy(),
        )
        for group in facts
    ]
    counts = further_draws(pilots, total, seed)
    return {
        (fact_id, template): int(count)
        for group, counts_K in zip(facts, counts, strict=True)
        for fact_id, template, count in zip(
            group["fact_id"], group["template_id"], counts_K, strict=True
        )
    }
