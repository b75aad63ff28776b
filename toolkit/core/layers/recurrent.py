"""Recurrent layers over padded sequences: torch's parameters and results, our steps on a CPU.

`Recurrent.read` is what a model calls. On a CPU torch cuts its input at every step of a packed sequence, and the
gradient of each cut is as large as the whole input: time grows with the square of the length. Here both directions
step side by side as one batch, and the backward pass is written out: what does not depend on the gradient is found
for all steps at once, so that a step is one product and few sums. Other devices keep torch's own kernels, but where
these would draw what they drop between layers from no generator of ours.

B sequences, T steps, I inputs, H units, D directions.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from toolkit.core.layers.dropout import dropped


class Recurrent(nn.RNNBase):
    """Base of `GRU` and `LSTM`, which are made and stored as torch's."""

    steps: ClassVar[Any]  # an autograd function: (projected, weight, bias) -> states

    def read(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """States [B, T, D * H] of ``inputs`` [B, T, I], 0 past each of ``lengths`` [B], and each direction's last [B, D * H].

        T is at least 1; sequences come first whatever ``batch_first`` says of torch's own call. Padding is never read: the
        second direction begins at a sequence's own end.
        """
        lengths = lengths.to(inputs.device)
        # Between layers cuDNN drops what a generator of its own says, which no checkpoint can hold.
        dropping = self.training and self.dropout and self.num_layers > 1
        if not self.bias or self.proj_size or (inputs.device.type != "cpu" and not dropping):
            return self.read_packed(inputs, lengths)
        states = inputs.transpose(0, 1)  # [T, B, I]
        order = turned(lengths, inputs.shape[1])
        own = torch.arange(inputs.shape[1], device=inputs.device)[:, None, None] < lengths[:, None]  # [T, B, 1]
        final = (lengths - 1).clamp(min=0)
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                states = dropped(states, self.dropout)
            each = self._layer(layer, states, order)  # [T, D, B, H]
            ways = [each[:, 0], *([turn(each[:, 1], order)] if self.bidirectional else [])]
            states = torch.cat(ways, -1) * own  # [T, B, D * H]
        last = each[final, :, torch.arange(len(lengths), device=final.device)] * (lengths > 0)[:, None, None]  # [B, D, H]
        return states.transpose(0, 1), last.flatten(1)

    def _layer(self, layer: int, inputs: Tensor, order: Tensor) -> Tensor:
        """States [T, D, B, H] of ``inputs`` [T, B, I]; those of the second direction from the end to the beginning."""
        weights = [[getattr(self, f"{name}_l{layer}{way}") for way in ("", "_reverse")[:1 + self.bidirectional]]
                   for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")]
        seen = [inputs, *([turn(inputs, order)] if self.bidirectional else [])]
        projected = torch.stack([F.linear(*each) for each in zip(seen, weights[0], weights[1], strict=True)], 1)
        weight, bias = torch.stack(weights[2]), torch.stack(weights[3])
        with torch.autocast(inputs.device.type, enabled=False):  # what is added up over the steps keeps its precision
            states: Tensor = self.steps.apply(projected.to(weight.dtype), weight, bias)
        return states

    def read_packed(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The same by torch's packed sequences, on any device."""
        packed = pack_padded_sequence(inputs, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        found, last = self(packed)
        states, _ = pad_packed_sequence(found, batch_first=True, total_length=inputs.shape[1])
        hidden = last[0] if isinstance(last, tuple) else last  # [layers * D, B, H]
        own = (lengths > 0)[:, None]
        return states * own.unsqueeze(-1), torch.cat(list(hidden[-1 - self.bidirectional:]), -1) * own


def turned(lengths: Tensor, longest: int) -> Tensor:
    """Where to find the rows of [T * B] with each sequence back to front and its padding in place; its own inverse."""
    step = torch.arange(longest, device=lengths.device)[:, None]  # [T, 1]
    source = torch.where(step < lengths, lengths - 1 - step, step)  # [T, B]
    return (source * len(lengths) + torch.arange(len(lengths), device=lengths.device)).flatten()


class Turn(torch.autograd.Function):
    """Rows of [T, B, ...] in another order that is its own inverse: the gradient is turned alike, not scattered."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return rows.flatten(0, 1).index_select(0, order).view_as(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        order, = ctx.saved_tensors
        return gradient.contiguous().flatten(0, 1).index_select(0, order).view_as(gradient), None


def turn(rows: Tensor, order: Tensor) -> Tensor:
    """Each sequence of ``rows`` [T, B, ...] back to front, by the ``order`` that `turned` gives."""
    found: Tensor = Turn.apply(rows.contiguous(), order)  # type: ignore[no-untyped-call]
    return found


class GRUSteps(torch.autograd.Function):
    """``r, z = sigmoid(x + U h)``, ``n = tanh(x + r (U h))``, ``h = n + z (h - n)``, from h = 0.

    Source: Cho et al. (2014), with the reset gate after the product as in cuDNN and `torch.nn.GRU`.
    """

    @staticmethod
    def forward(ctx: Any, projected: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """States [T, D, B, H] of ``projected`` [T, D, B, 3 H], ``weight`` [D, 3 H, H], ``bias`` [D, 3 H]; gates r, z, n."""
        steps, ways, count, size = *projected.shape[:3], weight.shape[2]
        across, shift = weight.transpose(1, 2).contiguous(), bias[:, None].expand(ways, count, -1).contiguous()
        states = projected.new_zeros(steps + 1, ways, count, size)
        gates, recurrent = torch.empty_like(projected), torch.empty_like(projected)
        both = slice(None, 2 * size)
        for state, after, x, gate, h in zip(states[:-1], states[1:], projected, gates, recurrent, strict=True):
            torch.baddbmm(shift, state, across, out=h)
            torch.add(x[..., both], h[..., both], out=gate[..., both]).sigmoid_()
            r, z, n = gate.chunk(3, -1)
            torch.addcmul(x[..., 2 * size:], r, h[..., 2 * size:], out=n).tanh_()
            torch.lerp(n, state, z, out=after)
        ctx.save_for_backward(states, gates, recurrent[..., 2 * size:].contiguous(), weight)
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        states, gates, inner, weight = ctx.saved_tensors
        r, z, n = gates.chunk(3, -1)
        by_n = (1 - z) * (1 - n * n)
        # The gradient by U h over the state's: each gate's slope times what comes before it.
        slopes = torch.stack([by_n * inner * r * (1 - r), (states[:-1] - n) * z * (1 - z), by_n * r], 3)  # [T, D, B, 3, H]
        by_recurrent = torch.empty_like(slopes)
        flat = by_recurrent.flatten(3)  # [T, D, B, 3 H]
        by_state = torch.empty_like(gradient)  # [T, D, B, H], of all that follows a state
        by_state[-1] = gradient[-1]
        rows = (each.unbind() for each in (by_state, slopes, by_recurrent, flat, z, gradient))
        whole, slope, pieces, row, keep, given = (list(each) for each in rows)
        for t in range(len(whole) - 1, -1, -1):
            torch.mul(slope[t], whole[t].unsqueeze(2), out=pieces[t])
            if t:
                torch.addcmul(given[t - 1], whole[t], keep[t], out=whole[t - 1])
                whole[t - 1].baddbmm_(row[t], weight)
        by_projected = torch.cat([flat[..., :2 * r.shape[-1]], by_state * by_n], -1)
        return by_projected, *by_parameters(flat, states[:-1])


class LSTMSteps(torch.autograd.Function):
    """``i, f, o = sigmoid(x + U h)``, ``g = tanh(x + U h)``, ``c = f c + i g``, ``h = o tanh(c)``, from h = c = 0.

    Source: Hochreiter and Schmidhuber (1997) with the forget gate of Gers et al. (2000), as `torch.nn.LSTM`.
    """

    @staticmethod
    def forward(ctx: Any, projected: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """States [T, D, B, H] of ``projected`` [T, D, B, 4 H], ``weight`` [D, 4 H, H], ``bias`` [D, 4 H]; gates i, f, g, o."""
        steps, ways, count, size = *projected.shape[:3], weight.shape[2]
        across = weight.transpose(1, 2).contiguous()
        gates = projected + bias[:, None]
        states, cells = (projected.new_zeros(steps + 1, ways, count, size) for _ in range(2))
        squashed = projected.new_empty(steps, ways, count, size)  # tanh(c)
        for t, gate in enumerate(gates):
            gate.baddbmm_(states[t], across)
            i, f, g, o = gate.chunk(4, -1)
            gate[..., :2 * size].sigmoid_()
            g.tanh_()
            o.sigmoid_()
            torch.addcmul(torch.mul(i, g, out=squashed[t]), f, cells[t], out=cells[t + 1])
            torch.tanh(cells[t + 1], out=squashed[t])
            torch.mul(o, squashed[t], out=states[t + 1])
        ctx.save_for_backward(states, cells, gates, squashed, weight)
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        states, cells, gates, squashed, weight = ctx.saved_tensors
        i, f, g, o = gates.chunk(4, -1)
        into_cell = o * (1 - squashed * squashed)  # the cell's gradient over the state's
        slopes = torch.stack([g * i * (1 - i), cells[:-1] * f * (1 - f), i * (1 - g * g)], 3)  # over the cell's, [T, D, B, 3, H]
        by_o = squashed * o * (1 - o)  # over the state's
        by_gates = torch.empty_like(gates)  # [T, D, B, 4 H]
        split = by_gates.view(*by_gates.shape[:3], 4, -1)
        rows = (each.unbind() for each in (gradient, into_cell, slopes, by_o, by_gates, split[..., :3, :], split[..., 3, :], f))
        given, enter, slope, slope_o, row, pieces, piece_o, forget = (list(each) for each in rows)
        by_state, by_cell = given[-1].clone(), torch.zeros_like(given[-1])
        for t in range(len(row) - 1, -1, -1):
            by_cell.addcmul_(by_state, enter[t])
            torch.mul(slope[t], by_cell.unsqueeze(2), out=pieces[t])
            torch.mul(slope_o[t], by_state, out=piece_o[t])
            if t:
                torch.baddbmm(given[t - 1], row[t], weight, out=by_state)
                by_cell *= forget[t]
        return by_gates, *by_parameters(by_gates, states[:-1])


def by_parameters(by_recurrent: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """By the weight [D, G, H] and the bias [D, G], from those by U h + b [T, D, B, G] and the states before [T, D, B, H]."""
    rows, states = (each.transpose(0, 1).flatten(1, 2) for each in (by_recurrent, before))  # [D, T * B, ...]
    return rows.transpose(1, 2) @ states, rows.sum(1)


class GRU(Recurrent, nn.GRU):
    """`torch.nn.GRU` that reads padded batches; see `Recurrent.read`."""

    steps = GRUSteps


class LSTM(Recurrent, nn.LSTM):
    """`torch.nn.LSTM` that reads padded batches; see `Recurrent.read`."""

    steps = LSTMSteps


CELLS: dict[str, type[GRU] | type[LSTM]] = {"gru": GRU, "lstm": LSTM}
