"""Every knob of the vocoders and of the task that trains them."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.config import Part, part, setting
from toolkit.core.configs import TaskConfig, again

PRECISIONS = ("float32", "bfloat16")  # of a vocoder's form for synthesis


@dataclass(frozen=True)
class VocoderConfig:
    """What every vocoder has."""

    frontend: Part = part("frontend", "hifigan-mel", "the front end whose frames are turned back into sound")


# -- without parameters


@dataclass(frozen=True)
class GriffinLimConfig(VocoderConfig):
    """Phases that are consistent with the magnitudes."""

    iterations: int = setting(32, "analyses and syntheses in turn", minimum=1)
    momentum: float = setting(0.0, "0 is Griffin and Lim's; 0.99 is the fast variant of Perraudin and others",
                              minimum=0, below=1)
    solver_iterations: int = setting(100, "multiplicative steps from mel bands to a spectrum", minimum=0)
    seed: int = setting(0, "of the phases at the start", minimum=0)


# -- HiFi-GAN


@dataclass(frozen=True)
class HifiganConfig(VocoderConfig):
    """The generator of HiFi-GAN (Kong et al., 2020), V1."""

    channels: int = setting(512, "channels before the first upsampling, halved by each", minimum=2)
    upsample_rates: tuple[int, ...] = setting((8, 8, 2, 2), "samples out for each in; their product is the hop", minimum=1)
    upsample_kernels: tuple[int, ...] = setting((16, 16, 4, 4), "kernels of the transposed convolutions", minimum=1)
    block: str = setting("paired", "each dilated convolution followed by a plain one (V1, V2), or alone (V3)",
                         choices=("paired", "single"))
    kernels: tuple[int, ...] = setting((3, 7, 11), "kernels of the residual blocks, side by side", minimum=1)
    dilations: tuple[int, ...] = setting((1, 3, 5, 1, 3, 5, 1, 3, 5), "dilations of all blocks, one after the other", minimum=1)
    weights: str = setting("", "a file of published weights; empty begins at random")


@dataclass(frozen=True)
class HifiganV2Config(HifiganConfig):
    channels: int = again(HifiganConfig, "channels", 128)


@dataclass(frozen=True)
class HifiganV3Config(HifiganConfig):
    channels: int = again(HifiganConfig, "channels", 256)
    upsample_rates: tuple[int, ...] = again(HifiganConfig, "upsample_rates", (8, 8, 4))
    upsample_kernels: tuple[int, ...] = again(HifiganConfig, "upsample_kernels", (16, 16, 8))
    block: str = again(HifiganConfig, "block", "single")
    kernels: tuple[int, ...] = again(HifiganConfig, "kernels", (3, 5, 7))
    dilations: tuple[int, ...] = again(HifiganConfig, "dilations", (1, 2, 2, 6, 3, 12))


# -- Vocos


@dataclass(frozen=True)
class VocosConfig(VocoderConfig):
    """ConvNeXt blocks and an inverse Fourier transform (Siuzdak, 2023)."""

    frontend: Part = again(VocoderConfig, "frontend", "vocos-mel")
    dim: int = setting(512, "channels", minimum=1)
    hidden: int = setting(1536, "channels inside a block", minimum=1)
    layers: int = setting(8, "blocks", minimum=1)
    weights: str = setting("", "a file of published weights; empty begins at random")


# -- recurrent and autoregressive


@dataclass(frozen=True)
class LSTMVocoderConfig(VocoderConfig):
    """Recurrent layers and an inverse Fourier transform."""

    hidden_size: int = setting(512, "units of the layers", unit="units", minimum=1)
    layers: int = setting(2, "recurrent layers", minimum=1)


@dataclass(frozen=True)
class WaveNetConfig(VocoderConfig):
    """Dilated causal convolutions that draw sample after sample (van den Oord et al., 2016)."""

    channels: int = setting(64, "of the residual stream", minimum=1)
    skip_channels: int = setting(128, "that the layers add to the output", minimum=1)
    layers: int = setting(20, "dilated convolutions", minimum=1)
    cycle: int = setting(10, "layers after which dilations begin again at 1", minimum=1, maximum=16)
    temperature: float = setting(1.0, "1 draws by the probabilities, 0 takes the likeliest level", minimum=0)
    seed: int = setting(0, "of the draws", minimum=0)


# -- training


@dataclass(frozen=True)
class VocoderTaskConfig(TaskConfig):
    """Adversarial training as HiFi-GAN's (Kong et al., 2020)."""

    data: Part | None = again(TaskConfig, "data", None, fits="sound")
    model: Part = part("vocoder", "hifigan-v3", "from mel frames to sound", fits="training")
    loss: Part = part("loss", "l1", "between the log mel frames of the made and the real sound", fits="numbers")
    segment: int = setting(8192, "samples of a training segment, a multiple of the hop", unit="samples", minimum=1)
    warm_up: int = setting(0, "segments that only the reconstruction loss is learned from, before the critics join",
                           unit="segments", minimum=0)
    mel_weight: float = setting(45.0, "weight of the log mel distance", minimum=0)
    feature_weight: float = setting(2.0, "weight of the distance between the critics' features", minimum=0)
    loss_f_max: float | None = setting(None, "highest frequency of the loss's mel; none means half the sample rate",
                                       unit="Hz", above=0)
    periods: tuple[int, ...] = setting((2, 3, 5, 7, 11), "of the multi-period critic", minimum=1)
    scales: int = setting(3, "of the multi-scale critic", minimum=0)
    critic_width: float = setting(1.0, "share of the published channels that the critics have", above=0)
    evaluation_seconds: float = setting(4.0, "of each held-out clip that an evaluation listens to", unit="s", above=0)
    evaluation_clips: int = setting(32, "held-out clips that an evaluation listens to", unit="clips", minimum=1)
    samples: int = setting(2, "clips kept as sound files at each evaluation", unit="clips", minimum=0)
    epochs: float = again(TaskConfig, "epochs", 1000.0)
    batch_size: int = again(TaskConfig, "batch_size", 16)
    learning_rate: float = again(TaskConfig, "learning_rate", 2e-4)
    max_grad_norm: float | None = again(TaskConfig, "max_grad_norm", None)
    optimizer: Part = part("optimizer", "adamw", "what turns gradients into steps, the generator's and the critics'",
                           {"beta1": 0.8, "beta2": 0.99})
    scheduler: Part = again(TaskConfig, "scheduler", "exponential")
    bucket: bool = again(TaskConfig, "bucket", False)
