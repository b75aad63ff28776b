"""Agents: policies, networks, replay buffers, returns, and one file per algorithm."""

from toolkit.registry import Declarer


def declare(registry: Declarer) -> None:
    """The room's components."""
    registry.add("agent", "dqn", "toolkit.agents.dqn:DQN", config="toolkit.agents.configs:DQNConfig",
                 summary="Deep Q-learning for discrete actions, double by default.",
                 accepts=("Discrete",), presets="toolkit.agents:presets/dqn.toml")
    registry.add("agent", "ppo", "toolkit.agents.ppo:PPO", config="toolkit.agents.configs:PPOConfig",
                 summary="Proximal policy optimisation with a clipped objective.",
                 accepts=("Discrete", "MultiDiscrete", "MultiBinary", "Box"), presets="toolkit.agents:presets/ppo.toml")
    registry.add("agent", "actor-critic", "toolkit.agents.actor_critic:ActorCriticAgent", aliases=("a2c",),
                 config="toolkit.agents.configs:ActorCriticConfig", summary="Synchronous advantage actor-critic.",
                 accepts=("Discrete", "MultiDiscrete", "MultiBinary", "Box"),
                 presets="toolkit.agents:presets/actor-critic.toml")
    registry.add("network", "mlp", "toolkit.agents.networks.mlp:MLP", config="toolkit.agents.configs:MLPConfig",
                 summary="Fully connected layers; with a hand-written fast path on the CPU.")
    registry.add("buffer", "uniform", "toolkit.agents.buffers.uniform:UniformBuffer",
                 summary="Replay sampled uniformly; every observation is stored once.")
    registry.add("buffer", "rollout", "toolkit.agents.buffers.rollout:RolloutBuffer",
                 summary="The steps since the last update, used once; for on-policy agents.")
