"""Layers without attention: MLP, activations, dropout, embedding, norms, residual blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolkit.core.configs import ActivationConfig, DropoutConfig, EmbeddingConfig, MLPLayerConfig, NormConfig, ResidualConfig
from toolkit.core.layers import dropout
from toolkit.core.models.mlp import ACTIVATIONS, MLPModel


class MLP(nn.Module):
    """Fully connected layers: x [..., inputs] -> [..., outputs]. Raises RuntimeError (torch) for another width.

    With ``norm`` batch, x is [B, inputs]. Source: Rumelhart et al. (1986); weights as Glorot and Bengio (2010).

    >>> MLP(MLPLayerConfig(inputs=3, hidden_sizes=(5,), outputs=2))(torch.zeros(4, 3)).shape
    torch.Size([4, 2])
    """

    def __init__(self, config: MLPLayerConfig) -> None:
        super().__init__()
        self.layers = MLPModel(config, config.inputs, config.outputs).layers

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found


class Activation(nn.Module):
    """A function of each number: x of any shape -> the same shape. Raises ConfigError for another name.

    Source: relu Nair and Hinton (2010), gelu Hendrycks and Gimpel (2016), silu Elfwing et al. (2018),
    elu Clevert et al. (2016), leaky-relu Maas et al. (2013).

    >>> Activation(ActivationConfig("relu"))(torch.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, config: ActivationConfig) -> None:
        super().__init__()
        self.function = ACTIVATIONS[config.name]()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.function(x)
        return found


class Dropout(nn.Module):
    """While training, sets a share of x (any shape) to 0 and scales the rest up, so that the mean stays.

    Reads torch's default generator. Raises ConfigError for a share outside [0, 1). Source: Srivastava et al. (2014).

    >>> Dropout(DropoutConfig(0.5)).eval()(torch.ones(2)).tolist()
    [1.0, 1.0]
    """

    def __init__(self, config: DropoutConfig) -> None:
        super().__init__()
        self.share = config.share

    def forward(self, x: Tensor) -> Tensor:
        return dropout.dropped(x, self.share) if self.training else x


class Embedding(nn.Module):
    """A learned vector for each id: ids [B, T] int64 -> [B, T, width]; the padding id's stays 0.

    Raises IndexError (torch) for an id that is not in [0, count). Source: Bengio et al. (2003).

    >>> Embedding(EmbeddingConfig(count=5, width=3))(torch.tensor([[0, 4]]))[0, 0].tolist()
    [0.0, 0.0, 0.0]
    """

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.table = nn.Embedding(config.count, config.width, config.padding)

    def forward(self, ids: Tensor) -> Tensor:
        found: Tensor = self.table(ids)
        return found


class LayerNorm(nn.Module):
    """Each position of x [..., width] to mean 0 and deviation 1, then a learned scale and shift.

    Raises RuntimeError (torch) for another width. Source: Ba et al. (2016), equation 4.

    >>> LayerNorm(NormConfig(width=2))(torch.tensor([[1.0, 3.0]])).round(decimals=3).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(self, config: NormConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width, eps=config.eps)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.norm(x)
        return found


class RMSNorm(nn.Module):
    """Each position of x [..., width] over its root mean square, times a learned scale; no shift.

    Raises RuntimeError (torch) for another width. Source: Zhang and Sennrich (2019), equation 4.

    >>> RMSNorm(NormConfig(width=2))(torch.tensor([[3.0, 4.0]])).mul(100).round().tolist()  # over 3.5355
    [[85.0, 113.0]]
    """

    def __init__(self, config: NormConfig) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(config.width, eps=config.eps)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.norm(x)
        return found


class BatchNorm(nn.Module):
    """Each number of x [B, width] to mean 0 and deviation 1 over the batch; running values when not training.

    Raises ValueError (torch) for one example while training. Source: Ioffe and Szegedy (2015), algorithm 1.

    >>> BatchNorm(NormConfig(width=1))(torch.tensor([[1.0], [3.0]])).round(decimals=3).flatten().tolist()
    [-1.0, 1.0]
    """

    def __init__(self, config: NormConfig) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(config.width, eps=config.eps)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.norm(x)
        return found


class Residual(nn.Module):
    """``x + W2 relu(W1 norm(x))``: x [..., width] -> the same shape; at first it is x itself.

    Raises RuntimeError (torch) for another width. Source: He et al. (2016), equation 1, normalised
    first; the last layer starts at 0 as in Goyal et al. (2017), section 5.1.

    >>> Residual(ResidualConfig(width=2, hidden=4))(torch.tensor([[1.0, 2.0]])).tolist()
    [[1.0, 2.0]]
    """

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.LayerNorm(config.width), nn.Linear(config.width, config.hidden), nn.ReLU(),
                                    dropout.Dropout(config.dropout), nn.Linear(config.hidden, config.width))
        last = self.branch[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.weight.zero_()
            last.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.branch(x)
        return found
