"""Greedy and top-k sampled answers to the same prompts, as one tree of texts.

The draws of a prompt that have said the same so far are in the same state, so they share one row
of the batch and part only where they choose different tokens; the greedy answer is one of them.
At a low temperature sixteen draws are then hardly dearer than three, and every draw says what it
would have said alone.

Shapes carry suffixes: B rows of a batch, V vocabulary, K most probable tokens, D draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sixtyfold.engines.greedy import Answered, first_line_ended
from sixtyfold.engines.torch_engine import TorchEngine

_GREEDY = -1


class TopK(NamedTuple):
    """How to sample: at a temperature above 0, among the k most probable tokens."""

    temperature: float
    k: int
    max_new_tokens: int


class Answers(NamedTuple):
    """A prompt's greedy answer and its sampled ones, in the order of their random numbers."""

    greedy: Answered
    sampled: list[Answered]


class Candidates(NamedTuple):
    """The k most probable tokens of every row.

    ids: int64 [B, K], tokens in ascending order. By number, not by probability: where two of those
        are nearly equal, their last bits then change no draw.
    cumulative: float64 [B, K], sums of their probabilities up to and including each.
    """

    ids: torch.Tensor
    cumulative: torch.Tensor


class _Text(NamedTuple):
    """What some draws of a prompt have said so far; `_GREEDY` is the greedy one's number."""

    prompt: int
    ids: list[int]
    draws: list[int]


def top_k_candidates(logits_BV: torch.Tensor, temperature: float, k: int) -> Candidates:
    """Return exactly k tokens a row; of equal logits at the border, those of the lowest number.

    Args:
        logits_BV: logits.
        temperature: above 0.
        k: at least 1; more than V means all.
    """
    k = min(k, logits_BV.shape[1])
    border_B1 = logits_BV.topk(k).values[:, -1:]
    above_BV, at_BV = logits_BV > border_B1, logits_BV == border_B1
    room_B1 = k - above_BV.sum(1, keepdim=True)
    kept_BV = above_BV | (at_BV & (at_BV.cumsum(1) <= room_B1))
    ids_BK = kept_BV.nonzero()[:, 1].view(-1, k)
    # Few numbers from here on, so they are worked on where float64 is to be had.
    p_BK = torch.softmax(logits_BV.gather(1, ids_BK).cpu().double() / temperature, -1)
    return Candidates(ids_BK.cpu(), p_BK.cumsum(1))


def choose(candidates: Candidates, rows: Sequence[int], uniforms: NDArray[np.float64]) -> list[int]:
    """Draw tokens by inverting the cumulative distribution of their rows.

    Args:
        candidates: of all rows.
        rows: row of each of the D tokens to draw.
        uniforms: float64 [D] in [0, 1).
    """
    index_D = torch.as_tensor(rows, dtype=torch.long)
    cumulative_DK = candidates.cumulative[index_D]
    total_D = cumulative_DK[:, -1]
    # Rounding must not carry the target past the last token that may be drawn.
    highest_D = torch.nextafter(total_D, torch.zeros_like(total_D))
    target_D = torch.minimum(torch.from_numpy(uniforms) * total_D, highest_D)
    place_D1 = torch.searchsorted(cumulative_DK, target_D[:, None], right=True)
    chosen = candidates.ids[index_D].gather(1, place_D1)[:, 0].tolist()
    return [int(token) for token in chosen]


def answer_and_sample(
    engine: TorchEngine,
    prompts: Sequence[Sequence[int]],
    uniforms: Sequence[NDArray[np.float64]],
    how: TopK,
) -> list[Answers]:
    """Answer each prompt greedily and by samples.

    An answer ends at a stop token, with its first line, or at the limit.

    Args:
        engine: the model.
        prompts: non-empty id sequences of one chunk; their rows of the batch grow to at most
            one and the number of draws for each of them.
        uniforms: float64 [draws, at least max_new_tokens] in [0, 1) for each prompt; a draw's
            tokens depend on its prompt and its row of these alone.
        how: how to sample.
    """
    done: list[dict[int, Answered]] = [{} for _ in prompts]
    texts = [_Text(index, [], [_GREEDY, *range(len(each))]) for index, each in enumerate(uniforms)]
    batch = engine.prefill(prompts)
    for step in range(how.max_new_tokens):
        parents, longer = _grow(texts, batch.logits_BV, uniforms, step, how)
        keep = []
        for place, text in enumerate(longer):
            ended = _ended(engine, text, last=step == how.max_new_tokens - 1)
            if ended is None:
                keep.append(place)
                continue
            done[text.prompt].update(dict.fromkeys(text.draws, ended))
        if not keep:
            break
        rows = [parents[place] for place in keep]
        if rows != list(range(len(batch))):
            batch = batch.fork(rows)
        texts = [longer[place] for place in keep]
        batch.step(torch.tensor([text.ids[-1] for text in texts], device=engine.device))
    return [
        Answers(found[_GREEDY], [found[draw] for draw in range(len(each))])
        for found, each in zip(done, uniforms, strict=True)
    ]


def _grow(
    texts: Sequence[_Text],
    logits_BV: torch.Tensor,
    uniforms: Sequence[NDArray[np.float64]],
    step: int,
    how: TopK,
) -> tuple[list[int], list[_Text]]:
    """Let every draw choose its next token.

    Returns:
        the row that each longer text goes on from, in ascending order, and the longer texts.
    """
    greedy = logits_BV.argmax(-1).tolist()
    sampling = [
        (row, draw) for row, text in enumerate(texts) for draw in text.draws if draw != _GREEDY
    ]
    drawn: dict[tuple[int, int], int] = {}
    if sampling:
        numbers = np.array([uniforms[texts[row].prompt][draw, step] for row, draw in sampling])
        candidates = top_k_candidates(logits_BV, how.temperature, how.k)
        tokens = choose(candidates, [row for row, _ in sampling], numbers)
        drawn = dict(zip(sampling, tokens, strict=True))
    parents, longer = [], []
    for row, text in enumerate(texts):
        branches: dict[int, list[int]] = {}
        for draw in text.draws:
            token = greedy[row] if draw == _GREEDY else drawn[row, draw]
            branches.setdefault(token, []).append(draw)
        for token, draws in branches.items():
            parents.append(row)
            longer.append(_Text(text.prompt, [*text.ids, token], draws))
    return parents, longer


def _ended(engine: TorchEngine, text: _Text, last: bool) -> Answered | None:
    """Return the answer if the text has ended; None if it goes on."""
    if text.ids[-1] in engine.stop_ids:
        return Answered(text.ids[:-1], stopped=True)
    if first_line_ended(engine.text(text.ids)):
        return Answered(text.ids, stopped=True)
    return Answered(text.ids, stopped=False) if last else None
