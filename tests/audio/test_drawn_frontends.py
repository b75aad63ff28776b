"""Front ends of one's own that draw numbers when they are made, and such as learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from toolkit.audio.configs import WaveformConfig
from toolkit.audio.frontends import fixed, make_frontend
from toolkit.audio.frontends.framewise import Framewise
from toolkit.audio.spec import FrameSpec
from toolkit.config import Part
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.testing.suite import BROKEN, examine, suite_for

pytestmark = pytest.mark.usefixtures("only_here")
LENGTH, HOP, BINS = 400, 160, 8


class Projected(Framewise):
    """Frames times a matrix that is drawn when the front end is made."""

    def __init__(self, config: WaveformConfig) -> None:
        super().__init__(FrameSpec("projected", BINS, 16_000, LENGTH, LENGTH, HOP))
        self.keep(torch.randn(LENGTH, BINS))

    def keep(self, drawn: torch.Tensor) -> None:
        self.register_buffer("matrix", drawn)

    def analyse(self, frames: torch.Tensor) -> torch.Tensor:
        return frames @ self.matrix


class Learned(Projected):
    def keep(self, drawn: torch.Tensor) -> None:
        self.matrix = nn.Parameter(drawn)


class Cut(Learned):
    def analyse(self, frames: torch.Tensor) -> torch.Tensor:
        return frames @ self.matrix.detach()


class Elsewhere(Projected):
    def keep(self, drawn: torch.Tensor) -> None:
        super().keep(torch.from_numpy(np.random.default_rng().standard_normal((LENGTH, BINS), np.float32)))


def declare(target: type[Projected]) -> Part:
    registry.register("frontend", target.__name__.lower(), config=WaveformConfig, summary="A test's.")(target)
    return Part(target.__name__.lower())


def broken(part: Part) -> dict[str, str]:
    """The broken promises by name, with the message of each."""
    return {verdict.name: verdict.reason for verdict in examine(suite_for(registry.get("frontend", part.name)))
            if verdict.status == BROKEN}


def test_what_a_front_end_draws_is_the_same_wherever_it_is_made() -> None:
    """And what is drawn around it is what it would have been without."""
    part = declare(Projected)
    torch.manual_seed(1)
    alone = torch.randn(3)
    torch.manual_seed(1)
    first = make_frontend(part)
    assert torch.equal(torch.randn(3), alone)
    torch.manual_seed(2)
    assert torch.equal(fixed(part).matrix, first.matrix) and torch.equal(make_frontend(part.name, {}).matrix, first.matrix)
    assert broken(part) == {}


def test_one_that_draws_from_elsewhere_is_found_out() -> None:
    found = broken(declare(Elsewhere))
    assert found.keys() == {"the_same_input_gives_the_same_features"}
    assert "another front end with the same settings gives other features" in found["the_same_input_gives_the_same_features"]


@pytest.mark.parametrize("lengths", [None, [3000, 2500]])
def test_parameters_learn_from_waveforms_that_do_not(lengths: list[int] | None) -> None:
    made: Any = make_frontend(declare(Learned))
    clips = torch.randn(2, 3000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, _ = made(clips, None if lengths is None else torch.tensor(lengths))
    features, _ = made(clips, None if lengths is None else torch.tensor(lengths))
    torch.testing.assert_close(features.detach(), wanted)
    features.square().mean().backward()
    assert made.matrix.grad.abs().sum() > 0
    assert broken(Part("learned")) == {}


def test_parameters_that_are_cut_off_are_found_out() -> None:
    assert "no gradient reaches the parameters matrix" in broken(declare(Cut))["gradients_flow"]


def test_a_task_refuses_a_front_end_that_learns() -> None:
    part = declare(Learned)
    with pytest.raises(UsageError, match=r"learned has parameters that learn \(matrix\).*--network hearing.*--kind model"):
        registry.make("task", "audio-classification", frontend=part)
