"""Vocoders: published sizes, frames they refuse, streaming, folding, the forms for synthesis, published weights, Griffin-Lim."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import toolkit
from tests.audio.signals import noise, speech_like
from toolkit.audio.spec import SpecMismatch
from toolkit.audio.vocoder_configs import VocosConfig
from toolkit.audio.vocoders import channels_last
from toolkit.audio.vocoders.base import Neural, turn
from toolkit.audio.vocoders.hifigan import G, V, folded_parameters, is_folded
from toolkit.audio.vocoders.spectra import Spectra
from toolkit.audio.vocoders.wavenet import from_levels, to_levels
from toolkit.config import ConfigError, Part
from toolkit.errors import UsageError
from toolkit.registry import registry

SMALL: dict[str, dict[str, Any]] = {**{f"hifigan-{size}": {"channels": 16} for size in ("v1", "v2", "v3")},
                                    "vocos": {"dim": 16, "hidden": 32, "layers": 2}, "lstm": {"hidden_size": 16},
                                    "wavenet": {"channels": 8, "skip_channels": 12, "layers": 6, "cycle": 3}}
# HiFi-GAN's V2 is V1 with fewer channels: of 16 both are one network.
ENTRIES = [entry for entry in registry.entries("vocoder", plugins=False) if entry.name != "hifigan-v2"]
NAMES = [entry.name for entry in ENTRIES]
STREAMING = [entry.name for entry in ENTRIES if "stream" not in entry.cannot]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small convolutions wait for each other's threads more than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return toolkit.make("vocoder", name, **{**SMALL.get(name, {}), **options}).eval()


def frames_of(vocoder: Any, seconds: float = 0.3) -> torch.Tensor:
    return vocoder.frontend(speech_like(seconds, vocoder.spec.sample_rate))[0]


@pytest.mark.parametrize(("name", "count"), [("hifigan-v1", 13_926_017), ("hifigan-v2", 925_985), ("hifigan-v3", 1_462_273)])
def test_generators_have_the_published_sizes(name: str, count: int) -> None:
    vocoder = toolkit.make("vocoder", name)
    assert folded_parameters(vocoder) == count
    vocoder.remove_weight_norm()
    assert sum(value.numel() for value in vocoder.parameters()) == count


@pytest.mark.parametrize("quiet", [torch.no_grad, torch.inference_mode])
def test_folding_without_gradients_keeps_every_parameter(quiet: Any) -> None:
    vocoder = toolkit.make("vocoder", "hifigan-v3").eval()
    mel = torch.randn(12, 80)
    with quiet():
        before = vocoder(mel)
        vocoder.remove_weight_norm()
        torch.testing.assert_close(vocoder(mel), before)
    assert sum(value.numel() for value in vocoder.parameters()) == 1_462_273
    assert sum(value.numel() for value in vocoder.state_dict().values()) == 1_462_273
    vocoder(mel).sum().backward()
    assert all(value.grad is not None for value in vocoder.parameters())


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_shapes_and_lengths(name: str) -> None:
    vocoder = make(name)
    mel = frames_of(vocoder)
    sound = vocoder(torch.stack((mel, mel)))
    assert sound.shape == (2, vocoder.samples(len(mel)))
    assert sound.abs().max() < 2 and torch.isfinite(sound).all()
    torch.testing.assert_close(vocoder(mel), sound[0], atol=1e-5, rtol=1e-4)
    assert len(vocoder.frontend(sound[0])[0]) == len(mel)


@pytest.mark.parametrize("name", NAMES)
def test_other_frames_are_refused_with_the_field_named(name: str) -> None:
    vocoder = make(name)
    vocoder.check(vocoder.spec)
    other = "vocos-mel" if vocoder.spec.sample_rate == 22050 else "hifigan-mel"
    with pytest.raises(SpecMismatch, match="sample_rate: .* needs .*; n_mels|sample_rate"):
        vocoder.check(toolkit.make("frontend", other).spec)
    with pytest.raises(UsageError, match=f"allowed: .*{vocoder.spec.bins}"):
        vocoder(torch.zeros(1, 8, 7))
    with pytest.raises(ConfigError, match="log mel frames"):
        make(name, frontend="mfcc")


@pytest.mark.parametrize("sizes", [(7,), (3, 40, 1, 13)], ids=str)
@pytest.mark.parametrize("name", STREAMING)
@torch.no_grad()
def test_streaming_equals_offline(name: str, sizes: tuple[int, ...]) -> None:
    vocoder = moved(make(name))
    mel = frames_of(vocoder, 0.8)
    stream, pieces, place, turn = vocoder.stream(), [], 0, 0
    while place < len(mel):
        pieces.append(stream.push(mel[place:place + sizes[turn % len(sizes)]]))
        place, turn = place + sizes[turn % len(sizes)], turn + 1
    pieces.append(stream.finish())
    assert sum(len(piece) > 0 for piece in pieces) > 1
    whole = vocoder(mel)
    torch.testing.assert_close(torch.cat(pieces), whole, atol=2e-5 * float(whole.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("folded", [False, True])
@torch.no_grad()
def test_centred_frames_give_a_hop_less_than_there_are_frames(folded: bool) -> None:
    """As many samples as the clip had that the frames are of; the form for synthesis and the stream alike."""
    vocoder = make("hifigan-v3", frontend=Part("tacotron2-mel", {}))
    vocoder = vocoder.for_synthesis() if folded else vocoder
    mel = vocoder.frontend(noise(30 * 256))[0]
    whole, stream = vocoder(mel), vocoder.stream()
    assert len(mel) == 31 and len(whole) == vocoder.samples(31) == 30 * 256
    joined = torch.cat([*(stream.push(mel[first:first + 4]) for first in range(0, 31, 4)), stream.finish()])
    torch.testing.assert_close(joined, whole, atol=1e-6, rtol=0)


def test_what_cannot_stream_says_so() -> None:
    with pytest.raises(UsageError, match="cannot stream.*hifigan-v3"):
        make("griffin-lim").stream()


@pytest.mark.parametrize("name", ["hifigan-v1", "hifigan-v3"])
@torch.no_grad()
def test_folding_keeps_the_sound(name: str) -> None:
    vocoder = make(name)
    mel = frames_of(vocoder)
    before = vocoder(mel)
    copied = copy.deepcopy(vocoder)
    copied.remove_weight_norm()
    assert is_folded(copied) and not is_folded(vocoder)
    assert torch.equal(vocoder(mel), before), "folding a copy changed what it was copied from"
    vocoder.remove_weight_norm()
    for folded in (vocoder, copied):
        torch.testing.assert_close(folded(mel), before, atol=1e-6, rtol=1e-4)


# -- the form for synthesis


def moved(vocoder: Any) -> Any:
    """Far from the small weights at the start, so that every sample depends on all that it may depend on."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in vocoder.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return vocoder


def use_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels_last, "BLOCK", 2 ** 14)
    monkeypatch.setattr(channels_last, "LEAST", 1)


def both_forms(name: str) -> tuple[Any, Any]:
    """The network as it is trained, and its form for synthesis; tests share them, and none may change them."""
    forms = _both_forms(name)
    torch.manual_seed(2)
    return forms


@functools.cache
def _both_forms(name: str) -> tuple[Any, Any]:
    plain = moved(make(name))
    other = make(name)
    other.load_state_dict(plain.state_dict())
    return plain, other.for_synthesis()


@pytest.mark.parametrize("shape", [(30,), (2,), (1, 9), (3, 12), (2, 1)], ids=str)
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_the_form_for_synthesis_sounds_the_same(name: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    plain, quick = both_forms(name)
    if plain.samples(shape[-1]) == 0:
        return
    mel = torch.randn(*shape, plain.spec.bins) - 3
    kept, wanted = mel.clone(), plain(mel)
    torch.testing.assert_close(quick(mel), wanted, atol=1e-5, rtol=0)
    use_small_blocks(monkeypatch)
    torch.testing.assert_close(quick(mel), wanted, atol=1e-5, rtol=0)
    assert torch.equal(mel, kept)


@pytest.mark.parametrize("name", STREAMING)
@torch.no_grad()
def test_the_form_for_synthesis_streams(name: str) -> None:
    plain, quick = both_forms(name)
    mel = torch.randn(60, plain.spec.bins) - 3
    stream = quick.stream()
    pieces = [stream.push(mel[place:place + 11]) for place in range(0, 60, 11)]
    torch.testing.assert_close(torch.cat((*pieces, stream.finish())), plain(mel), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["hifigan-v1", "hifigan-v3", "vocos"])
def test_the_form_for_synthesis_has_the_same_parameters(name: str) -> None:
    plain, quick = copy.deepcopy(both_forms(name))
    original = copy.deepcopy(plain.state_dict())
    plain.remove_weight_norm()
    own = quick.state_dict()
    assert {key: value.shape for key, value in own.items()} == {key: value.shape for key, value in plain.state_dict().items()}
    assert all(torch.equal(value, own[key]) for key, value in plain.state_dict().items())
    assert not any(value.requires_grad for value in quick.parameters())
    mel = torch.randn(12, plain.spec.bins)
    with torch.no_grad():
        torch.testing.assert_close(copy.deepcopy(quick)(mel), plain(mel), atol=1e-5, rtol=0)
        plain.load_state_dict({key: value * 1.1 for key, value in own.items()})
        quick.load_state_dict(plain.state_dict())
        torch.testing.assert_close(quick(mel), plain(mel), atol=1e-5, rtol=0)
        again = make(name)
        again.load_state_dict(original)  # one that was made afterwards is as it ever was
    assert is_folded(again) == (name == "vocos")


@pytest.mark.parametrize("name", ["hifigan-v2", "hifigan-v3", "vocos"])
def test_gradients_of_frames_pass_through_the_form_for_synthesis(name: str) -> None:
    plain, quick = both_forms(name)
    gradients = []
    for vocoder in (plain, quick):
        mel = torch.linspace(-4, 0, 10 * plain.spec.bins).reshape(10, -1).requires_grad_()
        vocoder(mel).square().sum().backward()
        gradients.append(mel.grad)
    assert float(gradients[0].abs().max()) > 0
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["hifigan-v3", "vocos"])
def test_the_form_for_synthesis_is_made_in_inference_mode_too(name: str) -> None:
    quick = moved(make(name))
    mel = torch.randn(2, 7, quick.spec.bins)
    plain = quick(mel).detach()
    with torch.inference_mode():
        quick.for_synthesis()
        torch.testing.assert_close(quick(mel), plain, atol=1e-5, rtol=0)
        made_within = make(name).for_synthesis()
        assert made_within(mel).isfinite().all()
    quick(mel.requires_grad_()).sum().backward()
    assert mel.grad is not None and mel.grad.isfinite().all()


def test_the_form_for_synthesis_in_low_precision_on_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    use_small_blocks(monkeypatch)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    plain, quick = both_forms("hifigan-v3")
    mel = torch.randn(1, 9, plain.spec.bins)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(quick(mel), plain(mel))


@pytest.mark.parametrize(("clips", "threads", "lengths"), [(1, 1, [36, 38, 35]), (2, 1, [36, 38, 35]), (1, 2, [28, 30, 30, 25])])
def test_blocks_of_time_are_the_whole(clips: int, threads: int, lengths: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels_last, "BLOCK", 40 * 4 * 4 * clips)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(channels_last, "LEAST", 2)
    seen: list[int] = []

    def summed(x: torch.Tensor) -> torch.Tensor:
        """Each step with two on both sides, zeros beyond the ends."""
        seen.append(x.shape[-1])
        padded = torch.nn.functional.pad(x, (2, 2))
        return sum(padded[..., place:place + x.shape[-1]] for place in range(5))  # type: ignore[return-value]

    x = torch.randn(clips, 1, 101, 4).permute(0, 3, 1, 2)
    blocked = channels_last.in_blocks(summed, x, 2)
    assert sorted(seen) == sorted(lengths)
    torch.testing.assert_close(blocked, summed(x))
    assert blocked.is_contiguous(memory_format=torch.channels_last)


# -- the form for synthesis in bfloat16

LOWERED = [entry.name for entry in ENTRIES if "bfloat16" not in entry.cannot]
EXACT = [(entry.name, entry.cannot["bfloat16"]) for entry in ENTRIES if "bfloat16" in entry.cannot]


def lively(vocoder: Any) -> Any:
    """With folded weights, of which each layer's keep the size of what it is given: at the start HiFi-GAN is nearly constant."""
    torch.manual_seed(1)
    getattr(vocoder, "remove_weight_norm", int)()
    for layer in vocoder.modules():
        if isinstance(layer, torch.nn.ConvTranspose1d):
            torch.nn.init.normal_(layer.weight, std=1.5 * (layer.in_channels * layer.kernel_size[0] / layer.stride[0]) ** -0.5)
        elif isinstance(layer, (torch.nn.Conv1d, torch.nn.Linear)):
            torch.nn.init.normal_(layer.weight, std=0.5 * layer.weight[0].numel() ** -0.5)
    return vocoder


def lowered(name: str, **options: Any) -> tuple[Any, Any]:
    """The network as it is trained, and its form for synthesis in bfloat16; tests share them, and none may change them."""
    forms = _lowered(name, **options)
    torch.manual_seed(2)
    return forms


@functools.cache
def _lowered(name: str, **options: Any) -> tuple[Any, Any]:
    plain = lively(make(name, **options))
    return plain, copy.deepcopy(plain).for_synthesis(precision="bfloat16")


def require_near(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """A rounding of 2 ** -9 in each of a few layers: the difference has a thousandth of the energy, -30 dB."""
    assert found.shape == wanted.shape and found.dtype == torch.float32 and bool(found.isfinite().all())
    assert float((found - wanted).square().sum()) < 1e-3 * float(wanted.square().sum())


@pytest.mark.parametrize("shape", [(30,), (2,), (1, 9), (3, 12), (2, 1)], ids=str)
@pytest.mark.parametrize("name", LOWERED)
@torch.no_grad()
def test_bfloat16_sounds_nearly_the_same(name: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    plain, quick = lowered(name)
    if plain.samples(shape[-1]) == 0:
        return
    mel = torch.randn(*shape, plain.spec.bins) - 3
    kept, wanted = mel.clone(), plain(mel)
    assert quick.precision == "bfloat16" and any(value.dtype == torch.bfloat16 for value in quick.parameters())
    require_near(quick(mel), wanted)
    use_small_blocks(monkeypatch)
    require_near(quick(mel), wanted)
    assert torch.equal(mel, kept) and plain.precision == "float32"


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # which setting the flag reads
@pytest.mark.parametrize("name", LOWERED)
@torch.no_grad()
def test_bfloat16_where_a_processor_has_no_products_of_it(name: str) -> None:
    plain, quick = lowered(name)
    mel = torch.randn(2, 5, plain.spec.bins) - 3
    with torch.backends.mkldnn.flags(enabled=False):
        require_near(quick(mel), plain(mel))
    with torch.autocast("cpu", torch.bfloat16):  # the caller's own, which rounds the head too
        torch.testing.assert_close(quick(mel).float(), plain(mel).float(), atol=0.02, rtol=0.1)


@pytest.mark.parametrize("name", LOWERED)
@torch.no_grad()
def test_bfloat16_streams_and_a_clip_of_a_batch_is_the_clip_alone(name: str) -> None:
    quick = lowered(name)[1]
    mel = torch.randn(2, 40, quick.spec.bins) - 3
    together, stream = quick(mel), quick.stream()
    for clip, sound in zip(mel, together, strict=True):
        require_near(quick(clip), sound)
    joined = torch.cat([*(stream.push(mel[0, place:place + 11]) for place in range(0, 40, 11)), stream.finish()])
    require_near(joined, together[0])


@pytest.mark.parametrize("name", LOWERED)
def test_bfloat16_is_made_in_inference_mode_and_takes_float32_weights(name: str) -> None:
    plain = lively(make(name))
    mel = torch.randn(2, 7, plain.spec.bins) - 3
    wanted = plain(mel).detach()
    with torch.inference_mode():
        quick = make(name).for_synthesis().for_synthesis("bfloat16").for_synthesis("bfloat16")
        copied = copy.deepcopy(quick)
    rounded = [value for value in quick.parameters() if value.dtype == torch.bfloat16]
    assert rounded and not any(value.requires_grad or value.is_inference() for value in rounded)
    with torch.inference_mode():
        copied.load_state_dict(plain.state_dict())
        require_near(copied(mel), wanted)


@pytest.mark.parametrize("name", LOWERED)
def test_gradients_of_frames_pass_through_bfloat16(name: str) -> None:
    # From 16 to 8 channels torch 2.13's gradient of a transposed convolution in bfloat16 may be wrong on processors with AMX.
    wider, gradients = {"channels": 128} if name.startswith("hifigan") else {}, []
    for vocoder in lowered(name, **wider):
        mel = torch.linspace(-4, 0, 10 * vocoder.spec.bins).reshape(10, -1).requires_grad_()
        sound = vocoder(mel)
        sound.square().sum().backward()
        assert sound.dtype == torch.float32 and mel.grad is not None
        assert not torch.equal(sound, sound.bfloat16().float()), "the last layer is float32 here too"
        gradients.append(mel.grad)
    assert float((gradients[1] - gradients[0]).norm()) < 0.1 * float(gradients[0].norm())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
@pytest.mark.parametrize("name", LOWERED)
def test_bfloat16_on_a_gpu_sounds_nearly_as_float32_here(name: str) -> None:
    plain, quick = copy.deepcopy(lowered(name))
    gradients, sounds = [], []
    for vocoder, device in ((plain, "cpu"), (quick.cuda(), "cuda")):
        mel = torch.linspace(-4, 0, 24 * vocoder.spec.bins).reshape(2, 12, -1).to(device).requires_grad_()
        sound = vocoder.train(name == "lstm")(mel)  # cuDNN's LSTM passes gradients in training mode alone
        assert sound.device.type == device
        sound.square().sum().backward()
        assert mel.grad is not None
        gradients.append(mel.grad.cpu())
        sounds.append(sound.detach().cpu())
    require_near(sounds[1], sounds[0])
    assert float((gradients[1] - gradients[0]).norm()) < 0.1 * float(gradients[0].norm())
    stream, one = quick.stream(), mel.detach()[0]
    with torch.no_grad():
        joined = torch.cat([*(stream.push(one[place:place + 5]) for place in (0, 5, 10)), stream.finish()])
    require_near(joined.cpu(), sounds[0][0])


@pytest.mark.parametrize(("name", "reason"), EXACT)
def test_what_has_no_form_in_bfloat16_says_why_and_stays_as_it_was(name: str, reason: str) -> None:
    vocoder = make(name)
    with pytest.raises(UsageError, match=f"{name} has no form in bfloat16: .*float32") as caught:
        vocoder.for_synthesis("bfloat16")
    assert reason in str(caught.value)
    assert vocoder.for_synthesis("float32") is vocoder and vocoder.precision == "float32"


@pytest.mark.parametrize("name", NAMES)
def test_other_precisions_are_refused(name: str) -> None:
    vocoder = make(name)
    before = {key: value.clone() for key, value in vocoder.state_dict().items()}
    with pytest.raises(UsageError, match="precision: got 'float16', allowed: float32, bfloat16"):
        vocoder.for_synthesis("float16")
    assert all(torch.equal(value, before[key]) for key, value in vocoder.state_dict().items())


def test_rounded_weights_do_not_come_back() -> None:
    with pytest.raises(UsageError, match="rounded its weights: make or load it again"):
        make("vocos").for_synthesis("bfloat16").for_synthesis()


def test_vocoders_of_plugins_need_no_form_for_synthesis() -> None:
    class Bare:
        """Without the form."""

    class Single:
        """With a form that takes no precision."""

        turned = 0

        def for_synthesis(self) -> None:
            self.turned += 1

    single = Single()
    turn(Bare(), "float32", "bare")
    turn(single, "float32", "single")
    for vocoder, name in ((Bare(), "bare"), (single, "single")):
        with pytest.raises(UsageError, match=f"{name} has no form in bfloat16: .* takes no precision. Leave the precision out"):
            turn(vocoder, "bfloat16", name)
    assert single.turned == 1


def test_a_plugin_of_ours_that_names_no_parts_has_float32_alone() -> None:
    class Unnamed(Neural):
        """Says nothing of bfloat16."""

    vocoder = Unnamed(VocosConfig(), "unnamed")
    with pytest.raises(UsageError, match=r"unnamed has no form in bfloat16: it names no parts \(in_bfloat16\)"):
        turn(vocoder, "bfloat16", "unnamed")
    turn(vocoder, "float32", "unnamed")


# -- published weights


@pytest.mark.parametrize("form", ["normalised", "plain"])
@torch.no_grad()
def test_published_weights_are_read_from_a_file(form: str, tmp_path: Path) -> None:
    source = make("hifigan-v3")
    mel = frames_of(source)
    before = source(mel)
    if form == "plain":
        source.remove_weight_norm()
    state = {name.replace(G, "weight_g").replace(V, "weight_v"): value for name, value in source.state_dict().items()}
    torch.save({"generator": state}, tmp_path / "g_02500000")
    torch.manual_seed(5)
    again = toolkit.make("vocoder", "hifigan-v3", channels=16, weights=str(tmp_path / "g_02500000"))
    torch.testing.assert_close(again(mel), before, atol=1e-6, rtol=1e-4)
    with pytest.raises(UsageError, match="another generator"):
        toolkit.make("vocoder", "hifigan-v3", channels=8, weights=str(tmp_path / "g_02500000"))


@torch.no_grad()
def test_the_library_vocos_and_its_weights(tmp_path: Path) -> None:
    """The same file, read by both, is the same network: the sound of its frames is the library's."""
    import toolkit.core._torchaudio  # the library imports torchaudio, which may need a stand-in

    theirs = pytest.importorskip("vocos", exc_type=ImportError)
    from vocos.feature_extractors import MelSpectrogramFeatures  # type: ignore[import-not-found, unused-ignore]
    from vocos.heads import ISTFTHead  # type: ignore[import-not-found, unused-ignore]
    from vocos.models import VocosBackbone  # type: ignore[import-not-found, unused-ignore]

    torch.manual_seed(0)
    features = MelSpectrogramFeatures(sample_rate=24000, n_fft=1024, hop_length=256, n_mels=100)
    backbone, head = VocosBackbone(100, 32, 48, 2), ISTFTHead(32, 1024, 256, "center")
    whole = theirs.Vocos(features, backbone, head).eval()
    torch.save(whole.state_dict(), tmp_path / "pytorch_model.bin")
    ours = toolkit.make("vocoder", "vocos", dim=32, hidden=48, layers=2, weights=str(tmp_path / "pytorch_model.bin"))
    mel = frames_of(ours)
    torch.testing.assert_close(ours(mel), whole.decode(mel.T[None])[0], atol=1e-4, rtol=1e-4)
    with pytest.raises(UsageError, match="another network"):
        toolkit.make("vocoder", "vocos", dim=32, hidden=48, layers=3, weights=str(tmp_path / "pytorch_model.bin"))


def test_wrong_weight_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        make("hifigan-v3", weights=str(tmp_path / "none"))
    (tmp_path / "text").write_text("hello")
    with pytest.raises(UsageError, match="could not be read as weights"):
        make("hifigan-v3", weights=str(tmp_path / "text"))


@pytest.mark.parametrize(("options", "words"), [
    ({"upsample_rates": (8, 8)}, "product is the hop, 256"), ({"channels": 12}, "a multiple of"), ({"kernels": (3, 4, 7)}, "odd"),
    ({"dilations": (1, 2)}, "as many for each")])
def test_settings_that_do_not_fit(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make("hifigan-v1", **options)


# -- transforms


@pytest.mark.parametrize(("n_fft", "hop"), [(1024, 256), (1024, 300), (400, 160), (512, 512)])
@pytest.mark.parametrize("frames", [1, 2, 9])
def test_frames_are_added_where_they_overlap(n_fft: int, hop: int, frames: int) -> None:
    """As torch's own folding does, and gradients pass."""
    spectra = Spectra(toolkit.make("frontend", "hifigan-mel", n_fft=n_fft, win_length=n_fft, hop_length=hop).spec)
    given = torch.randn(2, frames, n_fft, requires_grad=True)
    length = (frames - 1) * hop + n_fft
    wanted = torch.nn.functional.fold(given.transpose(1, 2), (1, length), (1, n_fft), stride=(1, hop))[:, 0, 0]
    found = spectra._overlapped(given)
    torch.testing.assert_close(found, wanted)
    weights = torch.randn(2, length)
    torch.testing.assert_close(*(torch.autograd.grad((sound * weights).sum(), given)[0] for sound in (found, wanted)))


# -- Griffin-Lim


@pytest.mark.parametrize("frontend", ["hifigan-mel", "vocos-mel", "log-mel"])
def test_griffin_lim_comes_near_the_frames_and_more_iterations_nearer(frontend: str) -> None:
    errors = []
    for iterations in (1, 32):
        vocoder = make("griffin-lim", iterations=iterations, frontend=frontend)
        mel = frames_of(vocoder)
        again = vocoder.frontend(vocoder(mel))[0]
        errors.append(float((again - mel)[4:-4].abs().mean()))
    assert errors[1] < 0.8 * errors[0]


def test_momentum_is_faster() -> None:
    def inconsistency(momentum: float) -> float:
        vocoder = make("griffin-lim", momentum=momentum, iterations=32)
        magnitudes = vocoder.magnitudes(frames_of(vocoder)[None])
        return float((vocoder.spectra.analyse(vocoder.with_phases(magnitudes)).abs() - magnitudes).norm() / magnitudes.norm())

    assert inconsistency(0.99) < inconsistency(0.0)


def test_synthesis_inverts_analysis() -> None:
    for name in ("hifigan-mel", "vocos-mel"):
        vocoder = make("griffin-lim", frontend=name)
        sound = speech_like(0.5, vocoder.spec.sample_rate)[None, :256 * 40]
        torch.testing.assert_close(vocoder.spectra.synthesise(vocoder.spectra.analyse(sound)), sound, atol=1e-5, rtol=1e-4)


# -- wavenet


def test_mu_law_levels_by_hand() -> None:
    """ln(1 + 255 / 4) / ln 256 = 0.752; (0.752 + 1) / 2 * 255 + 0.5 = 223.9, so level 223."""
    assert to_levels(torch.tensor([0.25, -0.25, 0.0, 1.5])).tolist() == [223, 32, 128, 255]
    every = torch.arange(256)
    assert torch.equal(to_levels(from_levels(every)), every)


SMALL_WAVENET = SMALL["wavenet"]


@pytest.mark.compiles
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_cached_generation_is_the_uncached_one(temperature: float) -> None:
    torch.manual_seed(0)
    network = toolkit.make("vocoder", "wavenet", temperature=temperature, **SMALL_WAVENET)
    assert network.receptive_field == 2 * (1 + 2 + 4) + 1
    mel = torch.randn(2, 2, 80)
    assert torch.equal(network(mel), network.synthesise_without_cache(mel))


def test_a_taught_sample_depends_on_those_before_it_alone() -> None:
    torch.manual_seed(0)
    network = toolkit.make("vocoder", "wavenet", **SMALL_WAVENET)
    mel, sound = torch.randn(1, 2, 80), torch.rand(1, 512) * 2 - 1
    changed = sound.clone()
    changed[:, 300] += 0.5
    with torch.no_grad():
        one, other = network.teach(mel, sound), network.teach(mel, changed)
    differs = (one != other).any(1)[0].nonzero().flatten()
    assert differs.min() == 301 and differs.max() <= 300 + network.receptive_field


@pytest.mark.compiles
def test_what_is_drawn_is_what_was_taught() -> None:
    """The logits of the drawn sound, taught, make the same draws: training and generation are one network."""
    torch.manual_seed(0)
    network = toolkit.make("vocoder", "wavenet", temperature=0.0, **SMALL_WAVENET)
    mel = torch.randn(1, 2, 80)
    sound = network(mel)
    with torch.no_grad():
        logits = network.teach(mel, sound)
    assert torch.equal(from_levels(logits.argmax(1)), sound)
