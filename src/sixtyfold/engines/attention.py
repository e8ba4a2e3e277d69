"""Attention for few new tokens on a CPU, where torch's own kernels are slow.

Shapes carry suffixes: B rows, H query heads, G groups of them (one per key/value head), Q new
tokens, L tokens to look at, D numbers per head.

With one new token per row, `scaled_dot_product_attention` works on one head at a time and is as
slow as all matrix products of a small model together. Here the heads that share keys and values
are the rows of one product (docs/decisions/010). The arithmetic is that of transformers' "eager"
attention: products in the model's number format, softmax in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "sixtyfold_grouped"
_MOST_SCORES = 2048  # Q × L of several tokens above which torch's kernel is as fast


def use_grouped_attention(model: Any) -> None:
    """Let a transformers model on a CPU attend this way, if it uses torch's kernels now."""
    on_cpu = next(model.parameters()).device.type == "cpu"
    if on_cpu and getattr(model.config, "_attn_implementation", None) == "sdpa":
        model.set_attn_implementation(NAME)


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend, in the form that transformers' attention interface asks for.

    Args:
        module: the attention layer.
        query: [B, H, Q, D].
        key: [B, G, L, D].
        value: [B, G, L, D].
        attention_mask: [B, 1, Q, L], true where a token is seen; None where nothing is hidden but
            the future.
        scaling: factor of the scores, 1/√D without it.
        options: whatever else the interface passes; with any that changes the result, in training
            and for long inputs, torch's own kernel does the work.

    Returns:
        [B, Q, H, D], and no attention weights.
    """
    many, past = query.shape[2], key.shape[2]
    usual = attention_mask.dtype == torch.bool if attention_mask is not None else many == 1
    plain = not module.training and all(
        options.get(name) is None for name in ("position_bias", "cache", "softcap")
    )
    long = many > 1 and many * past > _MOST_SCORES
    if not (usual and plain) or long or torch.is_grad_enabled():
        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
    return _attend(query, key, value, attention_mask, scaling), None


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    seen: torch.Tensor | None,
    scaling: float | None,
) -> torch.Tensor:
    rows, heads, many, size = query.shape
    groups, past = key.shape[1], key.shape[2]
    together = query.reshape(rows, groups, heads // groups * many, size)
    # This way round torch need not copy the keys, of which there are many more than queries.
    scores = torch.matmul(key, together.transpose(-1, -2)).transpose(-1, -2).float()
    scores = scores.contiguous().mul_(size**-0.5 if scaling is None else scaling)
    scores = scores.view(rows, groups, heads // groups, many, past)
    if seen is not None:
        # Not -inf: a row of padding sees nothing, and must not become NaN.
        scores.masked_fill_(~seen[:, :, None], torch.finfo(torch.float32).min)
    weights = torch.softmax(scores, -1).to(value.dtype).view(*together.shape[:3], past)
    return torch.matmul(weights, value).view(rows, heads, many, size).transpose(1, 2)


AttentionInterface.register(NAME, grouped_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
