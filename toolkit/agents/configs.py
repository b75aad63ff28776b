"""Every knob of the agents' room on one page."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.config import Part, part, setting


@dataclass(frozen=True)
class MLPConfig:
    """Fully connected layers."""

    hidden_sizes: tuple[int, ...] = setting((256, 256), "width of each hidden layer", unit="units", minimum=1)
    activation: str = setting("relu", "between the layers", choices=("relu", "tanh"))
    layer_norm: bool = setting(False, "normalise each layer's sums before the activation (Ba et al., 2016)")


@dataclass(frozen=True)
class NatureCNNConfig:
    """The convolutions of Mnih et al. (2015)."""

    features: int = setting(512, "width of the last layer", unit="units", minimum=1)


@dataclass(frozen=True)
class TransformerConfig:
    """A transformer encoder over the rows of a stacked observation, or the numbers of a vector."""

    width: int = setting(64, "width of the embedding", unit="units", minimum=1)
    layers: int = setting(2, "encoder layers", unit="layers", minimum=1)
    heads: int = setting(4, "attention heads; width must be a multiple of it", unit="heads", minimum=1)


@dataclass(frozen=True)
class CNNRNNConfig:
    """Frames through convolutions or a layer, then a GRU over the frames."""

    frame_features: int = setting(128, "width of a frame's features", unit="units", minimum=1)
    hidden_size: int = setting(128, "width of the GRU", unit="units", minimum=1)


@dataclass(frozen=True)
class ConvPoolConfig:
    """Convolutions over the frames of a sound, then their mean and maximum over time."""

    channels: int = setting(64, "channels of each convolution", unit="channels", minimum=1)
    layers: int = setting(2, "convolutions", unit="layers", minimum=1)
    kernel_size: int = setting(5, "frames that a convolution sees; odd", unit="frames", minimum=1)
    stride: int = setting(2, "frames from one output of the first convolution to the next", unit="frames", minimum=1)


# 16 kHz, 20 ms from frame to frame
HEARD = {"n_fft": 512, "hop_length": 320, "n_mels": 40, "floor": 1e-6}


@dataclass(frozen=True)
class HearingConfig:
    """A front end and a model of sound before the policy."""

    frontend: Part = part("frontend", "log-mel", "from sound to frames", HEARD)
    model: Part = part("model", "conv-pool", "from frames to features of the sound", fits="clip")
    sound_features: int = setting(64, "features of each sound", unit="units", minimum=1)
    hidden_size: int = setting(128, "width of the layer that joins sound and the rest", unit="units", minimum=1)
    init_from: str = setting("", "run of a trained recogniser that hears instead of front end and model, fixed")


@dataclass(frozen=True)
class UniformConfig:
    """Replay sampled uniformly."""

    n_step: int = setting(1, "rewards summed before bootstrapping", unit="steps", minimum=1)
    gamma: float = setting(0.99, "discount within the n steps; agents set it to their own", minimum=0, maximum=1)


@dataclass(frozen=True)
class NStepConfig(UniformConfig):
    """Replay with n-step returns."""

    n_step: int = setting(3, "rewards summed before bootstrapping", unit="steps", minimum=1)


@dataclass(frozen=True)
class TorchRLConfig(UniformConfig):
    """Uniform replay whose observations lie in TorchRL's memory-mapped storage."""

    directory: str | None = setting(None, "folder for the memory-mapped file; none is the system's temporary folder")


@dataclass(frozen=True)
class PrioritizedConfig(UniformConfig):
    """Prioritized replay (Schaul et al., 2016)."""

    alpha: float = setting(0.6, "how strongly priorities count; 0 is uniform", minimum=0, maximum=1)
    beta: float = setting(0.4, "first strength of the importance weights; rises to 1", minimum=0, maximum=1)
    beta_samples: int = setting(1_000_000, "drawn transitions after which beta is 1", unit="steps", minimum=1)
    epsilon: float = setting(1e-6, "added to every priority, so that none is zero", above=0)


@dataclass(frozen=True)
class QLearningConfig:
    """What the DQN family shares."""

    learning_rate: float = setting(5e-4, "Adam's step size", above=0)
    learning_rate_schedule: Part = part("scheduler", "constant", "how the learning rate changes over the run", fits="budget")
    buffer_size: int = setting(100_000, "transitions that the replay buffer holds", unit="steps", minimum=1)
    learning_starts: int = setting(1_000, "random steps before learning begins", unit="steps", minimum=0)
    batch_size: int = setting(64, "transitions in one update", unit="steps", minimum=1)
    gamma: float = setting(0.99, "discount factor; higher looks further ahead", minimum=0, maximum=1)
    train_freq: int = setting(4, "environment steps between training phases; at least one of each copy", unit="steps", minimum=1)
    gradient_steps: int = setting(1, "updates in one training phase; -1 means one for each step collected", minimum=-1)
    target_update_interval: int = setting(500, "environment steps between two target updates", unit="steps", minimum=1)
    tau: float = setting(1.0, "share of the online network in a target update; 1 is a copy", above=0, maximum=1)
    exploration_fraction: float = setting(0.1, "share of the run over which epsilon falls", minimum=0, maximum=1, needs="!noisy")
    exploration_initial_eps: float = setting(1.0, "epsilon at the start", minimum=0, maximum=1, needs="!noisy")
    exploration_final_eps: float = setting(0.05, "epsilon after exploration_fraction", minimum=0, maximum=1, needs="!noisy")
    exploration_zeta: float | None = setting(None, "a random action lasts n steps with a chance that falls as n to the power of "
                                                   "minus this (Dabney et al., 2021); none lasts one", above=1)
    max_grad_norm: float = setting(10.0, "gradients are scaled to at most this norm", above=0)
    double: bool = setting(True, "choose the next action with the online network, value it with the target")
    dueling: bool = setting(False, "separate streams for the state's value and the actions' advantages")
    noisy: bool = setting(False, "explore by learned parameter noise instead of epsilon")
    n_step: int = setting(1, "rewards summed before bootstrapping", unit="steps", minimum=1)
    normalize_observations: bool = setting(False, "give observations running mean 0 and deviation 1")
    average_fraction: float = setting(0.0, "last share of the run whose parameters are averaged for deterministic actions; "
                                           "0 takes the newest ones", minimum=0, maximum=1)
    network: Part = part("network", "mlp", "the body of the Q-network")
    buffer: Part = part("buffer", "uniform", "the replay buffer", fits="transitions")


@dataclass(frozen=True)
class DQNConfig(QLearningConfig):
    """Deep Q-learning (Mnih et al., 2015), with double Q-learning (van Hasselt et al., 2016)."""

    loss: str = setting("huber", "of the temporal difference; huber limits each transition's pull", choices=("huber", "mse"))


@dataclass(frozen=True)
class C51Config(QLearningConfig):
    """Categorical distributional Q-learning (Bellemare et al., 2017)."""

    double: bool = setting(False, "choose the next action with the online network, value it with the target")
    n_atoms: int = setting(51, "atoms of the support", unit="atoms", minimum=2)
    v_min: float | None = setting(None, "smallest return that the support holds; none sets it by the steps before learning")
    v_max: float | None = setting(None, "largest return that the support holds; none sets it by the steps before learning")


@dataclass(frozen=True)
class RainbowConfig(C51Config):
    """Six improvements at once (Hessel et al., 2018)."""

    double: bool = setting(True, "choose the next action with the online network, value it with the target")
    dueling: bool = setting(True, "separate streams for the state's value and the actions' advantages")
    noisy: bool = setting(True, "explore by learned parameter noise instead of epsilon")
    n_step: int = setting(3, "rewards summed before bootstrapping", unit="steps", minimum=1)
    buffer: Part = part("buffer", "prioritized", "the replay buffer", {"alpha": 0.5}, fits="transitions")


@dataclass(frozen=True)
class QRDQNConfig(QLearningConfig):
    """Quantile-regression Q-learning (Dabney et al., 2018)."""

    double: bool = setting(False, "choose the next action with the online network, value it with the target")
    n_quantiles: int = setting(50, "quantiles of each action's return", unit="quantiles", minimum=1)


SMALL_TANH = {"hidden_sizes": (64, 64), "activation": "tanh"}


@dataclass(frozen=True)
class OnPolicyConfig:
    """What the on-policy agents share."""

    learning_rate: float = setting(3e-4, "step size of the optimizer", above=0)
    learning_rate_schedule: Part = part("scheduler", "constant", "how the learning rate changes over the run", fits="budget")
    n_steps: int = setting(128, "steps of each environment in a rollout", unit="steps", minimum=1)
    gamma: float = setting(0.99, "discount factor; higher looks further ahead", minimum=0, maximum=1)
    ent_coef: float = setting(0.0, "weight of the entropy; higher explores more", minimum=0)
    vf_coef: float = setting(0.5, "weight of the value loss", minimum=0)
    max_grad_norm: float = setting(0.5, "gradients are scaled to at most this norm", above=0)
    normalize_advantage: bool = setting(True, "give advantages mean 0 and deviation 1 in each minibatch")
    normalize_observations: bool = setting(False, "give observations running mean 0 and deviation 1")
    normalize_rewards: bool = setting(False, "divide rewards by the running deviation of the discounted return")
    orthogonal_init: bool = setting(True, "start from orthogonal weights")
    log_std_init: float = setting(0.0, "first log standard deviation of continuous actions")
    action_masking: bool = setting(False, "choose only actions that the environment's info['action_mask'] allows")
    use_sde: bool = setting(False, "noise that depends on the observation and lasts (gSDE), for continuous actions")
    sde_sample_freq: int = setting(-1, "steps that this noise lasts; -1 means one rollout", unit="steps", minimum=-1,
                                   needs="use_sde")
    share_network: bool = setting(False, "policy and value on one body")
    network: Part = part("network", "mlp", "the body of policy and value", SMALL_TANH)


@dataclass(frozen=True)
class PPOConfig(OnPolicyConfig):
    """Proximal policy optimisation (Schulman et al., 2017)."""

    n_steps: int = setting(2048, "steps of each environment in a rollout", unit="steps", minimum=1)
    batch_size: int = setting(64, "steps in one minibatch", unit="steps", minimum=1)
    n_epochs: int = setting(10, "passes over each rollout", unit="passes", minimum=1)
    gae_lambda: float = setting(0.95, "trades bias (0) for variance (1) in advantages", minimum=0, maximum=1)
    clip_range: float = setting(0.2, "how far the probability ratio may move from 1", above=0)
    clip_range_schedule: Part = part("scheduler", "constant", "how clip_range changes over the run", fits="budget")
    clip_range_vf: float | None = setting(None, "how far a value may move from its old one; none does not limit it", above=0)
    recurrent: bool = setting(False, "an LSTM between body and heads; policy and value share both")
    lstm_hidden_size: int = setting(64, "width of the LSTM of a recurrent policy", unit="units", minimum=1, needs="recurrent")
    target_kl: float | None = setting(None, "stop a phase when the divergence exceeds 1.5 times this; none never stops", above=0)


@dataclass(frozen=True)
class ActorCriticConfig(OnPolicyConfig):
    """Advantage actor-critic (Mnih et al., 2016)."""

    learning_rate: float = setting(7e-4, "step size of the optimizer", above=0)
    n_steps: int = setting(5, "steps of each environment in a rollout", unit="steps", minimum=1)
    gae_lambda: float = setting(1.0, "trades bias (0) for variance (1) in advantages", minimum=0, maximum=1)
    normalize_advantage: bool = setting(False, "give advantages mean 0 and deviation 1 in each rollout")
    use_rms_prop: bool = setting(True, "RMSprop, as in the paper; otherwise Adam")


@dataclass(frozen=True)
class ReinforceConfig(OnPolicyConfig):
    """Monte-Carlo policy gradient (Williams, 1992)."""

    learning_rate: float = setting(5e-3, "Adam's step size", above=0)
    n_steps: int = setting(64, "steps of each environment between two looks for finished episodes", unit="steps", minimum=1)
    gamma: float = setting(0.99, "discount factor; higher looks further ahead", minimum=0, maximum=1)
    episodes_per_update: int = setting(16, "finished episodes in one gradient step", unit="episodes", minimum=1)
    baseline: bool = setting(True, "subtract a learned value of the observation from the return")


@dataclass(frozen=True)
class ContinuousConfig:
    """What SAC and TD3 share."""

    learning_rate: float = setting(3e-4, "Adam's step size", above=0)
    learning_rate_schedule: Part = part("scheduler", "constant", "how the learning rate changes over the run", fits="budget")
    buffer_size: int = setting(1_000_000, "transitions that the replay buffer holds", unit="steps", minimum=1)
    learning_starts: int = setting(100, "random steps before learning begins", unit="steps", minimum=0)
    batch_size: int = setting(256, "transitions in one update", unit="steps", minimum=1)
    tau: float = setting(0.005, "share of the online critics in a target update", above=0, maximum=1)
    gamma: float = setting(0.99, "discount factor; higher looks further ahead", minimum=0, maximum=1)
    train_freq: int = setting(1, "environment steps between training phases; at least one of each copy", unit="steps", minimum=1)
    gradient_steps: int = setting(1, "updates in one training phase; -1 means one for each step collected", minimum=-1)
    n_step: int = setting(1, "rewards summed before bootstrapping", unit="steps", minimum=1)
    normalize_observations: bool = setting(False, "give observations running mean 0 and deviation 1")
    average_fraction: float = setting(0.0, "last share of the run whose actors are averaged for deterministic actions; 0 takes "
                                           "the newest one", minimum=0, maximum=1)
    network: Part = part("network", "mlp", "the body of actor and critics")
    buffer: Part = part("buffer", "uniform", "the replay buffer", fits="transitions")


@dataclass(frozen=True)
class SACConfig(ContinuousConfig):
    """Soft actor-critic (Haarnoja et al., 2018)."""

    ent_coef: float | None = setting(None, "entropy coefficient; none learns it", above=0)
    target_entropy: float | None = setting(None, "entropy that a learned coefficient aims at; none is minus the action's size",
                                           needs="!ent_coef")
    use_sde: bool = setting(False, "noise that depends on the observation and lasts (gSDE)")
    sde_sample_freq: int = setting(-1, "steps that this noise lasts; -1 means train_freq", unit="steps", minimum=-1,
                                   needs="use_sde")
    log_std_init: float = setting(-3.0, "first log standard deviation of this noise", needs="use_sde")


@dataclass(frozen=True)
class TD3Config(ContinuousConfig):
    """Twin delayed DDPG (Fujimoto et al., 2018)."""

    learning_rate: float = setting(1e-3, "Adam's step size", above=0)
    network: Part = part("network", "mlp", "the body of actor and critics", {"hidden_sizes": (400, 300)})
    policy_delay: int = setting(2, "critic updates for each policy update", unit="updates", minimum=1)
    target_policy_noise: float = setting(0.2, "deviation of the noise that smooths targets", minimum=0)
    target_noise_clip: float = setting(0.5, "that noise is cut to this size", minimum=0)
    noise_type: str = setting("normal", "noise on the actions while exploring", choices=("normal", "ornstein-uhlenbeck"))
    noise_std: float = setting(0.1, "its deviation, in the policy's scale [-1, 1]", minimum=0)
