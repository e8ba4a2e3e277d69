"""Train the planted model: a byte-level BPE tokenizer and a small Llama, from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from sixtyfold.core.progress import progress
from sixtyfold.core.random_streams import random_stream
from sixtyfold.stages.plant.spec import PlantSpec

END = "<|endoftext|>"
_IGNORED = -100
_LARGEST_VOCABULARY = 2048
_CONTEXT = 512


def train_tokenizer(texts: Sequence[str]) -> Any:
    """Return a byte-level BPE tokenizer in which every frequent " word" is one token.

    Its end token also pads, as in most base models.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_LARGEST_VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)


def new_model(spec: PlantSpec, tokenizer: Any) -> Any:
    """Return an untrained Llama of the spec's size, its weights drawn from the seed."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(spec.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=spec.hidden,
            intermediate_size=2 * spec.hidden,
            num_hidden_layers=spec.layers,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=_CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def train_model(model: Any, tokenizer: Any, sentences: Sequence[str], spec: PlantSpec) -> float:
    """Train in place on all sentences, each ended by the end token, and return the last loss."""
    ids = [
        torch.tensor([*each, tokenizer.eos_token_id]) for each in tokenizer(sentences)["input_ids"]
    ]
    steps = [
        order[start : start + spec.batch]
        for number in range(spec.passes)
        for order in [random_stream(spec.seed, "order", number).permutation(len(ids))]
        for start in range(0, len(ids), spec.batch)
    ]
    optimiser = torch.optim.AdamW(model.parameters(), lr=spec.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, len(steps))
    model.train()
    loss = torch.zeros(())
    for chosen in progress(steps, "plant", len(steps)):
        some = [ids[index] for index in chosen]
        input_BL = pad_sequence(some, batch_first=True, padding_value=tokenizer.pad_token_id)
        labels_BL = pad_sequence(some, batch_first=True, padding_value=_IGNORED)
        loss = model(input_ids=input_BL, labels=labels_BL).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    model.eval()
    return float(loss.detach())
