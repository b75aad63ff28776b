"""Bridges: algorithms of other libraries as agents of the registry.

A bridged agent is an agent like any other: the toolkit's environments, buffers, trainer, evaluation and
checkpoints, around the other library's networks, losses and updates.
"""

from toolkit.registry import Declarer

SB3 = {"stable_baselines3": "pip install stable-baselines3"}
TORCHRL = {"torchrl": "pip install torchrl"}
ANY = ("Discrete", "MultiDiscrete", "MultiBinary", "Box")


def declare(registry: Declarer) -> None:
    """The room's components."""
    for name, title in (("PPO", "Proximal policy optimisation"), ("A2C", "Advantage actor-critic")):
        registry.add("agent", f"sb3-{name.lower()}", f"toolkit.bridges.sb3.on_policy:{name}Agent", extras=SB3, accepts=ANY,
                     config=f"toolkit.bridges.configs:SB3{name}Config", summary=f"{title} of Stable-Baselines3.",
                     presets=f"toolkit.bridges:presets/sb3-{name.lower()}.toml")
    for name, title, accepts in (("DQN", "Deep Q-learning", ("Discrete",)), ("SAC", "Soft actor-critic", ("Box",)),
                                 ("TD3", "Twin delayed deterministic policy gradient", ("Box",)),
                                 ("DDPG", "Deep deterministic policy gradient", ("Box",))):
        registry.add("agent", f"sb3-{name.lower()}", f"toolkit.bridges.sb3.off_policy:{name}Agent", extras=SB3, accepts=accepts,
                     config=f"toolkit.bridges.configs:SB3{name}Config", summary=f"{title} of Stable-Baselines3.",
                     presets="" if name == "DDPG" else f"toolkit.bridges:presets/sb3-{name.lower()}.toml")
    registry.add("agent", "torchrl-ppo", "toolkit.bridges.torchrl.ppo:PPOAgent", extras=TORCHRL, accepts=("Discrete", "Box"),
                 config="toolkit.bridges.configs:TorchRLPPOConfig",
                 summary="Proximal policy optimisation with TorchRL's loss and advantages.")
    registry.add("agent", "torchrl-dqn", "toolkit.bridges.torchrl.dqn:DQNAgent", extras=TORCHRL, accepts=("Discrete",),
                 config="toolkit.bridges.configs:TorchRLDQNConfig",
                 summary="Deep Q-learning with TorchRL's loss, target updates and storage.")
