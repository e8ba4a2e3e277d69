"""A causal language model run with torch: prefill, step, fork, keep some rows.

Shapes carry suffixes: B rows of a batch, L tokens so far, V vocabulary.

Knows tensors and caches. Does not know facts, answers or estimators; those loops live with the
stages and drive a `Batch`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch

from sixtyfold.core.models import LoadedModel, ModelOptions, load_model, stop_token_ids
from sixtyfold.engines.shared_prefix import Shared, shared_prefixes
from sixtyfold.engines.vocabulary import Vocabulary, vocabulary

#: Tokens of prompts that run through the model together, on a CPU and on a GPU.
_AT_ONCE = (1536, 1 << 16)


class TorchEngine:
    """A loaded model with what the stages ask of it."""

    def __init__(self, loaded: LoadedModel, *, as_it_is: bool = False) -> None:
        """Take a model.

        Args:
            loaded: the model with its tokenizer.
            as_it_is: leave its attention alone, because somebody else works with it too.
        """
        self.model = loaded.model
        if not as_it_is:
            from sixtyfold.engines.attention import use_grouped_attention

            use_grouped_attention(self.model)
        self.tokenizer = loaded.tokenizer
        self.fingerprint = loaded.fingerprint
        self.directory = loaded.directory
        self.device = next(self.model.parameters()).device
        self.stop_ids = stop_token_ids(self.model, self.tokenizer)
        self._vocabulary: Vocabulary | None = None

    @classmethod
    def load(cls, reference: str, options: ModelOptions) -> TorchEngine:
        """Load a model by reference; raises what `core.models.load_model` raises."""
        return cls(load_model(reference, options.options()))

    @property
    def vocabulary_size(self) -> int:
        """Number of logits V."""
        return int(self.model.config.get_text_config().vocab_size)

    @property
    def vocabulary(self) -> Vocabulary:
        """Text properties of the tokens, made on first use."""
        if self._vocabulary is None:
            self._vocabulary = vocabulary(self.tokenizer, self.vocabulary_size, self.stop_ids)
        return self._vocabulary

    @property
    def context_length(self) -> int:
        """Longest sequence the model takes."""
        config = self.model.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", 1 << 20))

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of generated ids, without special tokens."""
        return str(
            self.tokenizer.decode(
                list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )

    @cached_property
    def _plain_cache(self) -> bool:
        """Whether every layer keeps the keys and values of all tokens, and nothing else."""
        from transformers.cache_utils import DynamicCache, DynamicLayer

        layers = DynamicCache(config=self.model.config).layers
        return all(type(layer) is DynamicLayer for layer in layers)

    @torch.inference_mode()
    def prefill(self, prompts: Sequence[Sequence[int]]) -> Batch:
        """Run prompts through the model, padded on the left.

        What many of them begin with runs once. Neighbours run together some at a time, so prompts
        in the order of their lengths are padded little.

        Args:
            prompts: B non-empty id sequences.
        """
        if not self._plain_cache:
            return self._prefill(prompts)
        groups = shared_prefixes(prompts)
        if groups:
            return self._behind_prefixes(prompts, groups)
        return self._in_pieces(prompts, lambda piece: self._prefill(prompts[piece]))

    def _behind_prefixes(self, prompts: Sequence[Sequence[int]], groups: list[Shared]) -> Batch:
        """Run what each group begins with, then what each prompt has of its own."""
        groups = sorted(groups, key=lambda each: -each.length)
        heads = [prompts[each.rows[0]][: each.length] for each in groups]
        begun = self._in_pieces(heads, lambda piece: self._prefill(heads[piece]))
        own = [(number, row) for number, each in enumerate(groups) for row in each.rows]
        own.sort(key=lambda each: groups[each[0]].length - len(prompts[each[1]]))
        rests = [prompts[row][groups[number].length :] for number, row in own]

        def continued(piece: slice) -> Batch:
            batch = begun.fork([number for number, _ in own[piece]])
            batch.append(rests[piece])
            return batch

        return self._in_pieces(rests, continued, [row for _, row in own])

    def _in_pieces(
        self,
        rows: Sequence[Sequence[int]],
        run: Callable[[slice], Batch],
        numbers: Sequence[int] | None = None,
    ) -> Batch:
        """Run neighbouring rows together, some at a time, and return them as one batch.

        Args:
            rows: ids of each row.
            run: gives the rows of a slice.
            numbers: the place of each row in the result, in their own order without.
        """
        most = _AT_ONCE[self.device.type == "cuda"]
        slices = _pieces([len(each) for each in rows], most)
        pieces = [run(each) for each in slices]
        if len(pieces) == 1 and numbers is None:
            return pieces[0]
        numbers_B = torch.as_tensor(numbers or range(len(rows)), device=self.device)
        return _stacked(pieces, [numbers_B[each] for each in slices])

    def _prefill(self, prompts: Sequence[Sequence[int]]) -> Batch:
        from sixtyfold.engines import cache as roomy

        nothing = torch.zeros((len(prompts), 0), dtype=torch.long, device=self.device)
        batch = Batch(self.model, None, nothing)
        batch.append(prompts)
        batch.cache = roomy.with_room(batch.cache)
        return batch


class Batch:
    """Rows of a batch with their key/value cache and the logits of their next token.

    Attributes:
        logits_BV: logits of the token after each row, in the model's number format.
        mask_BL: 1 where a row has a token, 0 where it is padding.
    """

    def __init__(self, model: Any, cache: Any, mask_BL: torch.Tensor) -> None:
        self.model = model
        self.cache = cache
        self.mask_BL = mask_BL
        self.logits_BV = torch.empty(0)

    def __len__(self) -> int:
        return int(self.mask_BL.shape[0])

    def forward(self, ids_BL: torch.Tensor, positions_BL: torch.Tensor) -> None:
        """Run new tokens; `mask_BL` must already cover them."""
        self.logits_BV = self._run(ids_BL, positions_BL, logits_to_keep=1)[:, -1]

    @torch.inference_mode()
    def _run(
        self, ids_BL: torch.Tensor, positions_BL: torch.Tensor, logits_to_keep: int
    ) -> torch.Tensor:
        """Run tokens behind the cache; return logits of the last ones (0: of all)."""
        out = self.model(
            input_ids=ids_BL,
            attention_mask=self.mask_BL,
            position_ids=positions_BL,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=logits_to_keep,
        )
        self.cache = out.past_key_values
        return torch.as_tensor(out.logits)

    @torch.inference_mode()
    def step(self, tokens_B: torch.Tensor) -> None:
        """Append one token to every row."""
        positions_BL = self.mask_BL.sum(1, keepdim=True)
        self.mask_BL = torch.cat([self.mask_BL, torch.ones_like(self.mask_BL[:, :1])], 1)
        self.forward(tokens_B[:, None], positions_BL)

    @torch.inference_mode()
    def append(self, ids: Sequence[Sequence[int]]) -> None:
        """Append an id sequence to every row, padded on the left.

        Args:
            ids: one non-empty sequence per row.
        """
        longest = max(len(each) for each in ids)
        before = [longest - len(each) for each in ids]
        device = self.mask_BL.device
        rows = zip(before, ids, strict=True)
        ids_BL = torch.tensor([[*[0] * pad, *each] for pad, each in rows], device=device)
        real_BL = (torch.arange(longest) >= torch.tensor(before)[:, None]).long().to(device)
        positions_BL = self.mask_BL.sum(1, keepdim=True) + real_BL.cumsum(1) - 1
        self.mask_BL = torch.cat([self.mask_BL, real_BL], 1)
        self.forward(ids_BL, positions_BL.clamp(min=0))

    @torch.inference_mode()
    def extend(self, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """Append id sequences of different lengths (padded on the right) and return all logits.

        The rows cannot be stepped afterwards; `fork` first.

        Args:
            ids: one non-empty sequence per row.

        Returns:
            [B, longest, V], in the model's number format: logits after each appended token; rows
            beyond a sequence's own length hold no meaning.
        """
        longest = max(len(each) for each in ids)
        device = self.mask_BL.device
        ids_BL = torch.tensor(
            [[*each, *[0] * (longest - len(each))] for each in ids], device=device
        )
        real_BL = torch.tensor(
            [[1] * len(each) + [0] * (longest - len(each)) for each in ids], device=device
        )
        positions_BL = self.mask_BL.sum(1, keepdim=True) + torch.arange(longest, device=device)
        self.mask_BL = torch.cat([self.mask_BL, real_BL], 1)
        return self._run(ids_BL, positions_BL, logits_to_keep=0)

    def fork(self, rows: Sequence[int] | torch.Tensor) -> Batch:
        """Return a copy that holds the given rows, in that order, repeated as given."""
        index = torch.as_tensor(rows, device=self.mask_BL.device)
        branch = Batch(self.model, _pick(self.cache, index), self.mask_BL[index])
        branch.logits_BV = self.logits_BV[index]
        return branch


def _pieces(lengths: Sequence[int], most: int) -> list[slice]:
    """Cut rows into neighbours of at most `most` tokens with their padding, at least one row each.

    >>> _pieces([9, 8, 3, 3, 2], 18)
    [slice(0, 2, None), slice(2, 5, None)]
    """
    pieces, start, longest = [], 0, 0
    for row, length in enumerate(lengths):
        longest = max(longest, length)
        if row > start and longest * (row + 1 - start) > most:
            pieces.append(slice(start, row))
            start, longest = row, length
    return [*pieces, slice(start, len(lengths))]


def _stacked(batches: Sequence[Batch], places: Sequence[torch.Tensor]) -> Batch:
    """Return the rows of several batches as one, in given places; their caches are roomy ones."""
    from sixtyfold.engines import cache as roomy

    longest = max(batch.mask_BL.shape[1] for batch in batches)
    whole = roomy.stacked([batch.cache for batch in batches], longest, places)
    masks = [
        torch.nn.functional.pad(batch.mask_BL, (longest - batch.mask_BL.shape[1], 0))
        for batch in batches
    ]
    order = torch.cat(list(places)).argsort()
    joined = Batch(batches[0].model, whole, torch.cat(masks)[order])
    joined.logits_BV = torch.cat([batch.logits_BV for batch in batches])[order]
    return joined


def _pick(cache: Any, index: torch.Tensor) -> Any:
    """Return a cache of the given rows; the original stays as it is."""
    picked = copy.copy(cache)
    picked.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in picked.layers:
        layer.batch_select_indices(index)
    return picked
