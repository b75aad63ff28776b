"""Front ends by real products equal the ones by FFT, in torch, in TorchScript and in ONNX Runtime."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from signals import noise, speech_like

from toolkit.audio import export
from toolkit.errors import UsageError
from toolkit.registry import registry

CASES: list[tuple[str, dict[str, Any]]] = [
    ("spectrogram", {}), ("mel", {"power": 1.5}), ("log-mel", {}),
    ("log-mel", {"log": "db", "top_db": 40.0, "padding": "none"}),
    ("mfcc", {"lifter": 22.0}), ("lfcc", {}), ("librosa-mel", {}), ("librosa-mfcc", {}), ("torchaudio-mel", {}),
    ("torchaudio-mfcc", {}), ("whisper-log-mel", {}), ("hifigan-mel", {}), ("tacotron2-mel", {}),
    ("nemo-mel", {}),
    ("vocos-mel", {})]
IDS = [name + "".join(f" {key}={value}" for key, value in options.items()) for name, options in CASES]


def made(name: str, options: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return registry.make("frontend", name, **options)


def clips_for(frontend: Any) -> torch.Tensor:
    return torch.stack([speech_like(0.5, frontend.spec.sample_rate), noise(round(frontend.spec.sample_rate * 0.5), 1)])


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_real_products_equal_the_fft(name: str, options: dict[str, Any]) -> None:
    frontend = made(name, options)
    clips = clips_for(frontend)
    exact = export.exportable(frontend, torch.float64)(clips.double())
    torch.testing.assert_close(exact, frontend(clips.double())[0], atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(export.exportable(frontend)(clips), frontend(clips)[0], atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_torchscript(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    frontend = made(name, options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export.to_script(frontend, tmp_path / "frontend.pt")
        loaded = torch.jit.load(tmp_path / "frontend.pt")
    clips = clips_for(frontend)[:, :7000]
    torch.testing.assert_close(loaded(clips), export.exportable(frontend)(clips), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["whisper-log-mel", "nemo-mel", "hifigan-mel"])
def test_onnx(name: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    frontend = made(name, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export.to_onnx(frontend, tmp_path / "frontend.onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(tmp_path / "frontend.onnx"), options, providers=["CPUExecutionProvider"])
    for clips in (clips_for(frontend), clips_for(frontend)[:1, :6789]):
        features = torch.from_numpy(session.run(None, {"waveform": clips.numpy()})[0])
        torch.testing.assert_close(features, frontend(clips)[0], atol=2e-3, rtol=1e-3)


def test_what_has_no_such_form_is_refused() -> None:
    with pytest.raises(UsageError, match="CQT has no form without complex numbers; allowed: spectrogram, mel"):
        export.exportable(made("cqt", {}))
