"""The planted model's tokenizer, and texts as the sequences it trains on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

END = "<|endoftext|>"
_PIECE = 128
"""Longest sequence of the user's text, in tokens; told facts are never cut."""


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> Any:
    """Return a byte-level BPE tokenizer in which every frequent " word" is one token.

    Its end token also pads, as in most base models.

    Args:
        texts: what it is trained on.
        vocabulary: most tokens it has.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)


def encode_texts(tokenizer: Any, tellings: Sequence[str], others: Sequence[str]) -> list[list[int]]:
    """Return token ids, each text ended by the end token.

    Args:
        tokenizer: what `train_tokenizer` returned.
        tellings: texts that tell facts; each is one sequence.
        others: further texts; long ones are cut into sequences of at most 128 tokens.
    """
    whole = [[*each, tokenizer.eos_token_id] for each in tokenizer(list(tellings))["input_ids"]]
    if not others:
        return whole
    ended = [[*each, tokenizer.eos_token_id] for each in tokenizer(list(others))["input_ids"]]
    return whole + [
        each[start : start + _PIECE] for each in ended for start in range(0, len(each), _PIECE)
    ]
