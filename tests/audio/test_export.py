"""Front ends by real products equal the ones by FFT, in torch, in TorchScript and in ONNX Runtime."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from signals import noise, speech_like

from toolkit.audio import export
from toolkit.errors import UsageError
from toolkit.registry import registry

ENTRIES = [entry for entry in registry.entries("frontend") if entry.distribution == "toolkit"]
EXPORTED = [entry.name for entry in ENTRIES if entry.load() in export.FORMS]
CASES: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in EXPORTED] + [
    ("mel", {"power": 1.5}), ("log-mel", {"log": "db", "top_db": 40.0, "padding": "none"}), ("mfcc", {"lifter": 22.0}),
    ("chroma", {"norm": "l2"}), ("chroma", {"norm": "l1"}), ("chroma", {"norm": "none"}), ("pcen", {"bias": 0.0, "power": 2.0}),
    ("cqt", {"padding": "reflect", "n_bins": 48}), ("wavelet", {"padding": "reflect"}),
    ("kaldi-fbank", {"use_energy": True, "snip_edges": False}), ("kaldi-fbank", {"power": 1.0, "sample_rate": 11025}),
    ("kaldi-fbank", {"log": False, "remove_dc": False}), ("kaldi-mfcc", {"use_energy": True}),
    ("kaldi-mfcc", {"use_energy": True, "raw_energy": False, "snip_edges": False, "energy_floor": 1.0}),
    ("kaldi-mfcc", {"window": "hamming", "pre_emphasis": 0.0, "round_to_power_of_two": False})]
IDS = [name + "".join(f" {key}={value}" for key, value in options.items()) for name, options in CASES]
SECONDS = (0.9, 1.0, 1.2345, 0)  # 0: half of what lies before the clip in its first frame
# In single precision the logarithm of a band far below the loudest shows either way's rounding, which these weigh up; how much
# differs from processor to processor. In double precision all are held to 1e-7.
ROUNDED = {"lfcc": 1e-3, "mfcc lifter=22.0": 1e-3, "torchaudio-mfcc": 1e-3}


@functools.cache
def made(name: str, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return registry.make("frontend", name, **options)


def clips_for(frontend: Any, seconds: float) -> torch.Tensor:
    spec = frontend.spec
    return clips_at(spec.sample_rate, seconds) if seconds else two_of(max(spec.shortest, spec.left // 2))


def two_of(samples: int) -> torch.Tensor:
    return torch.stack([noise(samples, seed) for seed in (1, 2)])


@functools.cache
def clips_at(rate: int, seconds: float) -> torch.Tensor:
    return torch.stack([speech_like(seconds, rate), noise(len(speech_like(seconds, rate)), 1)])


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_real_products_equal_the_front_end(name: str, options: dict[str, Any], request: pytest.FixtureRequest) -> None:
    frontend = made(name, **options)
    tolerance = ROUNDED.get(request.node.callspec.id, 1e-4)
    exact, single = export.exportable(frontend, torch.float64), export.exportable(frontend)
    for seconds in SECONDS:
        clips = clips_for(frontend, seconds)
        expected = frontend(clips.double())[0]
        torch.testing.assert_close(exact(clips.double()), expected, atol=1e-7, rtol=1e-7)
        torch.testing.assert_close(single(clips), frontend(clips)[0], atol=tolerance, rtol=1e-4)
    shortest = frontend.spec.shortest
    assert frontend.spec.frames(shortest) and not frontend.spec.frames(shortest - 1)
    clips = two_of(shortest).double()
    torch.testing.assert_close(exact(clips), frontend(clips)[0], atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_torchscript(name: str, options: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    frontend = made(name, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export.to_script(frontend, tmp_path / "frontend.pt")
        loaded = torch.jit.load(tmp_path / "frontend.pt")
    tolerance = ROUNDED.get(request.node.callspec.id, 1e-4)
    for seconds in SECONDS:
        clips = clips_for(frontend, seconds)
        torch.testing.assert_close(loaded(clips), frontend(clips)[0], atol=tolerance, rtol=1e-4)


# One of each form that is exported, with most of what it may do; the others, which are slow, are presets of the same.
ONNX: list[tuple[str, dict[str, Any]]] = [("whisper-log-mel", {}), ("nemo-mel", {}), ("chroma", {}), ("pcen", {}), ("cqt", {}),
                                          ("kaldi-mfcc", {"use_energy": True, "snip_edges": False})]
MORE = ["hifigan-mel", "wavelet", "kaldi-fbank", "kaldi-mfcc"]


@pytest.mark.parametrize(("name", "options"), [*ONNX, *(pytest.param(name, {}, marks=pytest.mark.slow) for name in MORE)],
                         ids=lambda value: value if isinstance(value, str) else "")
def test_onnx(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    frontend = made(name, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", FutureWarning)
        export.to_onnx(frontend, tmp_path / "frontend.onnx")
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(tmp_path / "frontend.onnx"), settings, providers=["CPUExecutionProvider"])
    for count, seconds in zip((2, 1, 2, 2), SECONDS, strict=True):
        clips = clips_for(frontend, seconds)[:count]
        features = torch.from_numpy(session.run(None, {"waveform": clips.numpy()})[0])
        torch.testing.assert_close(features, frontend(clips)[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES if entry.name not in EXPORTED])
def test_what_has_no_such_form_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="has no form of real products alone; allowed: spectrogram, mel, .* kaldi-mfcc"):
        export.exportable(made(name))


def test_dither_is_refused() -> None:
    with pytest.raises(UsageError, match="dither: got 1, allowed in a file: 0"):
        export.exportable(made("kaldi-fbank", dither=1.0))


def test_one_frame_alone_is_normalised_to_zero() -> None:
    frontend = made("nemo-mel")
    clip = noise(300)[None]
    assert export.exportable(frontend)(clip).tolist() == frontend(clip)[0].tolist() == [[[0.0] * 80]]
