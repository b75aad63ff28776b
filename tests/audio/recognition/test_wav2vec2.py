"""wav2vec2 beside torchaudio's and transformers' models, its weights files, and what learns when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Toolkit
from torch import nn

import toolkit.audio._torchaudio  # noqa: F401 - makes torchaudio importable
from toolkit.audio.models.base import HeardSpec
from toolkit.audio.models.wav2vec2 import field_of, load_weights, renamed
from toolkit.errors import UsageError
from toolkit.registry import registry

TINY: dict[str, Any] = {"channels": (8, 8), "kernels": (10, 3), "strides": (5, 2), "width": 16, "layers": 2, "heads": 2,
                        "hidden": 32, "position_kernel": 8, "position_groups": 2, "dropout": 0.0, "layer_drop": 0.0}
FLAGS = [word for name, value in TINY.items()
         for word in (f"--model.{name.replace('_', '-')}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value))]


def make(**options: Any) -> Any:
    torch.manual_seed(0)
    return registry.make("model", "wav2vec2", inputs=1, outputs=5, spec=HeardSpec("frames"), **{**TINY, **options})


def peer(**options: Any) -> Any:
    from torchaudio.models import wav2vec2_model

    shapes = [(channels, kernel, stride) for channels, kernel, stride in zip(*(TINY[name] for name in (
        "channels", "kernels", "strides")), strict=True)]
    settings: dict[str, Any] = {
        "extractor_mode": "group_norm", "extractor_conv_layer_config": shapes, "extractor_conv_bias": False,
        "encoder_embed_dim": 16, "encoder_projection_dropout": 0.0, "encoder_pos_conv_kernel": 8, "encoder_pos_conv_groups": 2,
        "encoder_num_layers": 2, "encoder_num_heads": 2, "encoder_attention_dropout": 0.0, "encoder_ff_interm_features": 32,
        "encoder_ff_interm_dropout": 0.0, "encoder_dropout": 0.0, "encoder_layer_norm_first": False, "encoder_layer_drop": 0.0,
        "aux_num_out": None}
    torch.manual_seed(1)
    return wav2vec2_model(**{**settings, **options}).eval()


def test_the_base_model_has_torchaudios_parameters_by_name_and_shape() -> None:
    from torchaudio.models import wav2vec2_base

    with torch.device("meta"):
        theirs = {name: tuple(value.shape) for name, value in wav2vec2_base().named_parameters()}
        ours = registry.make("model", "wav2vec2", inputs=1, outputs=32, spec=HeardSpec("frames"))
    own = {name: tuple(value.shape) for name, value in ours.named_parameters() if not name.startswith("output.")}
    assert own == theirs
    assert sum(value.numel() for value in ours.parameters()) == 94_370_944 + 768 * 32 + 32
    assert field_of((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)) == 400
    assert ours.positions(torch.tensor([16000, 400, 7])).tolist() == [49, 1, 1]


@pytest.mark.parametrize(("ours", "theirs"), [
    ({}, {}), ({"norm": "layer", "bias": True, "norm_first": True},
               {"extractor_mode": "layer_norm", "extractor_conv_bias": True, "encoder_layer_norm_first": True})])
@torch.no_grad()
def test_outputs_are_torchaudios(tmp_path: Path, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    other = peer(**theirs)
    torch.save(other.state_dict(), tmp_path / "weights.pt")
    model = make(**ours, weights=str(tmp_path / "weights.pt")).eval()
    sound = torch.randn(2, 900)
    states, counts = model.states(sound.unsqueeze(-1), torch.tensor([900, 900]))
    wanted, sizes = other(sound, torch.tensor([900, 900]))
    assert counts.tolist() == sizes.tolist()
    torch.testing.assert_close(states, wanted, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_outputs_are_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_dim=(8, 8), conv_kernel=(10, 3),
        conv_stride=(5, 2), num_feat_extract_layers=2, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, vocab_size=9)
    other = transformers.Wav2Vec2ForCTC(config).eval()
    other.save_pretrained(tmp_path)
    model = make(weights=str(tmp_path / "model.safetensors")).eval()
    sound = torch.randn(1, 700)
    torch.testing.assert_close(model.states(sound.unsqueeze(-1), torch.tensor([700]))[0], other.wav2vec2(sound)[0], atol=1e-5,
                               rtol=1e-5)


def test_weights_that_do_not_fit_are_refused_and_nothing_in_them_is_run(tmp_path: Path) -> None:
    torch.save(peer(encoder_num_layers=1).state_dict(), tmp_path / "other.pt")
    with pytest.raises(UsageError, match=r"of another model; 16 differ, the first is encoder\.transformer\.layers\.1"):
        load_weights(make(), str(tmp_path / "other.pt"))
    torch.save({"module": nn.Linear(2, 2)}, tmp_path / "code.pt")
    with pytest.raises(UsageError, match="it holds more than tensors"):
        make(weights=str(tmp_path / "code.pt"))
    (tmp_path / "bad.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(UsageError, match="could not be read as weights"):
        make(weights=str(tmp_path / "bad.safetensors"))
    with pytest.raises(UsageError, match="there is no such file"):
        make(weights="none.pt")
    assert renamed("wav2vec2.encoder.layers.3.attention.k_proj.bias") == "encoder.transformer.layers.3.attention.k_proj.bias"


def test_layers_learn_one_after_the_other_from_the_last() -> None:
    def learning(model: Any) -> list[bool]:
        body = model.encoder
        parts = [model.feature_extractor, body.feature_projection, body.transformer.pos_conv_embed, *body.transformer.layers]
        return [all(value.requires_grad for value in part.parameters()) for part in parts]

    model = make(freeze="gradual")
    assert not any(learning(model)) and model.output.weight.requires_grad
    for fraction, wanted in ((0.09, 0), (0.1, 1), (0.2, 2), (0.45, 4), (0.5, 5), (1.0, 5)):
        model.unfreeze(fraction)
        assert learning(model) == [False] * (5 - wanted) + [True] * wanted, fraction
    fixed = make(freeze="convolutions")
    assert learning(fixed) == [False, True, True, True, True]
    fixed.unfreeze(1.0)
    assert not learning(fixed)[0]


def test_it_is_trained_from_a_file_and_evaluated_without_it(toolkit: Toolkit, tmp_path: Path) -> None:
    torch.save(peer().state_dict(), tmp_path / "weights.pt")
    words = ("run", "audio-classification", "--data", "synthetic-sounds", "--data.count", "20", "--data.held-out", "4",
             "--model", "wav2vec2", *FLAGS, "--model.weights", "weights.pt", "--model.freeze", "gradual", "--transforms", "",
             "--epochs", "1", "--batch-size", "8")
    refused = toolkit(*words)
    assert refused.returncode == 2 and "--frontend waveform --frontend.normalize true" in refused.stderr
    done = toolkit.json(*words, "--frontend", "waveform", "--frontend.normalize", "true", "--out", "heard")
    (tmp_path / "weights.pt").unlink()
    assert toolkit.json("evaluate", "heard")["accuracy"] == done["evaluation"]["accuracy"]
