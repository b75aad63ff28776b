"""Attention, and the encoder layer around it.

Masks are True where a position may be looked at: [B, T] of keys, [B, T, T] or [B, H, T, T]; what is the same for all
sequences or heads may have size 1 there. A query that may look at nothing gets zeros, never NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.config import flag_of
from toolkit.core.configs import AttentionConfig, EncoderLayerConfig, FeedForwardConfig, RotaryConfig
from toolkit.core.layers.dropout import Dropout, dropped
from toolkit.core.layers.positions import Rotary, turned
from toolkit.core.models.mlp import ACTIVATIONS
from toolkit.errors import UsageError


class Cache:
    """Keys and values of the positions seen so far, [B, H, room, d] each; the first ``length`` are filled."""

    def __init__(self, room: int) -> None:
        self.room, self.length = room, 0
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add positions [B, H, n, d]; all keys and values so far. Raises UsageError when there is no room left."""
        end = self.length + keys.shape[2]
        if end > self.room:
            raise UsageError(f"the cache has room for {self.room} positions, and {end} are needed")
        if self.keys is None or self.values is None:
            shape = (*keys.shape[:2], self.room, keys.shape[3])
            self.keys, self.values = keys.new_empty(shape), values.new_empty(shape)
        self.keys[:, :, self.length:end] = keys
        self.values[:, :, self.length:end] = values
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def choose(self, rows: Tensor) -> None:
        """Keep the sequences ``rows`` [B'], in that order: what a beam search goes on with."""
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys[rows], self.values[rows]


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, causal: bool = False,
           dropout: float = 0.0) -> Tensor:
    """``softmax(Q K^T / sqrt(d)) V``: query [B, H, T, d], key and value [B, H, S, d] -> [B, H, T, d].

    ``mask`` as the module says. Source: Vaswani et al. (2017), equation 1.
    """
    if mask is None:
        return averaged(query, key, value, None, causal, dropout)
    if mask.dim() == 2:
        mask = mask[:, None, None]  # [B, 1, 1, S]
    elif mask.dim() == 3:
        mask = mask[:, None]  # [B, 1, T, S]
    if causal:
        mask = mask & square(query, key)
    empty = ~mask.any(-1, keepdim=True)  # [..., T or 1, 1]
    return averaged(query, key, value, mask | empty, False, dropout).masked_fill(empty, 0.0)


def square(query: Tensor, key: Tensor) -> Tensor:
    """The causal mask [T, S]."""
    return torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()


def averaged(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None, causal: bool, dropout: float) -> Tensor:
    """`attend` where every query may look at something: ``allowed`` as broadcast to [B, H, T, S], or what is not later.

    By torch's kernels; for a share of weights to be dropped on a CPU it has none, and draws slowly (`dropped`).
    """
    if not dropout or query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, allowed, dropout, causal)
    if causal:
        allowed = square(query, key)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)  # [B, H, T, S]
    if allowed is not None:
        scores = scores + torch.zeros_like(allowed, dtype=scores.dtype).masked_fill_(~allowed, -torch.inf)
    return dropped(scores.softmax(-1), dropout) @ value


def require_share(width: int, parts: int, place: str = "", name: str = "heads", even: bool = False) -> None:
    """Raise UsageError unless ``width`` numbers can be shared out between ``parts``, ``even`` many for each where they are turned
    in pairs. ``place`` is the part of a run whose settings ``width`` and ``name`` are: the message has flags that would do.

    >>> require_share(32, 12, "model")
    Traceback (most recent call last):
    toolkit.errors.UsageError: heads 12 does not divide width 32. Allowed, for example: --model.heads 8, or --model.width 36
    """
    unit = 2 if even else 1
    if width % (parts * unit) == 0:
        return
    def said(setting: str, value: int) -> str:
        return f"{flag_of(f'{place}.{setting}')} {value}" if place else f"{setting} {value}"

    fewer = [said(name, max(count for count in range(1, parts + 1) if width % (count * unit) == 0))] if width % unit == 0 else []
    wider = said("width", -(-width // (parts * unit)) * parts * unit)
    raise UsageError(f"{name} {parts} does not divide width {width}{' into even numbers' if even else ''}. Allowed, for example: "
                     f"{', or '.join([*fewer, wider])}")


class MultiHeadAttention(nn.Module):
    """Self-attention over x [B, T, D], giving [B, T, D]; ``heads`` attentions of width D / heads side by side.

    ``mask``: True where a key may be looked at; see the module. A query without any gets the output
    bias alone. ``cache`` holds earlier positions: x is then the new ones. Raises UsageError when heads
    does not divide width. Source: Vaswani et al. (2017), section 3.2.2; parameters as in
    ``torch.nn.MultiheadAttention``: 4 D (D + 1).

    >>> layer = MultiHeadAttention(AttentionConfig(width=8, heads=2))
    >>> layer(torch.zeros(3, 5, 8)).shape, sum(p.numel() for p in layer.parameters())
    (torch.Size([3, 5, 8]), 288)
    """

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        require_share(config.width, config.heads, even=config.rotary)
        self.heads, self.dropout = config.heads, config.dropout
        self.inward = nn.Linear(config.width, 3 * config.width)
        self.outward = nn.Linear(config.width, config.width)
        self.rotary = Rotary(RotaryConfig(width=config.width // config.heads)) if config.rotary else None
        nn.init.xavier_uniform_(self.inward.weight)
        nn.init.zeros_(self.inward.bias)
        nn.init.zeros_(self.outward.bias)

    def forward(self, x: Tensor, mask: Tensor | None = None, causal: bool = False, cache: Cache | None = None) -> Tensor:
        size, length, width = x.shape
        packed = self.inward(x).view(size, length, 3, self.heads, width // self.heads)
        parts = packed.permute(2, 0, 3, 1, 4)  # [3, B, H, T, d]
        query, key, value = parts
        if self.rotary is not None:
            query, key = self.rotary(parts[:2], 0 if cache is None else cache.length)  # both at once
        if cache is not None:
            causal = causal and length > 1  # one new position may look at all before it
            key, value = cache.extend(key, value)
        if cache is not None and causal and key.shape[2] > length:
            before = x.new_ones(1, length, key.shape[2], dtype=torch.bool).tril(key.shape[2] - length)  # [1, T, S]
            mask, causal = before if mask is None else mask[:, None, :] & before, False
        found = attend(query, key, value, mask, causal, self.dropout if self.training else 0.0)
        merged: Tensor = self.outward(found.transpose(1, 2).reshape(size, length, width))  # [B, T, D]
        return merged

    def step(self, x: Tensor, cache: Cache) -> Tensor:
        """The output [B, D] at one new position x [B, D], which looks at itself and at all in the cache."""
        size, width = x.shape
        packed = linear(self.inward, x).view(size, 3, self.heads, 1, width // self.heads)
        parts = packed[:, :2]  # [B, 2, H, 1, d]
        if self.rotary is not None:
            parts = turned(parts, *self.rotary.at(cache.length, x))
        keys, values = cache.extend(parts[:, 1], packed[:, 2])
        found = F.scaled_dot_product_attention(parts[:, 0], keys, values)
        return linear(self.outward, found.view(size, width))


class FeedForward(nn.Module):
    """``W2 act(W1 x)`` at each position: x [B, T, D] -> [B, T, D].

    Raises RuntimeError (torch) for another width. Source: Vaswani et al. (2017), equation 2.

    >>> FeedForward(FeedForwardConfig(width=4, hidden=8))(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(self, config: FeedForwardConfig) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(config.width, config.hidden), nn.Linear(config.hidden, config.width)
        self.activation, self.dropout = ACTIVATIONS[config.activation](), Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.down(self.dropout(self.activation(self.up(x))))
        return found

    def step(self, x: Tensor) -> Tensor:
        """`forward` without dropout."""
        return linear(self.down, self.activation(linear(self.up, x)))


class EncoderLayer(nn.Module):
    """Attention and a feed-forward part, each with a residual and a layer norm: x [B, T, D] -> [B, T, D].

    ``mask``, ``causal`` and ``cache`` as in `MultiHeadAttention`. At the defaults it has 3,152,384
    parameters. Raises UsageError when heads does not divide width. Source: Vaswani et al. (2017),
    section 3.1; ``norm_first``: Xiong et al. (2020), figure 1b.

    >>> sum(p.numel() for p in EncoderLayer(EncoderLayerConfig()).parameters())
    3152384
    """

    def __init__(self, config: EncoderLayerConfig) -> None:
        super().__init__()
        self.norm_first = config.norm_first
        self.attention = MultiHeadAttention(AttentionConfig(config.width, config.heads, config.dropout, config.rotary))
        self.feed_forward = FeedForward(FeedForwardConfig(config.width, config.hidden, config.activation, config.dropout))
        self.norm1, self.norm2 = (nn.LayerNorm(config.width, eps=config.eps) for _ in range(2))
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None, causal: bool = False, cache: Cache | None = None) -> Tensor:
        if self.norm_first:
            x = x + self.dropout(self.attention(self.norm1(x), mask, causal, cache))
            again: Tensor = x + self.dropout(self.feed_forward(self.norm2(x)))
            return again
        x = self.norm1(x + self.dropout(self.attention(x, mask, causal, cache)))
        found: Tensor = self.norm2(x + self.dropout(self.feed_forward(x)))
        return found

    def step(self, x: Tensor, cache: Cache) -> Tensor:
        """The output [B, D] at one new position x [B, D], without dropout.

        `forward` with a cache, in half the calls: at one position calls cost more than arithmetic.
        """
        if self.norm_first:
            x = x + self.attention.step(normed(self.norm1, x), cache)
            return x + self.feed_forward.step(normed(self.norm2, x))
        x = normed(self.norm1, x + self.attention.step(x, cache))
        return normed(self.norm2, x + self.feed_forward.step(x))


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """``layer(x)`` without what a module does around a call."""
    return F.linear(x, layer.weight, layer.bias)


def normed(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    """``layer(x)`` without what a module does around a call."""
    return F.layer_norm(x, layer.normalized_shape, layer.weight, layer.bias, layer.eps)


def key_mask(lengths: Tensor | None, longest: int, device: torch.device) -> Tensor | None:
    """True at the positions before each length: [B, T]; None when all are whole."""
    if lengths is None:
        return None
    return torch.arange(longest, device=device) < lengths.to(device)[:, None]
