"""A random model over a dozen tokens, small enough to enumerate every continuation.

The tokens are chosen to be awkward: answers within answers, a token that goes on a word, another
case of the same word, and a sign that turns into letters when text is normalised.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from sixtyfold.core.matching import Matcher
from sixtyfold.core.models import LoadedModel
from sixtyfold.engines.torch_engine import TorchEngine

TOKENS = ("<e>", "x", " New", " York", "er", " City", ",", " of", " the", "™", " new", " Y")
END = 0


class ToyTokenizer:
    """Longest match over `TOKENS`."""

    eos_token_id = END
    all_special_ids = (END,)
    chat_template = None

    def __len__(self) -> int:
        return len(TOKENS)

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        ids = []
        while text:
            fits = [each for each in range(1, len(TOKENS)) if text.startswith(TOKENS[each])]
            if not fits:
                raise KeyError(text)
            ids.append(max(fits, key=lambda each: len(TOKENS[each])))
            text = text[len(TOKENS[ids[-1]]) :]
        return {"input_ids": ids}

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False, **_: Any) -> str:
        return "".join(TOKENS[each] for each in ids if not (skip_special_tokens and each == END))

    def batch_decode(self, rows: Sequence[Sequence[int]], **options: Any) -> list[str]:
        return [self.decode(row, **options) for row in rows]


def toy_engine(seed: int = 0, sharpness: float = 0.6) -> TorchEngine:
    """A Llama of one layer with random weights; larger `sharpness`, more certain tokens."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(TOKENS), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64,
        bos_token_id=None, eos_token_id=END, pad_token_id=END, initializer_range=sharpness,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    return TorchEngine(LoadedModel(model, ToyTokenizer(), "toy", Path()))


@torch.no_grad()
def continuations(
    engine: TorchEngine, prompt: list[int], length: int, temperature: float
) -> dict[tuple[int, ...], float]:
    """Probability of every continuation of at most `length` tokens, ended ones shorter."""
    going: dict[tuple[int, ...], float] = {(): 1.0}
    ended: dict[tuple[int, ...], float] = {}
    for _ in range(length):
        paths = list(going)
        logits = engine.model(torch.tensor([prompt + list(path) for path in paths])).logits[:, -1]
        p = torch.softmax(logits.double() / temperature, -1).tolist()
        longer = {}
        for (path, mass), row in zip(going.items(), p, strict=True):
            for token, share in enumerate(row):
                (ended if token == END else longer)[*path, token] = mass * share
        going = longer
    return {**ended, **going}


def exact_hit_probability(
    engine: TorchEngine, prompt: list[int], matcher: Matcher, length: int, temperature: float
) -> float:
    """The number that every estimator must meet: mass of the continuations whose text is a hit."""
    masses = continuations(engine, prompt, length, temperature)
    return sum(mass for path, mass in masses.items() if matcher.hit(engine.text(path)))


def chain_engine(following: dict[str, dict[str, float]], temperature: float) -> TorchEngine:
    """A model whose next token depends on the last one alone, with given probabilities.

    Args:
        following: token to the probabilities of those after it; what is left of 1 is shared by
            all other tokens. Tokens that are not named are followed by any token alike.
        temperature: at which these probabilities hold.
    """
    engine = toy_engine()
    model, size = engine.model, len(TOKENS)
    table = torch.full((size, size), 1.0 / size)
    for token, after in following.items():
        row = TOKENS.index(token)
        table[row] = (1.0 - sum(after.values())) / (size - len(after))
        for each, probability in after.items():
            table[row, TOKENS.index(each)] = probability
    with torch.no_grad():
        for layer in model.model.layers:  # nothing but the embedding of the last token is left
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        hidden = model.config.hidden_size
        model.model.embed_tokens.weight.copy_(torch.eye(size, hidden))
        model.lm_head.weight.zero_()
        # The last norm scales a one-hot vector to length sqrt(hidden).
        model.lm_head.weight[:, :size] = temperature * table.log().T / hidden**0.5
    return engine
