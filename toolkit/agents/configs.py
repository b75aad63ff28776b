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


SMALL_TANH = {"hidden_sizes": (64, 64), "activation": "tanh"}


@dataclass(frozen=True)
class OnPolicyConfig:
    """What the on-policy agents share."""

    learning_rate: float = setting(3e-4, "step size of the optimizer", above=0)
    learning_rate_schedule: Part = part("scheduler", "constant", "how the learning rate changes over the run")
    n_steps: int = setting(128, "steps of each environment in a rollout", unit="steps", minimum=1)
    gamma: float = setting(0.99, "discount factor; higher looks further ahead", minimum=0, maximum=1)
    gae_lambda: float = setting(0.95, "trades bias (0) for variance (1) in advantages", minimum=0, maximum=1)
    ent_coef: float = setting(0.0, "weight of the entropy; higher explores more", minimum=0)
    vf_coef: float = setting(0.5, "weight of the value loss", minimum=0)
    max_grad_norm: float = setting(0.5, "gradients are scaled to at most this norm", above=0)
    normalize_advantage: bool = setting(True, "give advantages mean 0 and deviation 1 in each minibatch")
    normalize_observations: bool = setting(False, "give observations running mean 0 and deviation 1")
    normalize_rewards: bool = setting(False, "divide rewards by the running deviation of the discounted return")
    orthogonal_init: bool = setting(True, "start from orthogonal weights")
    log_std_init: float = setting(0.0, "first log standard deviation of continuous actions")
    share_network: bool = setting(False, "policy and value on one body")
    network: Part = part("network", "mlp", "the body of policy and value", SMALL_TANH)


@dataclass(frozen=True)
class PPOConfig(OnPolicyConfig):
    """Proximal policy optimisation (Schulman et al., 2017)."""

    n_steps: int = setting(2048, "steps of each environment in a rollout", unit="steps", minimum=1)
    batch_size: int = setting(64, "steps in one minibatch", unit="steps", minimum=1)
    n_epochs: int = setting(10, "passes over each rollout", unit="passes", minimum=1)
    clip_range: float = setting(0.2, "how far the probability ratio may move from 1", above=0)
    clip_range_schedule: Part = part("scheduler", "constant", "how clip_range changes over the run")
    clip_range_vf: float | None = setting(None, "how far a value may move from its old one; none does not limit it", above=0)
    target_kl: float | None = setting(None, "stop a phase when the divergence exceeds 1.5 times this; none never stops", above=0)


@dataclass(frozen=True)
class ActorCriticConfig(OnPolicyConfig):
    """Advantage actor-critic (Mnih et al., 2016)."""

    learning_rate: float = setting(7e-4, "step size of the optimizer", above=0)
    n_steps: int = setting(5, "steps of each environment in a rollout", unit="steps", minimum=1)
    gae_lambda: float = setting(1.0, "trades bias (0) for variance (1) in advantages", minimum=0, maximum=1)
    normalize_advantage: bool = setting(False, "give advantages mean 0 and deviation 1 in each rollout")
    use_rms_prop: bool = setting(True, "RMSprop, as in the paper; otherwise Adam")
