"""Every knob of the agents' room on one page."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.config import Part, part, setting


@dataclass(frozen=True)
class MLPConfig:
    """Fully connected layers."""

    hidden_sizes: tuple[int, ...] = setting((256, 256), "width of each hidden layer", unit="units", minimum=1)
    activation: str = setting("relu", "between the layers", choices=("relu", "tanh"))


@dataclass(frozen=True)
class DQNConfig:
    """Deep Q-learning (Mnih et al., 2015), with double Q-learning (van Hasselt et al., 2016)."""

    learning_rate: float = setting(5e-4, "Adam's step size", above=0)
    learning_rate_schedule: Part = part("scheduler", "constant", "how the learning rate changes over the run")
    buffer_size: int = setting(100_000, "transitions that the replay buffer holds", unit="steps", minimum=1)
    learning_starts: int = setting(1_000, "random steps before learning begins", unit="steps", minimum=0)
    batch_size: int = setting(64, "transitions in one update", unit="steps", minimum=1)
    gamma: float = setting(0.99, "discount factor; higher looks further ahead", minimum=0, maximum=1)
    train_freq: int = setting(4, "environment steps between two training phases", unit="steps", minimum=1)
    gradient_steps: int = setting(1, "updates in one training phase; -1 means one for each step collected", minimum=-1)
    target_update_interval: int = setting(500, "environment steps between two target updates", unit="steps", minimum=1)
    tau: float = setting(1.0, "share of the online network in a target update; 1 is a copy", above=0, maximum=1)
    exploration_fraction: float = setting(0.1, "share of the run over which epsilon falls", minimum=0, maximum=1)
    exploration_initial_eps: float = setting(1.0, "epsilon at the start", minimum=0, maximum=1)
    exploration_final_eps: float = setting(0.05, "epsilon after exploration_fraction", minimum=0, maximum=1)
    max_grad_norm: float = setting(10.0, "gradients are scaled to at most this norm", above=0)
    double: bool = setting(True, "choose the next action with the online network, value it with the target")
    network: Part = part("network", "mlp", "the body of the Q-network")
    buffer: Part = part("buffer", "uniform", "the replay buffer")
