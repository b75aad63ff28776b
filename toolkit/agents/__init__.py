"""Agents: policies, networks, replay buffers, returns, and one file per algorithm."""

from toolkit.registry import Declarer


def declare(registry: Declarer) -> None:
    """The room's components."""
    registry.add("agent", "dqn", "toolkit.agents.dqn:DQN", config="toolkit.agents.configs:DQNConfig",
                 summary="Deep Q-learning for discrete actions, double by default.",
                 accepts=("Discrete",), presets="toolkit.agents:presets/dqn.toml")
    registry.add("network", "mlp", "toolkit.agents.networks.mlp:MLP", config="toolkit.agents.configs:MLPConfig",
                 summary="Fully connected layers; with a hand-written fast path on the CPU.")
    registry.add("buffer", "uniform", "toolkit.agents.buffers.uniform:UniformBuffer",
                 summary="Replay sampled uniformly; every observation is stored once.")
    registry.add("buffer", "rollout", "toolkit.agents.buffers.rollout:RolloutBuffer",
                 summary="The steps since the last update, used once; for on-policy agents.")
