"""Networks that drop out and normalise over the batch: at random and by the batch while they learn, and then alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from toolkit.agents.networks.encode import Encoder
from toolkit.registry import registry
from toolkit.training.api import load, train

SMALL = {"n_steps": 32, "batch_size": 16, "learning_starts": 32, "target_update_interval": 50, "episodes_per_update": 2}
AGENTS = [entry for entry in registry.entries("agent", plugins=False)
          if "network" in {item.name for item in entry.settings} and not str(entry.target).startswith("toolkit.bridges")]
CASES: list[tuple[str, dict[str, Any]]] = [(entry.name, {}) for entry in AGENTS] + [
    ("dqn", {"noisy": True}), ("ppo", {"share_network": True}), ("ppo", {"recurrent": True}),
    ("sac", {"use_sde": True}), ("dqn", {"average_fraction": 0.5})]


class Moody(nn.Module):
    """Half of its features are dropped, and what is left is seen beside the batch."""

    features = 8

    def __init__(self, config: Any = None, *, observation_space: Any) -> None:
        super().__init__()
        self.encoder = Encoder(observation_space)
        self.layers = nn.Sequential(nn.Linear(self.encoder.size, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5))

    def forward(self, observations: Tensor) -> Tensor:
        found: Tensor = self.layers(self.encoder(observations))
        return found


def statistics(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.named_buffers() if name.endswith(("running_mean", "batches_tracked"))}


@pytest.mark.usefixtures("only_here")
@pytest.mark.parametrize(("agent", "options"), CASES, ids=[name + "".join(f" {key}" for key in more) for name, more in CASES])
def test_what_a_policy_does_is_not_left_to_its_dropout_nor_to_the_rest_of_the_batch(
        agent: str, options: dict[str, Any], tmp_path: Path) -> None:
    registry.register("network", "moody-test", summary="A test's.")(Moody)
    known = {item.name for item in registry.get("agent", agent).settings}
    small = {name: value for name, value in SMALL.items() if name in known}
    env = "Pendulum-v1" if agent in ("sac", "td3") or "use_sde" in options else "CartPole-v1"
    run: Any = train(agent, env=env, preset="none", steps=96, max_episode_steps=60, network="moody-test", final_episodes=1,
                     evaluate_every=0, threads=1, out=str(tmp_path / "run"), **small, **options)
    policy: Any = load(tmp_path / "run")
    modules = [value for value in vars(policy.agent).values() if isinstance(value, nn.Module)]
    before = [statistics(module) for module in modules]
    assert all(int(seen) > 0 for found in before for name, seen in found.items() if name.endswith("tracked")), "it has learned"
    batch = np.random.default_rng(0).normal(size=(12, *policy.observation_space.shape)).astype(np.float32)
    first = policy.predict(batch)[0]
    for _ in range(5):
        np.testing.assert_array_equal(policy.predict(batch)[0], first)
    np.testing.assert_allclose(np.stack([policy.predict(row)[0] for row in batch]), first, atol=1e-5)
    assert run.evaluate(2, seed=3).summary == policy.evaluate(2, seed=3).summary
    for module, seen in zip(modules, before, strict=True):
        assert not any(part.training for part in module.modules() if isinstance(part, (nn.Dropout, nn.BatchNorm1d)))
        assert all(torch.equal(value, seen[name]) for name, value in statistics(module).items())
