"""Optimizers beside torch's own loops; schedules beside torch's schedulers; state across a save."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from toolkit.core.state import join, split
from toolkit.core.torch_optimizers import OptimizerState, set_learning_rate
from toolkit.registry import registry

NAMES = [entry.name for entry in registry.entries("optimizer", plugins=False)]
SCHEDULES = [entry.name for entry in registry.entries("scheduler", plugins=False)]


def steps(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


def fresh() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(3, 4, generator=generator)), nn.Parameter(torch.randn(4, generator=generator))]


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_optimizer_goes_on_to_the_bit(name: str) -> None:
    whole, parts = fresh(), fresh()
    optimizer = registry.make("optimizer", name, parameters=whole, learning_rate=0.1)
    steps(optimizer, whole, 3, seed=1)
    steps(optimizer, whole, 3, seed=2)
    first = registry.make("optimizer", name, parameters=parts, learning_rate=0.1)
    steps(first, parts, 3, seed=1)
    tensors, skeleton = split(OptimizerState(first).state_dict())
    second = registry.make("optimizer", name, parameters=parts, learning_rate=0.1)
    OptimizerState(second).load_state_dict(join(tensors, json.loads(json.dumps(skeleton))))
    steps(second, parts, 3, seed=2)
    assert all(torch.equal(one, other) for one, other in zip(whole, parts, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_goes_downhill(name: str) -> None:
    point = nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = registry.make("optimizer", name, parameters=[point], learning_rate=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        point.square().sum().backward()
        optimizer.step()
    assert float(point.detach().square().sum()) < 0.1


def test_adamw_equals_torchs_on_matrices_and_leaves_vectors_undecayed() -> None:
    ours, theirs = fresh(), fresh()
    steps(registry.make("optimizer", "adamw", parameters=ours, learning_rate=0.1, weight_decay=0.5), ours, 4, seed=3)
    steps(torch.optim.AdamW([{"params": [theirs[0]]}, {"params": [theirs[1]], "weight_decay": 0.0}], lr=0.1, weight_decay=0.5),
          theirs, 4, seed=3)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(ours, theirs, strict=True))


def test_a_groups_scale_multiplies_the_learning_rate() -> None:
    optimizer = torch.optim.SGD([{"params": [fresh()[0]], "scale": 0.5}, {"params": [fresh()[1]]}], lr=1.0)
    set_learning_rate(optimizer, 0.2)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_between_zero_and_one(name: str) -> None:
    schedule = registry.make("scheduler", name)
    assert all(0.0 <= schedule(step / 100) <= 1.0 for step in range(101))


def test_one_cycle_and_cosine_equal_torchs() -> None:
    total = 50
    optimizer = torch.optim.SGD(fresh(), lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=total + 1, div_factor=25, final_div_factor=10_000,
                                                 cycle_momentum=False)
    ours = registry.make("scheduler", "one-cycle")
    # torch counts the way up to the step before warm-up ends, so the peaks are one step apart at most.
    for step in range(total):
        assert abs(optimizer.param_groups[0]["lr"] - ours(step / total)) < 0.1
        optimizer.step()
        theirs.step()
    optimizer = torch.optim.SGD(fresh(), lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    plain = registry.make("scheduler", "cosine", warmup=0.0)
    for step in range(total):
        assert abs(optimizer.param_groups[0]["lr"] - plain(step / total)) < 1e-6
        optimizer.step()
        cosine.step()


def test_plateau_follows_torchs_rule() -> None:
    scores = [1.0, 2.0, 1.9, 1.8, 1.7, 3.0, 2.0, 2.5, 2.9, 3.5]
    optimizer = torch.optim.SGD(fresh(), lr=1.0)
    # Torch drops after more than `patience` evaluations without a better one, we after `patience`.
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", factor=0.5, patience=1, threshold=0.0)
    ours = registry.make("scheduler", "plateau", patience=2, gamma=0.5)
    for count, score in enumerate(scores, 1):
        theirs.step(score)
        assert optimizer.param_groups[0]["lr"] == ours(0.5, scores=scores[:count])
