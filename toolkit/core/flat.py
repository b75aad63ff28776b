"""One flat buffer for all parameters of a module, and one for all gradients.

With every parameter a view into one tensor, clipping is one norm, an optimizer step is one fused
call, and copying a target network is one copy. It is transparent to the module: any
`torch.nn.Module` works, and autograd accumulates into the same buffers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # what norms have seen, in no gradient's reach


class FlatParameters:
    """Moves the parameters of ``module`` into one buffer.

    values     Tensor [P] float, all parameters in the order of ``module.parameters()``
    gradients  Tensor [P], what backward passes write to
    """

    def __init__(self, module: nn.Module) -> None:
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if not parameters:
            raise ValueError(f"{type(module).__name__} has no trainable parameters")
        self.module = module
        self.statistics = [value for name, value in module.named_buffers() if name.rpartition(".")[2] in STATISTICS]
        self.values = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])  # [P]
        self.gradients = torch.zeros_like(self.values)
        offset = 0
        for parameter in parameters:
            size, shape = parameter.numel(), parameter.shape
            parameter.data = self.values[offset:offset + size].view(shape)
            parameter.grad = self.gradients[offset:offset + size].view(shape)
            offset += size

    def clip(self, max_norm: float | None) -> float:
        """Scale the gradients to a global norm of at most ``max_norm``; returns the norm before.

        The factor is ``max_norm / (norm + 1e-6)``, as in ``torch.nn.utils.clip_grad_norm_``.
        """
        norm = float(torch.linalg.vector_norm(self.gradients))
        if max_norm is not None and norm > max_norm:
            self.gradients.mul_(max_norm / (norm + 1e-6))
        return norm

    def blend_into(self, target: FlatParameters, tau: float) -> None:
        """``target <- tau * self + (1 - tau) * target``; ``tau`` 1 is a plain copy, as what norms have seen always is."""
        if tau == 1.0:
            target.values.copy_(self.values)
        else:
            target.values.lerp_(self.values, tau)
        for seen, copied in zip(self.statistics, target.statistics, strict=True):
            copied.copy_(seen)


def named_parameters(modules: dict[str, nn.Module]) -> dict[str, Tensor]:
    """All parameters of several modules under ``module.parameter`` names."""
    return {f"{name}.{key}": value.detach() for name, module in modules.items()
            for key, value in module.named_parameters()}
