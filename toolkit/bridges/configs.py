"""Every knob of the bridges. Names and defaults are those of the library bridged to."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.config import Part, part, setting


@dataclass(frozen=True)
class SB3Config:
    """What every algorithm of Stable-Baselines3 has."""

    learning_rate: float = setting(3e-4, "step size of the optimizer", above=0)
    learning_rate_schedule: Part = part("scheduler", "constant", "how the learning rate changes over the run", fits="budget")
    gamma: float = setting(0.99, "discount factor; higher looks further ahead", minimum=0, maximum=1)
    net_arch: tuple[int, ...] | None = setting(None, "width of each hidden layer; none takes the policy's own", unit="units",
                                               minimum=1)
    activation: str | None = setting(None, "between the layers; none takes the policy's own", choices=("relu", "tanh"))


@dataclass(frozen=True)
class SB3OnPolicyConfig(SB3Config):
    """What PPO and A2C share."""

    n_steps: int = setting(2048, "steps of each environment in a rollout", unit="steps", minimum=1)
    gae_lambda: float = setting(0.95, "trades bias (0) for variance (1) in advantages", minimum=0, maximum=1)
    ent_coef: float = setting(0.0, "weight of the entropy; higher explores more", minimum=0)
    vf_coef: float = setting(0.5, "weight of the value loss", minimum=0)
    max_grad_norm: float = setting(0.5, "gradients are scaled to at most this norm", above=0)
    normalize_advantage: bool = setting(True, "give advantages mean 0 and deviation 1 in each minibatch")
    log_std_init: float = setting(0.0, "first log standard deviation of continuous actions")
    use_sde: bool = setting(False, "noise that depends on the observation and lasts (gSDE), for continuous actions")
    sde_sample_freq: int = setting(-1, "steps that this noise lasts; -1 means one rollout", unit="steps", minimum=-1)


@dataclass(frozen=True)
class SB3PPOConfig(SB3OnPolicyConfig):
    """`stable_baselines3.PPO`."""

    batch_size: int = setting(64, "steps in one minibatch", unit="steps", minimum=1)
    n_epochs: int = setting(10, "passes over each rollout", unit="passes", minimum=1)
    clip_range: float = setting(0.2, "how far the probability ratio may move from 1", above=0)
    clip_range_schedule: Part = part("scheduler", "constant", "how clip_range changes over the run", fits="budget")
    clip_range_vf: float | None = setting(None, "how far a value may move from its old one; none does not limit it", above=0)
    target_kl: float | None = setting(None, "stop a phase when the divergence exceeds 1.5 times this; none never stops", above=0)


@dataclass(frozen=True)
class SB3A2CConfig(SB3OnPolicyConfig):
    """`stable_baselines3.A2C`."""

    learning_rate: float = setting(7e-4, "step size of the optimizer", above=0)
    n_steps: int = setting(5, "steps of each environment in a rollout", unit="steps", minimum=1)
    gae_lambda: float = setting(1.0, "trades bias (0) for variance (1) in advantages", minimum=0, maximum=1)
    normalize_advantage: bool = setting(False, "give advantages mean 0 and deviation 1 in each rollout")
    use_rms_prop: bool = setting(True, "RMSprop, as in the paper; otherwise Adam")
    rms_prop_eps: float = setting(1e-5, "RMSprop's epsilon", above=0)


@dataclass(frozen=True)
class SB3OffPolicyConfig(SB3Config):
    """What the algorithms that learn from replay share."""

    buffer_size: int = setting(1_000_000, "transitions that the replay buffer holds", unit="steps", minimum=1)
    learning_starts: int = setting(100, "random steps before learning begins", unit="steps", minimum=0)
    batch_size: int = setting(256, "transitions in one update", unit="steps", minimum=1)
    tau: float = setting(0.005, "share of the learned networks in a target update", above=0, maximum=1)
    train_freq: int = setting(1, "steps of each environment between two training phases", unit="steps", minimum=1)
    gradient_steps: int = setting(1, "updates in one training phase; -1 means one for each step collected", minimum=-1)
    n_step: int = setting(1, "rewards summed before bootstrapping", unit="steps", minimum=1)
    buffer: Part = part("buffer", "uniform", "the replay buffer", fits="transitions")


@dataclass(frozen=True)
class SB3DQNConfig(SB3OffPolicyConfig):
    """`stable_baselines3.DQN`."""

    learning_rate: float = setting(1e-4, "Adam's step size", above=0)
    batch_size: int = setting(32, "transitions in one update", unit="steps", minimum=1)
    tau: float = setting(1.0, "share of the learned network in a target update; 1 is a copy", above=0, maximum=1)
    train_freq: int = setting(4, "steps of each environment between two training phases", unit="steps", minimum=1)
    target_update_interval: int = setting(10_000, "environment steps between two target updates", unit="steps", minimum=1)
    exploration_fraction: float = setting(0.1, "share of the run over which epsilon falls", above=0, maximum=1)
    exploration_initial_eps: float = setting(1.0, "epsilon at the start", minimum=0, maximum=1)
    exploration_final_eps: float = setting(0.05, "epsilon after exploration_fraction", minimum=0, maximum=1)
    max_grad_norm: float = setting(10.0, "gradients are scaled to at most this norm", above=0)


@dataclass(frozen=True)
class SB3SACConfig(SB3OffPolicyConfig):
    """`stable_baselines3.SAC`."""

    ent_coef: float | None = setting(None, "weight of the entropy; none learns it", above=0)
    target_entropy: float | None = setting(None, "entropy that a learned weight aims at; none is minus the number of actions")
    use_sde: bool = setting(False, "noise that depends on the observation and lasts (gSDE)")
    sde_sample_freq: int = setting(-1, "steps that this noise lasts; -1 means train_freq", unit="steps", minimum=-1)
    log_std_init: float = setting(-3.0, "first log standard deviation of this noise")


@dataclass(frozen=True)
class SB3DDPGConfig(SB3OffPolicyConfig):
    """`stable_baselines3.DDPG`."""

    learning_rate: float = setting(1e-3, "Adam's step size", above=0)
    noise_std: float = setting(0.1, "deviation of the normal noise on actions in [-1, 1]; 0 adds none, the library's default",
                               minimum=0)


@dataclass(frozen=True)
class SB3TD3Config(SB3DDPGConfig):
    """`stable_baselines3.TD3`."""

    policy_delay: int = setting(2, "updates of the critics for one of the policy", unit="updates", minimum=1)
    target_policy_noise: float = setting(0.2, "deviation of the noise that smooths the target policy", minimum=0)
    target_noise_clip: float = setting(0.5, "limit of that noise", minimum=0)


SMALL_TANH = {"hidden_sizes": (64, 64), "activation": "tanh"}


@dataclass(frozen=True)
class TorchRLConfig:
    """What the agents on TorchRL's losses share."""

    learning_rate: float = setting(3e-4, "Adam's step size", above=0)
    learning_rate_schedule: Part = part("scheduler", "constant", "how the learning rate changes over the run", fits="budget")
    gamma: float = setting(0.99, "discount factor; higher looks further ahead", minimum=0, maximum=1)


@dataclass(frozen=True)
class TorchRLPPOConfig(TorchRLConfig):
    """`torchrl.objectives.ClipPPOLoss` on advantages of `torchrl.objectives.value.GAE`."""

    n_steps: int = setting(2048, "steps of each environment in a rollout", unit="steps", minimum=1)
    batch_size: int = setting(64, "steps in one minibatch", unit="steps", minimum=1)
    n_epochs: int = setting(10, "passes over each rollout", unit="passes", minimum=1)
    gae_lambda: float = setting(0.95, "trades bias (0) for variance (1) in advantages", minimum=0, maximum=1)
    clip_range: float = setting(0.2, "how far the probability ratio may move from 1", above=0, below=1)
    ent_coef: float = setting(0.0, "weight of the entropy; higher explores more", minimum=0)
    vf_coef: float = setting(0.5, "weight of the value loss", minimum=0)
    max_grad_norm: float = setting(0.5, "gradients are scaled to at most this norm", above=0)
    network: Part = part("network", "mlp", "the body of policy and value, one each", SMALL_TANH)


@dataclass(frozen=True)
class TorchRLDQNConfig(TorchRLConfig):
    """`torchrl.objectives.DQNLoss` with a target network, on replay from TorchRL's memory-mapped storage."""

    learning_rate: float = setting(5e-4, "Adam's step size", above=0)
    buffer_size: int = setting(100_000, "transitions that the replay buffer holds", unit="steps", minimum=1)
    learning_starts: int = setting(1_000, "random steps before learning begins", unit="steps", minimum=0)
    batch_size: int = setting(64, "transitions in one update", unit="steps", minimum=1)
    train_freq: int = setting(4, "environment steps between two training phases", unit="steps", minimum=1)
    gradient_steps: int = setting(1, "updates in one training phase; -1 means one for each step collected", minimum=-1)
    target_update_interval: int = setting(500, "environment steps between two target updates", unit="steps", minimum=1)
    tau: float = setting(1.0, "share of the learned network in a target update; 1 is a copy", above=0, maximum=1)
    exploration_fraction: float = setting(0.1, "share of the run over which epsilon falls", above=0, maximum=1)
    exploration_initial_eps: float = setting(1.0, "epsilon at the start", minimum=0, maximum=1)
    exploration_final_eps: float = setting(0.05, "epsilon after exploration_fraction", minimum=0, maximum=1)
    max_grad_norm: float = setting(10.0, "gradients are scaled to at most this norm", above=0)
    double: bool = setting(True, "choose the next action with the learned network, value it with the target")
    loss: str = setting("smooth_l1", "of the temporal difference", choices=("smooth_l1", "l2"))
    network: Part = part("network", "mlp", "the body of the Q-network")
    buffer: Part = part("buffer", "torchrl", "the replay buffer, of single steps", fits="transitions")
