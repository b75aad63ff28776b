"""Several MLP bodies of one shape as one batched product a layer.

Letters: M bodies (actor and critic, or twin critics), B batch, I inputs, O outputs of a layer.

The bodies keep their own parameters; here they are seen as one tensor [M, O, I], a view of the
flat buffer with a constant stride from body to body. That halves the number of calls, which is
what small networks spend their time on.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from toolkit.agents.networks.encode import Encoder
from toolkit.agents.networks.fast import activate_, activate_backward_, layer_norm_backward, narrow_product, weight_gradient
from toolkit.agents.networks.mlp import MLP, Headed


def stack_view(tensors: Sequence[Tensor]) -> Tensor | None:
    """The tensors as one view [M, ...]; None unless they lie evenly spaced in one storage."""
    first = tensors[0]
    offsets = [tensor.storage_offset() for tensor in tensors]
    gaps = {after - before for before, after in itertools.pairwise(offsets)}
    same = all(tensor.shape == first.shape and tensor.is_contiguous()
               and tensor.untyped_storage().data_ptr() == first.untyped_storage().data_ptr() for tensor in tensors)
    if not same or len(gaps) != 1:
        return None
    return first.as_strided((len(tensors), *first.shape), (gaps.pop(), *first.stride()), offsets[0])


class StackedLinear:
    """``activation(inputs @ weight.T + bias)`` for M layers at once, batches of at most ``batch_size`` rows."""

    def __init__(self, weight: Tensor, bias: Tensor, weight_gradient: Tensor, bias_gradient: Tensor, batch_size: int,
                 activation: str) -> None:
        copies, outputs = weight.shape[:2]
        self._weight, self._weight_t, self._bias = weight, weight.transpose(1, 2), bias.unsqueeze(1)
        self._weight_gradient, self._bias_gradient = weight_gradient, bias_gradient
        self._outputs = weight.new_empty(copies, batch_size, outputs)  # [M, B, O]
        self._activation = activation
        self._inputs = self._current = self._outputs

    @cached_property
    def _input_gradient(self) -> Tensor:
        """Room for `by_inputs` [M, B, I], which a path's first layer is never asked for."""
        return self._weight.new_empty(*self._outputs.shape[:2], self._weight.shape[2])

    def forward(self, inputs: Tensor) -> Tensor:
        self._inputs = inputs
        copies, rows = inputs.shape[:2]
        outputs, bias, weight_t = self._outputs, self._bias, self._weight_t
        if outputs.shape[:2] != (copies, rows):  # a smaller batch, or the first bodies alone
            outputs, bias, weight_t = outputs[:copies, :rows], bias[:copies], weight_t[:copies]
        torch.baddbmm(bias, inputs, weight_t, out=outputs)
        self._current = activate_(outputs, self._activation)
        return outputs

    def through(self, gradient: Tensor) -> None:
        """``gradient`` [M, B, O] by the outputs to the one before the activation, in place."""
        activate_backward_(gradient, self._current, self._activation)

    def backward(self, gradient: Tensor) -> None:
        """Those of the parameters; this one and the next take ``gradient`` as `through` leaves it."""
        weight_gradient(gradient, self._inputs, self._weight_gradient)
        torch.sum(gradient, 1, out=self._bias_gradient)

    def by_inputs(self, gradient: Tensor) -> Tensor:
        """The gradient by the inputs [M, B, I]."""
        copies, rows = gradient.shape[:2]
        out, weight = self._input_gradient, self._weight
        if out.shape[:2] != (copies, rows):
            out, weight = out[:copies, :rows], weight[:copies]
        # One output needs no product, which takes three times as long.
        return torch.mul(gradient, weight, out=out) if weight.shape[1] == 1 else torch.bmm(gradient, weight, out=out)

    def by_last_inputs(self, gradient: Tensor, columns: int) -> Tensor:
        """The gradient by the last ``columns`` inputs [M, B, columns]: a ninth of the time that all four of Pendulum take."""
        return narrow_product(gradient, self._weight[:len(gradient), :, -columns:])


class StackedNorm:
    """``activation(layer_norm(inputs))`` for M layers at once, with the interface of `StackedLinear`."""

    def __init__(self, weight: Tensor, bias: Tensor, weight_gradient: Tensor, bias_gradient: Tensor, eps: float,
                 activation: str) -> None:
        self._weight, self._bias, self._eps = weight.unsqueeze(1), bias.unsqueeze(1), eps  # [M, 1, O]
        self._weight_gradient, self._bias_gradient = weight_gradient, bias_gradient
        self._shape, self._activation = weight.shape[1:], activation
        self._inputs = self._normal = self._mean = self._scale = self._current = self._weight

    def forward(self, inputs: Tensor) -> Tensor:
        normal, self._mean, self._scale = torch.native_layer_norm(inputs, self._shape, None, None, self._eps)
        self._inputs, self._normal = inputs, normal
        outputs = torch.addcmul(self._bias[:len(inputs)], normal, self._weight[:len(inputs)])
        self._current = activate_(outputs, self._activation)
        return outputs

    def through(self, gradient: Tensor) -> None:
        activate_backward_(gradient, self._current, self._activation)

    def backward(self, gradient: Tensor) -> None:
        torch.sum(gradient * self._normal, 1, out=self._weight_gradient)
        torch.sum(gradient, 1, out=self._bias_gradient)

    def by_inputs(self, gradient: Tensor) -> Tensor:
        by_normal = gradient * self._weight[:len(gradient)]
        result: Tensor = layer_norm_backward(by_normal, self._inputs, self._shape, self._mean, self._scale, None, None,
                                             (True, False, False))[0]
        return result


class StackedPath:
    """M bodies on the same observations: [B, ...] to features [M, B, features], and back."""

    def __init__(self, encoder: Encoder, first: StackedLinear, others: Sequence[StackedLinear | StackedNorm],
                 copies: int) -> None:
        self._encoder, self._first, self._layers, self._copies = encoder, first, (first, *others), copies

    def forward(self, observations: Tensor, copies: int | None = None) -> Tensor:
        """Features [M, B, features]; of the first ``copies`` bodies alone where that is given."""
        inputs = self._encoder(observations)
        hidden = inputs.expand(copies or self._copies, *inputs.shape)  # [M, B, I]
        for layer in self._layers:
            hidden = layer.forward(hidden)
        return hidden

    def backward(self, gradient: Tensor) -> None:
        """``gradient`` [M, B, features], which is destroyed, to those of the parameters."""
        for index in reversed(range(len(self._layers))):
            layer = self._layers[index]
            layer.through(gradient)
            layer.backward(gradient)
            if index:
                gradient = layer.by_inputs(gradient)

    def by_last_inputs(self, gradient: Tensor, columns: int) -> Tensor:
        """``gradient`` [M, B, features], which is destroyed, to the one by the last ``columns`` inputs [M, B, columns].

        Those of the parameters are left as they are.
        """
        for layer in reversed(self._layers[1:]):
            layer.through(gradient)
            gradient = layer.by_inputs(gradient)
        self._first.through(gradient)
        return self._first.by_last_inputs(gradient, columns)


def stacked_path(modules: Sequence[nn.Module], batch_size: int) -> StackedPath | None:
    """Bodies, or bodies with their heads, as one path.

    None unless they are MLPs of one shape, evenly spaced in one flat buffer.
    """
    headed = [module for module in modules if isinstance(module, Headed)]
    mlps = [body for body in ([module.body for module in headed] or modules) if isinstance(body, MLP)]
    if len(mlps) < len(modules) or not mlps[0].linear or any(mlp.config != mlps[0].config for mlp in mlps):
        return None
    columns: list[tuple[Sequence[nn.Linear | nn.LayerNorm], str]] = []
    for index in range(len(mlps[0].linear)):
        norms = [mlp.normal[index] for mlp in mlps if mlp.normal]
        columns.append(([mlp.linear[index] for mlp in mlps], "" if norms else mlps[0].config.activation))
        if norms:
            columns.append((norms, mlps[0].config.activation))
    if headed:
        columns.append(([module.head for module in headed], ""))
    layers = [stacked_layer(column, batch_size, activation) for column, activation in columns]
    found = [layer for layer in layers if layer is not None]
    first, *others = found
    if len(found) < len(layers) or not isinstance(first, StackedLinear):
        return None
    return StackedPath(mlps[0].encoder, first, others, len(mlps))


def stacked_layer(column: Sequence[nn.Linear | nn.LayerNorm], batch_size: int,
                  activation: str) -> StackedLinear | StackedNorm | None:
    """Layers of one kind and shape as one; None unless they are evenly spaced in one flat buffer."""
    groups = ([layer.weight for layer in column], [layer.bias for layer in column])
    views = [stack_view([item.detach() for item in group]) for group in groups]
    views += [stack_view([item.grad for item in group if item.grad is not None]) for group in groups]
    weight, bias, weight_gradient, bias_gradient = views
    if weight is None or bias is None or weight_gradient is None or bias_gradient is None:
        return None
    if isinstance(column[0], nn.LayerNorm):
        return StackedNorm(weight, bias, weight_gradient, bias_gradient, column[0].eps, activation)
    return StackedLinear(weight, bias, weight_gradient, bias_gradient, batch_size, activation)
