"""What a policy network promises (`toolkit.agents.base.Network`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from toolkit.errors import UsageError
from toolkit.testing.gpu import gpu, require_same, unrounded
from toolkit.testing.suite import NotPromised, Suite, require

SPACES: dict[str, gymnasium.Space[Any]] = {
    "vector": spaces.Box(-1.0, 1.0, (5,), np.float32), "frames": spaces.Box(-1.0, 1.0, (4, 3), np.float32),
    "picture": spaces.Box(0, 255, (4, 48, 48), np.uint8), "number": spaces.Discrete(6),
}
OTHER_SIZES: dict[str, gymnasium.Space[Any]] = {
    "vector": spaces.Box(-1.0, 1.0, (9,), np.float32), "frames": spaces.Box(-1.0, 1.0, (6, 4), np.float32),
    "picture": spaces.Box(0, 255, (3, 64, 56), np.uint8), "number": spaces.Discrete(11),
}
TOLERANCE = 1e-4


class NetworkSuite(Suite):
    """A network's promises. ``observation_spaces`` are those to try it on; by default the ones that it does not refuse."""

    kind = "network"
    observation_spaces: Mapping[str, gymnasium.Space[Any]] = {}

    def each(self, others: Mapping[str, gymnasium.Space[Any]] = SPACES) -> Iterator[tuple[str, gymnasium.Space[Any], Any]]:
        """Name, space and the network made for it, for every space that the network takes."""
        found = 0
        for name, space in (self.observation_spaces or others).items():
            torch.manual_seed(0)
            try:
                network = self.make(observation_space=space)
            except UsageError:
                continue
            found += 1
            yield name, space, network
        if not found:
            raise NotPromised(f"it refuses each of {', '.join(SPACES)}; set observation_spaces to what it takes")

    def test_features_have_the_stated_width(self) -> None:
        """Features are float [B, features], for a batch of one and of many."""
        for name, space, network in self.each():
            for count in (1, 7):
                found = network(drawn(space, count))
                require(tuple(found.shape) == (count, network.features), f"features of {count} observations ({name}) have the "
                        f"shape {tuple(found.shape)}, promised: {(count, network.features)}")
                require(found.dtype == torch.float32, f"features are {found.dtype}, promised: torch.float32")

    def test_it_takes_other_sizes(self) -> None:
        """Observations of other sizes give features too."""
        if self.observation_spaces:
            raise NotPromised("its observation_spaces are the author's")
        taken = {name for name, _, _ in self.each()}
        for name, space, network in self.each({name: space for name, space in OTHER_SIZES.items() if name in taken}):
            found = network(drawn(space, 3))
            require(tuple(found.shape) == (3, network.features), f"features of 3 observations of {space} ({name}) have the shape "
                    f"{tuple(found.shape)}, promised: {(3, network.features)}")

    def test_a_batch_equals_its_rows(self) -> None:
        """What is computed of one observation does not depend on the others of its batch."""
        for name, space, network in self.each():
            network.eval()
            seen = drawn(space, 6)
            with torch.no_grad():
                together = network(seen)
                alone = torch.cat([network(seen[row:row + 1]) for row in range(6)])
            require(close(together, alone), f"features of a batch ({name}) differ from those of its rows one by one, by "
                                            f"{float((together - alone).abs().max()):.2g}")

    def test_gradients_reach_every_parameter(self) -> None:
        """Every parameter gets a finite gradient, and at least one of them is not zero."""
        for name, space, network in self.each():
            network.train()
            network.zero_grad()
            network(drawn(space, 16)).square().sum().backward()
            gradients = {key: value.grad for key, value in network.named_parameters() if value.requires_grad}
            require(gradients, "it has no parameters to learn")
            for key, gradient in gradients.items():
                require(gradient is not None, f"no gradient reaches the parameter {key!r} ({name})")
                require(bool(gradient.isfinite().all()), f"the gradient of {key!r} is not finite ({name})")
            require(any(bool(gradient.any()) for gradient in gradients.values()), f"all gradients are zero ({name})")

    def test_the_fast_path_equals_autograd(self) -> None:
        """Features and gradients of the hand-written path are those of autograd, also for a batch that is not full."""
        tried = 0
        for name, space, network in self.each():
            if not hasattr(network, "fast_path"):
                continue
            learned = {key: value for key, value in network.named_parameters() if value.requires_grad}
            for value in learned.values():
                value.grad = torch.zeros_like(value)
            path = network.fast_path(8)
            if path is None:
                continue
            tried += 1
            for count in (8, 3):
                seen, pull = drawn(space, count), torch.randn(count, network.features, generator=torch.Generator().manual_seed(1))
                wanted = network(seen)
                gradients = torch.autograd.grad(wanted, list(learned.values()), pull)
                which = f"({name}, {count} of at most 8 observations)"
                require(close(path.forward(seen), wanted.detach()), f"the fast path gives other features {which}")
                path.backward(pull.clone())
                for (key, value), gradient in zip(learned.items(), gradients):
                    require(close(value.grad, gradient), f"the fast path gives another gradient of {key!r} {which}")
        if not tried:
            raise NotPromised("it offers no fast path")

    def test_acting_equals_the_module(self) -> None:
        """The function for acting gives what the module gives."""
        tried = 0
        for name, space, network in self.each():
            function = network.acting() if getattr(network, "acting", None) else None
            if function is None:
                continue
            tried += 1
            seen = drawn(space, 5)
            with torch.no_grad():
                wanted = network(seen)
            require(close(torch.from_numpy(np.array(function(seen.numpy()))), wanted),
                    f"acting() gives other features than the module ({name})")
        if not tried:
            raise NotPromised("it offers no function for acting")

    def test_its_parameters_are_restored(self) -> None:
        """state_dict() holds all that decides the features."""
        for name, space, network in self.each():
            torch.manual_seed(99)
            other = self.make(observation_space=space)
            other.load_state_dict(network.state_dict())
            seen = drawn(space, 4)
            with torch.no_grad():
                require(torch.equal(network.eval()(seen), other.eval()(seen)), f"restored, it gives other features ({name})")

    def test_on_a_gpu_it_gives_the_same(self) -> None:
        """On a GPU features are those of the CPU, and every parameter gets a finite gradient there."""
        device = gpu()
        for name, space, network in self.each():
            seen = drawn(space, 6)
            network.eval()
            with torch.no_grad(), unrounded():
                wanted = network(seen)
                found = network.to(device)(seen.to(device))
            require_same(found, wanted, f"features ({name})")
            network.train()
            network(seen.to(device)).square().sum().backward()
            for key, value in network.named_parameters():
                require(value.grad is not None and bool(value.grad.isfinite().all()),
                        f"the gradient of {key!r} on the GPU is not finite ({name})")


def drawn(space: gymnasium.Space[Any], count: int) -> Tensor:
    """Observations [count, ...] drawn from ``space``."""
    space.seed(0)
    return torch.from_numpy(np.stack([np.asarray(space.sample()) for _ in range(count)]))


def close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.allclose(one, other, atol=TOLERANCE, rtol=TOLERANCE))
