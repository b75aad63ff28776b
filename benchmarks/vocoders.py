"""Synthesis on the CPU beside the same architecture as a plain PyTorch module, and beside `vocos` from PyPI.

    python benchmarks/vocoders.py [--seconds 2] [--repeats 9] [--threads 1]

plain     the network as it is trained: weight norms computed at every call
folded    the form used for synthesis: `for_synthesis`, inference mode
bfloat16  the same with `precision="bfloat16"`, and its signal-to-noise ratio (dB) beside `folded`
library   the package `vocos`, where it is installed, with the same sizes
wavenet   samples a second drawn from cached states, and how many times faster than without (on three frames)

The forms take turns in one process; a number is sound per time (times real time), the median of the repeats. Ratios are
of the same turn: median (lowest to highest).
"""

from __future__ import annotations

import argparse
import copy
import importlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import toolkit
from toolkit.entries import installed

NAMES = ("hifigan-v1", "hifigan-v2", "hifigan-v3", "vocos", "lstm")


def seconds_of(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def library(mel: torch.Tensor) -> Callable[[], Any] | None:
    """The package's own network on the same frames; None where it is not installed."""
    if not installed("vocos"):
        return None
    importlib.import_module("toolkit.core._torchaudio")  # the package imports torchaudio, which may need a stand-in
    from vocos.feature_extractors import MelSpectrogramFeatures
    from vocos.heads import ISTFTHead
    from vocos.models import VocosBackbone
    from vocos.pretrained import Vocos

    whole = Vocos(MelSpectrogramFeatures(), VocosBackbone(100, 512, 1536, 8), ISTFTHead(512, 1024, 256, "center")).eval()
    return lambda: whole.decode(mel.T[None])


def forms(name: str, seconds: float) -> tuple[dict[str, Callable[[], Any]], float]:
    """What is timed by name, and the seconds of sound that each makes."""
    plain, folded = toolkit.make("vocoder", name).eval(), toolkit.make("vocoder", name).for_synthesis()
    low = copy.deepcopy(folded).for_synthesis("bfloat16")
    spec = plain.spec
    mel = torch.randn(round(seconds * spec.sample_rate / spec.hop_length), spec.bins)
    found: dict[str, Callable[[], Any]] = {"plain": lambda: plain(mel), "folded": lambda: folded(mel),
                                           "bfloat16": lambda: low(mel)}
    theirs = library(mel) if name == "vocos" else None
    if theirs is not None:
        found["library"] = theirs
    return found, plain.samples(len(mel)) / spec.sample_rate


def signal_to_noise(name: str) -> float:
    """Of the form in bfloat16 beside that in float32, in dB, with weights that keep the size of what each layer is given.

    With the weights at the start HiFi-GAN's sound is nearly constant, which any rounding changes little.
    """
    network = toolkit.make("vocoder", name)
    getattr(network, "remove_weight_norm", int)()
    for layer in network.modules():
        if isinstance(layer, nn.ConvTranspose1d):
            nn.init.normal_(layer.weight, std=1.5 * (layer.in_channels * layer.kernel_size[0] / layer.stride[0]) ** -0.5)
        elif isinstance(layer, (nn.Conv1d, nn.Linear)):
            nn.init.normal_(layer.weight, std=0.5 * layer.weight[0].numel() ** -0.5)
    exact, low = copy.deepcopy(network).for_synthesis(), network.for_synthesis("bfloat16")
    mel = torch.randn(100, exact.spec.bins)
    wanted = exact(mel)
    noise = low(mel) - wanted
    return float(10 * torch.log10(wanted.var() / noise.square().mean()))


def beside(first: list[float], other: list[float]) -> str:
    """How many times as fast ``other`` is, turn by turn."""
    ratios = [one / two for one, two in zip(first, other, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in NAMES:
        found, length = forms(name, options.seconds)
        for run in found.values():
            run()
        times: dict[str, list[float]] = {form: [] for form in found}
        for _ in range(options.repeats):
            for form, run in found.items():
                times[form].append(seconds_of(run))
        speeds = "  ".join(f"{form} {length / statistics.median(values):6.1f}" for form, values in times.items())
        print(f"{name:12s} times real time: {speeds}\n"
              f"             beside plain: folded {beside(times['plain'], times['folded'])}  "
              f"bfloat16 {beside(times['plain'], times['bfloat16'])}  signal to noise {signal_to_noise(name):.1f} dB", flush=True)
        if "library" in times:
            print(f"             beside library: folded {beside(times['library'], times['folded'])}  "
                  f"bfloat16 {beside(times['library'], times['bfloat16'])}", flush=True)
    network = toolkit.make("vocoder", "wavenet").eval()
    mel = torch.randn(1, 3, network.spec.bins)
    network(mel)  # compiles the loop
    cached, whole = seconds_of(lambda: network(mel)), seconds_of(lambda: network.synthesise_without_cache(mel))
    print(f"wavenet      {network.samples(3) / cached:,.0f} samples a second, {whole / cached:.0f} times as fast as without "
          "the cache")


if __name__ == "__main__":
    main()
