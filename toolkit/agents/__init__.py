"""Agents: policies, networks, replay buffers, returns, and one file per algorithm."""

from toolkit.registry import Declarer

SMALL = {"gpu": "its products are small and sooner done by a CPU; --device auto stays there"}


def declare(registry: Declarer) -> None:
    """The room's components."""
    registry.add("agent", "dqn", "toolkit.agents.dqn:DQN", config="toolkit.agents.configs:DQNConfig",
                 summary="Deep Q-learning for discrete actions, double by default.",
                 accepts=("Discrete",), presets="toolkit.agents:presets/dqn.toml")
    registry.add("agent", "c51", "toolkit.agents.c51:C51", config="toolkit.agents.configs:C51Config",
                 summary="Distributional Q-learning on a fixed support.", accepts=("Discrete",),
                 presets="toolkit.agents:presets/c51.toml")
    registry.add("agent", "qr-dqn", "toolkit.agents.qr_dqn:QRDQN", config="toolkit.agents.configs:QRDQNConfig",
                 summary="Distributional Q-learning by quantile regression.", accepts=("Discrete",), aliases=("qrdqn",),
                 presets="toolkit.agents:presets/qr-dqn.toml")
    registry.add("agent", "rainbow", "toolkit.agents.c51:Rainbow", config="toolkit.agents.configs:RainbowConfig",
                 summary="c51 with double, dueling, noisy, n-step and prioritized replay together.", accepts=("Discrete",),
                 presets="toolkit.agents:presets/rainbow.toml")
    registry.add("agent", "ppo", "toolkit.agents.ppo:make", config="toolkit.agents.configs:PPOConfig",
                 summary="Proximal policy optimisation with a clipped objective.",
                 accepts=("Discrete", "MultiDiscrete", "MultiBinary", "Box"), presets="toolkit.agents:presets/ppo.toml")
    registry.add("agent", "actor-critic", "toolkit.agents.actor_critic:ActorCriticAgent", aliases=("a2c",),
                 config="toolkit.agents.configs:ActorCriticConfig", summary="Synchronous advantage actor-critic.",
                 accepts=("Discrete", "MultiDiscrete", "MultiBinary", "Box"),
                 presets="toolkit.agents:presets/actor-critic.toml")
    registry.add("agent", "reinforce", "toolkit.agents.reinforce:Reinforce", config="toolkit.agents.configs:ReinforceConfig",
                 summary="Monte-Carlo policy gradient, with or without a learned baseline.",
                 accepts=("Discrete", "MultiDiscrete", "MultiBinary", "Box"), presets="toolkit.agents:presets/reinforce.toml")
    registry.add("agent", "sac", "toolkit.agents.sac:make", config="toolkit.agents.configs:SACConfig",
                 summary="Soft actor-critic for continuous actions.", accepts=("Box",),
                 presets="toolkit.agents:presets/sac.toml")
    registry.add("agent", "td3", "toolkit.agents.td3:TD3", config="toolkit.agents.configs:TD3Config",
                 summary="Twin delayed deterministic policy gradient for continuous actions.", accepts=("Box",),
                 presets="toolkit.agents:presets/td3.toml")
    registry.add("network", "mlp", "toolkit.agents.networks.mlp:MLP", config="toolkit.agents.configs:MLPConfig",
                 cannot=SMALL, summary="Fully connected layers; with a hand-written fast path on the CPU.")
    registry.add("network", "nature-cnn", "toolkit.agents.networks.cnn:NatureCNN",
                 config="toolkit.agents.configs:NatureCNNConfig", aliases=("cnn",),
                 summary="Convolutions for pictures, alone or inside a Dict.")
    registry.add("network", "cnn-rnn", "toolkit.agents.networks.sequence:CNNRNN",
                 config="toolkit.agents.configs:CNNRNNConfig",
                 summary="Frames of a stacked observation through convolutions or a layer, then a GRU.")
    registry.add("network", "transformer", "toolkit.agents.networks.sequence:Transformer",
                 config="toolkit.agents.configs:TransformerConfig",
                 summary="Transformer encoder over stacked frames, or over the numbers of a vector.")
    registry.add("network", "hearing", "toolkit.agents.networks.hearing:Hearing", config="toolkit.agents.configs:HearingConfig",
                 cannot=SMALL, summary="A front end and a model of sound, joined with the rest of the observation.")
    registry.add("model", "conv-pool", "toolkit.agents.networks.hearing:ConvPool", config="toolkit.agents.configs:ConvPoolConfig",
                 accepts=("clip",), summary="Convolutions over frames, then mean and maximum over time; quick on a CPU.")
    registry.add("buffer", "uniform", "toolkit.agents.buffers.uniform:UniformBuffer",
                 config="toolkit.agents.configs:UniformConfig", accepts=("transitions",),
                 summary="Replay sampled uniformly; every observation is stored once.")
    registry.add("buffer", "n-step", "toolkit.agents.buffers.uniform:UniformBuffer",
                 config="toolkit.agents.configs:NStepConfig", accepts=("transitions",),
                 summary="Uniform replay that sums n rewards before bootstrapping.")
    registry.add("buffer", "prioritized", "toolkit.agents.buffers.prioritized:PrioritizedBuffer",
                 config="toolkit.agents.configs:PrioritizedConfig", accepts=("transitions",),
                 summary="Replay in proportion to the last error, from a sum tree.")
    registry.add("buffer", "torchrl", "toolkit.agents.buffers.torchrl_memmap:TorchRLBuffer",
                 config="toolkit.agents.configs:TorchRLConfig", extras={"torchrl": "pip install torchrl"},
                 accepts=("transitions",),
                 summary="Uniform replay on the disk, in TorchRL's memory-mapped storage; for buffers larger than memory.")
    registry.add("buffer", "rollout", "toolkit.agents.buffers.rollout:RolloutBuffer",
                 accepts=("rollouts",), summary="The steps since the last update, used once; for on-policy agents.")
