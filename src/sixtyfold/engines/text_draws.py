"""What is asked of an engine that gives texts: lengths, temperature and a seed for every draw.

Shared by the server engine and the vLLM engine. Knows no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from sixtyfold.core.errors import BadInput
from sixtyfold.core.random_streams import random_stream

Seeds = Callable[[int, int], int] | Sequence[Sequence[int]]

#: llama.cpp keeps 32 bits of a seed and takes the highest for "any seed".
HIGHEST_SEED = 2**31 - 1


class DrawSettings(NamedTuple):
    """How draws are made.

    max_new_tokens: length limit of a draw.
    temperature: above 0.
    seeds: seed of (prompt index, draw number), as a function or as rows of numbers.
    top_k: only the k most probable tokens are drawn; 0 for all.
    stop: texts at which a draw ends; they are not part of it.
    settled: texts by prompt index that settle what is asked of a draw. An engine may end a draw
        behind one, which stays part of it; it need not.
    """

    max_new_tokens: int
    temperature: float
    seeds: Seeds
    top_k: int = 0
    stop: tuple[str, ...] = ()
    settled: Sequence[tuple[str, ...]] = ()

    def seed(self, prompt: int, draw: int) -> int:
        """Return the seed of one draw.

        Raises:
            BadInput: there is none, or it is not between 0 and `HIGHEST_SEED`.
        """
        if callable(self.seeds):
            seed = self.seeds(prompt, draw)
        elif prompt < len(self.seeds) and draw < len(self.seeds[prompt]):
            seed = self.seeds[prompt][draw]
        else:
            raise BadInput(f"seeds: there is none for prompt {prompt}, draw {draw}")
        if not 0 <= seed <= HIGHEST_SEED:
            raise BadInput(f"seeds: {seed} was given; allowed: 0 to {HIGHEST_SEED}")
        return seed


class TextEngine(Protocol):
    """What is asked of an engine that gives texts."""

    def draw(self, prompts: Sequence[str], draws: int, settings: DrawSettings) -> list[list[str]]:
        """Return `draws` sampled continuations of each prompt."""

    def greedy_texts(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """Return the greedy continuation of each prompt."""


def first_seed(*purpose: str | int) -> int:
    """Return the seed of a prompt's first draw; draw number d takes this plus d (d < 100,000).

    >>> first_seed(0, "fact", 3) == first_seed(0, "fact", 3) != first_seed(1, "fact", 3)
    True
    """
    return int(random_stream("server draw", *purpose).integers(HIGHEST_SEED - 100_000))


def check_draws(prompts: Sequence[str], draws: int, settings: DrawSettings) -> None:
    """Refuse what cannot be drawn, before anything is.

    Raises:
        BadInput: no draw or a temperature of 0 is asked for, or two draws of one text have the same
            seed.
    """
    if draws < 1 or settings.temperature <= 0:
        raise BadInput(
            f"draws {draws} at temperature {settings.temperature:g} were asked for; "
            "allowed: at least 1 draw, a temperature above 0"
        )
    taken: dict[tuple[str, int], tuple[int, int]] = {}
    for index, prompt in enumerate(prompts):
        for draw in range(draws):
            seed = settings.seed(index, draw)
            other = taken.setdefault((prompt, seed), (index, draw))
            if other != (index, draw):
                raise BadInput(
                    f"seeds: prompt {index}, draw {draw} has the seed {seed} of prompt {other[0]}, "
                    f"draw {other[1]}, and the same text; every draw of a text needs its own seed"
                )
