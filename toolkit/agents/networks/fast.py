"""Forward and backward by hand, for stacks of linear layers.

Letters: B batch, I inputs, O outputs of a layer.

On small networks autograd's graph and module calls cost more than the arithmetic. Here each layer
is three matrix products on preallocated tensors, and gradients land where ``parameter.grad``
points (a view of the flat gradient buffer). A test holds it equal to autograd. `AutogradPath`
gives any other module the same interface.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.agents.base import FastPath

relu_backward = torch.ops.aten.threshold_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.grad_input
layer_norm_backward = torch.ops.aten.native_layer_norm_backward
NARROW = 32  # inputs or outputs of a layer up to which NumPy's product is the faster one


def tanh_(outputs: Tensor) -> Tensor:
    """The hyperbolic tangent in place. NumPy's is six times as fast as torch's on a CPU (AVX-512 or AVX2, 1 ulp)."""
    if not outputs.is_cpu:
        return outputs.tanh_()
    array = outputs.numpy()
    np.tanh(array, out=array)
    return outputs


def weight_gradient(gradient: Tensor, inputs: Tensor, out: Tensor) -> None:
    """``gradient.T @ inputs`` [..., O, I] into ``out``, from [..., B, O] and [..., B, I].

    An environment's few numbers, or its few actions, make a narrow product, for which torch's library needs 2 to 20 times as
    long as NumPy's.
    """
    if (inputs.shape[-1] <= NARROW or gradient.shape[-1] <= NARROW) and gradient.is_cpu:
        np.matmul(gradient.numpy().swapaxes(-1, -2), inputs.numpy(), out=out.numpy())
    else:
        torch.matmul(gradient.transpose(-1, -2), inputs, out=out)


def narrow_product(inputs: Tensor, weight: Tensor) -> Tensor:
    """``inputs @ weight`` [..., B, O], from [..., B, I] and [..., I, O] of few columns O: see `weight_gradient`."""
    if inputs.is_cpu and weight.shape[-1] <= NARROW:
        return torch.from_numpy(np.matmul(inputs.numpy(), weight.numpy()))
    return torch.matmul(inputs, weight)


def activate_(outputs: Tensor, activation: str) -> Tensor:
    """``activation`` (``relu``, ``tanh``, or empty for none) in place."""
    if activation == "relu":
        return outputs.relu_()
    return tanh_(outputs) if activation == "tanh" else outputs


def activate_backward_(gradient: Tensor, outputs: Tensor, activation: str) -> None:
    """The gradient before ``activation`` from the one after it, in place; ``outputs`` are those of `activate_`."""
    if activation == "relu":
        relu_backward(gradient, outputs, 0, grad_input=gradient)
    elif activation == "tanh":
        tanh_backward(gradient, outputs, grad_input=gradient)


def gradients_of(layer: nn.Linear | nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """Where the gradients of weight and bias go. Raises ValueError outside of a FlatParameters buffer."""
    if layer.weight.grad is None or layer.bias.grad is None:
        raise ValueError("a fast path needs parameters in a FlatParameters buffer")
    return layer.weight.grad, layer.bias.grad


class LinearPath:
    """``activation(inputs @ weight.T + bias)`` for batches of at most ``batch_size`` rows."""

    def __init__(self, layer: nn.Linear, batch_size: int, activation: str = "", first: bool = False,
                 input_gradient: Tensor | None = None) -> None:
        weight, bias = layer.weight, layer.bias
        self.in_features = layer.in_features
        self._weight, self._bias = weight.detach(), bias.detach()
        self._weight_t = self._weight.t()  # (I, O)
        self._weight_gradient, self._bias_gradient = gradients_of(layer)
        self._outputs = self._weight.new_empty(batch_size, layer.out_features)  # (B, O)
        # The first layer's input gradient is never needed; a caller may say where another's goes.
        self._input_gradient = None if first else self._weight.new_empty(batch_size, layer.in_features)  # (B, I)
        if input_gradient is not None:
            self._input_gradient = input_gradient
        self._activation, self._batch_size = activation, batch_size
        self._inputs = self._current = self._outputs

    def forward(self, inputs: Tensor) -> Tensor:
        self._inputs = inputs
        outputs = self._outputs if len(inputs) == self._batch_size else self._outputs[:len(inputs)]
        torch.addmm(self._bias, inputs, self._weight_t, out=outputs)
        self._current = activate_(outputs, self._activation)
        return outputs

    def backward(self, gradient: Tensor) -> Tensor | None:
        activate_backward_(gradient, self._current, self._activation)
        weight_gradient(gradient, self._inputs, self._weight_gradient)
        torch.sum(gradient, 0, out=self._bias_gradient)
        if self._input_gradient is None:
            return None
        out = self._input_gradient if len(gradient) == self._batch_size else self._input_gradient[:len(gradient)]
        return torch.mm(gradient, self._weight, out=out)


class NormPath:
    """``activation(layer_norm(inputs))`` over the last dimension [B, O]."""

    def __init__(self, norm: nn.LayerNorm, activation: str = "") -> None:
        self._weight, self._bias, self._eps = norm.weight.detach(), norm.bias.detach(), norm.eps
        self._weight_gradient, self._bias_gradient = gradients_of(norm)
        self._activation = activation
        self._inputs = self._mean = self._scale = self._current = self._weight

    def forward(self, inputs: Tensor) -> Tensor:
        found = torch.native_layer_norm(inputs, self._weight.shape, self._weight, self._bias, self._eps)
        outputs, self._mean, self._scale = found
        self._inputs, self._current = inputs, activate_(outputs, self._activation)
        return outputs

    def backward(self, gradient: Tensor) -> Tensor | None:
        activate_backward_(gradient, self._current, self._activation)
        by_inputs, by_weight, by_bias = layer_norm_backward(
            gradient, self._inputs, self._weight.shape, self._mean, self._scale, self._weight, self._bias, (True, True, True))
        self._weight_gradient.copy_(by_weight)
        self._bias_gradient.copy_(by_bias)
        result: Tensor = by_inputs
        return result


class ChainPath:
    """Fast paths one after another."""

    def __init__(self, links: Sequence[FastPath]) -> None:
        self._links = tuple(links)
        self._reversed = tuple(reversed(self._links))

    def forward(self, inputs: Tensor) -> Tensor:
        for link in self._links:
            inputs = link.forward(inputs)
        return inputs

    def backward(self, gradient: Tensor) -> Tensor | None:
        result: Tensor | None = gradient
        for link in self._reversed:
            # None: the first layer with parameters is behind us.
            if result is None:
                return None
            result = link.backward(result)
        return result


@contextmanager
def learning(module: nn.Module) -> Iterator[None]:
    """In which ``module`` is in training mode: dropout drops, batch norms see the batch.

    Agents' networks are in evaluation mode but for this: what they do, and what they aim for, are not left to chance.
    """
    module.train()
    try:
        yield
    finally:
        module.eval()


class AutogradPath:
    """The interface of a fast path over any module, by autograd."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._gradients = [p.grad for p in module.parameters() if p.requires_grad and p.grad is not None]
        self._outputs: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.enable_grad(), learning(self._module):
            self._outputs = self._module(inputs)
        return self._outputs.detach()

    def backward(self, gradient: Tensor) -> Tensor | None:
        if self._outputs is None:
            raise ValueError("backward was called before forward")
        torch._foreach_zero_(self._gradients)
        self._outputs.backward(gradient)
        self._outputs = None
        return None


def path_of(module: nn.Module, batch_size: int) -> FastPath:
    """The module's own fast path where it has one, autograd otherwise."""
    return own_path(module, batch_size) or AutogradPath(module)


def forward_of(module: nn.Module, batch_size: int) -> Callable[[Tensor], Tensor]:
    """Outputs of at most ``batch_size`` rows from which nothing goes back; they may be written over by the next call."""
    path = own_path(module, batch_size)
    if path is not None:
        return path.forward

    def forward(inputs: Tensor) -> Tensor:
        with torch.no_grad():
            outputs: Tensor = module(inputs)
        return outputs

    return forward


def own_path(module: nn.Module, batch_size: int) -> FastPath | None:
    own: Callable[[int], FastPath | None] | None = getattr(module, "fast_path", None)
    return own(batch_size) if own is not None else None
