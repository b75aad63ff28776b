"""The hearing network and its perception: any front end, any model; stored frames are the frames of the sound."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from toolkit.agents.perception import PerceivingEnvs, perception_of
from toolkit.config import Part
from toolkit.envs import factory, packing
from toolkit.envs.base import EnvSpec
from toolkit.errors import UsageError
from toolkit.registry import registry

SOUND = spaces.Box(-1, 1, (8000,), np.float32)
SPACES: dict[str, gymnasium.Space[Any]] = {
    "alone": SOUND, "beside": spaces.Dict({"sound": SOUND, "position": spaces.Box(-1, 1, (2,), np.float32)}),
    "ears": spaces.Dict({"a": spaces.Discrete(3), "sound": spaces.Box(-1, 1, (2, 4000), np.float32)}),
}


def rows(space: gymnasium.Space[Any], count: int) -> Any:
    space.seed(1)
    return np.stack([packing.pack(space, space.sample()) for _ in range(count)])


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
def test_stored_frames_give_what_the_sound_gives(space: gymnasium.Space[Any]) -> None:
    part, observations = Part("hearing", {"hidden_size": 7}), rows(space, 3)
    perception = perception_of(part, space)
    assert perception is not None
    torch.manual_seed(0)
    direct = registry.make("network", "hearing", observation_space=space, **part.options)
    torch.manual_seed(0)
    stored = registry.make("network", "hearing", observation_space=perception.space, **part.options)
    with torch.no_grad():
        expected = direct(torch.from_numpy(observations))
        found = stored(torch.from_numpy(perception(observations)))
    assert found.shape == (3, 7)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["mel", "mfcc", "pcen", "kaldi-fbank", "chroma"])
def test_any_front_end_hears(name: str) -> None:
    space = SPACES["beside"]
    perception = perception_of(Part("hearing", {"frontend": Part(name)}), space)
    assert perception is not None
    network = registry.make("network", "hearing", observation_space=perception.space, frontend=Part(name))
    assert network(torch.from_numpy(perception(rows(space, 2)))).isfinite().all()


@pytest.mark.parametrize(("name", "options", "said"), [
    ("transformer", {"heads": 5}, "heads 5 does not divide .*: --network.model.heads 4, or --network.model.width 150$"),
    ("crnn", {"channels": (8,)}, r"\(--network.model.channels, --network.model.time-strides\)"),
    ("wav2vec2", {}, "hears samples, and .* log-mel. Give it samples: --network.frontend waveform --network.frontend.normalize")])
def test_a_model_that_cannot_be_made_names_flags_of_this_network(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        registry.make("network", "hearing", observation_space=SOUND, model=Part(name, options))


@pytest.mark.compiles
def test_a_slow_front_end_is_warned_of_with_a_cheaper_one() -> None:
    with pytest.warns(UserWarning, match="the front end pyin is slow: .* cqt tells pitch too"):
        perception_of(Part("hearing", {"frontend": Part("pyin")}), SOUND)


class Learned(nn.Module):
    """A front end with a parameter: it runs inside the network, and learns."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        frames = waveform.unfold(-1, 400, 200) * self.weight
        return frames[..., :16], torch.full((len(waveform),), frames.shape[-2])


def test_a_front_end_that_learns_stays_inside_the_network() -> None:
    registry.register("frontend", "learned-test", summary="A test's.")(Learned)
    part, space = Part("hearing", {"frontend": Part("learned-test")}), SPACES["beside"]
    assert perception_of(part, space) is None
    network = registry.make("network", "hearing", observation_space=space, **part.options)
    network(torch.from_numpy(rows(space, 2))).sum().backward()
    assert network.ears.frontend.weight.grad.abs() > 0


def test_environments_are_perceived_finals_included() -> None:
    spec = EnvSpec("toolkit/HearAndGo-v0", {"words": "tones"}, max_episode_steps=3)
    raw, other = (factory.make(spec, [1, 2, 3, 4]) for _ in range(2))
    perception = perception_of(Part("hearing"), raw.observation_space)
    assert perception is not None
    envs = PerceivingEnvs(other, perception)
    np.testing.assert_array_equal(envs.reset(), perception(raw.reset()))
    for step in range(8):
        chosen = np.full(4, step % 4)
        seen, heard = envs.step(chosen), raw.step(chosen)
        np.testing.assert_array_equal(seen.observations, perception(heard.observations))
        if heard.final is not None and seen.final is not None:
            np.testing.assert_array_equal(seen.final.observations, perception(heard.final.observations))
    np.testing.assert_array_equal(envs.set_state(envs.get_state()), seen.observations)


def test_without_sound_it_says_what_it_needs() -> None:
    with pytest.raises(UsageError, match="'hearing' needs sound in the observations.*Use --network mlp"):
        perception_of(Part("hearing"), spaces.Box(-1, 1, (3,), np.float32))


def test_the_small_model_does_not_hear_padding() -> None:
    torch.manual_seed(0)
    model = registry.make("model", "conv-pool", inputs=5, outputs=3)
    frames, lengths = torch.randn(3, 30, 5), torch.tensor([30, 21, 8])
    outputs, _ = model(frames, lengths)
    for clip, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(model(frames[clip:clip + 1, :length], None)[0][0], outputs[clip])
    frames[1, 21:] = 1e6
    torch.testing.assert_close(model(frames, lengths)[0], outputs)
