"""Components that are wrong on purpose: `toolkit check` names the promise that each one breaks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from toolkit.agents.base import Acted, Batches, Steps, Updated
from toolkit.agents.buffers.uniform import UniformBuffer
from toolkit.agents.configs import DQNConfig, MLPConfig, NStepConfig, UniformConfig
from toolkit.agents.dqn import DQN
from toolkit.agents.networks.mlp import MLP
from toolkit.audio.configs import LogMelConfig
from toolkit.audio.vocoder_configs import VocosConfig
from toolkit.audio.vocoders.vocos import Vocos
from toolkit.commands.check import checked, environment
from toolkit.core.configs import TabularRegressionConfig
from toolkit.core.losses import Elementwise
from toolkit.core.tabular import TabularRegression
from toolkit.errors import UsageError
from toolkit.nlp.configs import WordConfig
from toolkit.nlp.tokenizers.pieces import Words
from toolkit.registry import registry
from toolkit.testing.suite import BROKEN, examine, suite_for

pytestmark = pytest.mark.usefixtures("only_here")


def broken(kind: str, name: str) -> dict[str, str]:
    """The broken promises by name, with the message of each."""
    return {verdict.name: verdict.reason for verdict in examine(suite_for(registry.get(kind, name))) if verdict.status == BROKEN}


def test_an_off_by_one_in_the_frames() -> None:
    @registry.register("frontend", "one-more", config=LogMelConfig)
    class OneMore:
        """A log-mel with one frame more than its spec says."""

        def __init__(self, config: LogMelConfig) -> None:
            self.inner = registry.make("frontend", "log-mel")
            self.spec = self.inner.spec

        def __call__(self, waveform: torch.Tensor, lengths: Any = None) -> Any:
            features, frames = self.inner(waveform, lengths)
            return torch.cat([features, features[..., -1:, :]], -2), frames + 1

        def stream(self) -> Any:
            return self.inner.stream()

    found = broken("frontend", "one-more")
    assert "its spec declares spec.frames(9000) = " in found["frames_are_what_the_spec_says"]
    assert "offline" in found["streaming_equals_offline"]


def test_features_that_are_cut_from_the_waveform() -> None:
    @registry.register("frontend", "cut", config=LogMelConfig)
    class Cut:
        """A log-mel that nothing can be learned through, and does not say so."""

        def __init__(self, config: LogMelConfig) -> None:
            self.inner = registry.make("frontend", "log-mel")
            self.spec, self.stream = self.inner.spec, self.inner.stream

        def __call__(self, waveform: torch.Tensor, lengths: Any = None) -> Any:
            return self.inner(waveform.detach(), lengths)

    found = broken("frontend", "cut")
    assert found.keys() == {"gradients_flow"}
    assert "the features are cut from it (detach, no_grad, NumPy)" in found["gradients_flow"]


def test_spaces_that_a_class_has_for_all_its_environments_are_no_fault() -> None:
    @registry.register("env", "class-wide")
    class ClassWide(gymnasium.Env[Any, Any]):
        """A walk whose spaces are attributes of the class."""

        observation_space = gymnasium.spaces.Box(-200, 200, (1,), np.float32)
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            self.place = self.np_random.normal(size=1).astype(np.float32)
            return self.place.copy(), {}

        def step(self, action: Any) -> Any:
            self.place += np.float32(2 * int(action) - 1)
            return self.place.copy(), 0.0, bool(abs(self.place[0]) > 4), False, {}

    assert broken("env", "class-wide") == {}


def test_a_padding_leak_of_a_model() -> None:
    @registry.register("model", "leaky", accepts=("text",))
    class Leaky(nn.Module):
        """The mean over all positions, padding included."""

        def __init__(self, inputs: int, outputs: int, spec: Any = None) -> None:
            super().__init__()
            self.table, self.output = nn.Embedding(inputs, 8), nn.Linear(8, outputs)

        def forward(self, ids: torch.Tensor, lengths: Any = None) -> Any:
            return self.output(self.table(ids).mean(1)), lengths

    found = broken("model", "leaky")
    assert found.keys() == {"padding_never_changes_valid_positions", "lengths_are_honoured"}
    assert found["padding_never_changes_valid_positions"].startswith("padding leaks: with ")


def test_actions_that_come_from_nowhere() -> None:
    @registry.register("agent", "dicey", config=DQNConfig, accepts=("Discrete",))
    class Dicey(DQN):
        """Draws from NumPy's global generator."""

        def act(self, observations: Any, *rest: Any, **more: Any) -> Acted:
            return Acted(np.random.randint(3, size=len(observations)))

    found = broken("agent", "dicey")
    assert "act differently on the same observations" in found["the_same_seed_gives_the_same_actions"]
    assert "mean return" in found["it_learns_a_trivial_environment"]


def test_parameters_that_do_not_move() -> None:
    @registry.register("agent", "still", config=DQNConfig, accepts=("Discrete",))
    class Still(DQN):
        """Reports a loss and learns nothing."""

        def update(self, batches: Batches) -> Updated:
            return Updated({"train/loss": 0.5})

    assert "the parameters did not move in 600 steps" in broken("agent", "still")["updates_move_the_parameters_and_stay_finite"]


def test_an_agent_that_keeps_the_observation_buffer() -> None:
    @registry.register("agent", "clingy", config=DQNConfig, accepts=("Discrete",))
    class Clingy(DQN):
        """Stores the observations themselves beside the step."""

        def act(self, observations: Any, *rest: Any, **more: Any) -> Acted:
            acted = super().act(observations, *rest, **more)
            return Acted(acted.actions, {"seen": observations}, acted.state)

    assert "it is a view of them, copy it" in broken("agent", "clingy")["it_keeps_no_view_of_the_observations"]


def test_an_agent_that_learns_from_the_observation_buffer() -> None:
    @registry.register("agent", "leaning", config=DQNConfig, accepts=("Discrete",))
    class Leaning(DQN):
        """Keeps the last observations for its update, and not a copy of them."""

        def act(self, observations: Any, *rest: Any, **more: Any) -> Acted:
            self.seen = observations
            return super().act(observations, *rest, **more)

        def update(self, batches: Batches) -> Updated:
            batches.rewards[...] += float(self.seen.sum())
            return super().update(batches)

    assert "copy what is kept of them until the update" in broken("agent", "leaning")["it_keeps_no_view_of_the_observations"]


def test_a_task_is_tried_on_data_that_fits_and_its_inexact_resume_is_found() -> None:
    class Impatient(TabularRegression):
        """Weighs each batch by how many there were, which no checkpoint holds."""

        calls = 0

        def loss(self, outputs: torch.Tensor, lengths: Any, batch: Any) -> torch.Tensor:
            self.calls += 1
            return super().loss(outputs, lengths, batch) * self.calls

    registry.register("task", "impatient", config=TabularRegressionConfig)(Impatient)
    found = broken("task", "impatient")
    assert found.keys() == {"resumed_it_goes_on_exactly"}
    assert "the run ends with other parameters than without" in found["resumed_it_goes_on_exactly"]


def test_an_environment_that_hands_out_its_own_buffer() -> None:
    @registry.register("env", "shared-buffer")
    class Shared(gymnasium.Env[Any, Any]):
        """Writes every observation into one array."""

        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        action_space = gymnasium.spaces.Discrete(2)

        def __init__(self) -> None:
            self.seen = np.zeros(1, np.float32)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            self.seen[0] = 0
            return self.seen, {}

        def step(self, action: Any) -> Any:
            self.seen += 1
            return self.seen, 1.0, bool(self.seen[0] == 9), False, {}

    found = broken("env", "shared-buffer")
    assert "it hands out its own buffer, copy it" in found["observations_keep_their_values"]


def test_an_environment_that_ignores_its_seed_after_it_was_made() -> None:
    @registry.register("env", "slippery")
    class Slippery(gymnasium.Env[Any, Any]):
        """Begins where its seed says, and slips by a generator that is seeded once."""

        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        action_space = gymnasium.spaces.Discrete(2)

        def __init__(self) -> None:
            self.slips, self.time = np.random.default_rng(7), 0

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            self.place, self.time = self.np_random.random(), 0
            return np.array([self.place], np.float32), {}

        def step(self, action: Any) -> Any:
            self.place, self.time = self.place + self.slips.random(), self.time + 1
            return np.array([self.place], np.float32), 1.0, self.time == 9, False, {}

    found = broken("env", "slippery")["the_same_seed_gives_the_same_episodes"]
    assert "reset(seed=5) of a copy that has run before gives another step 1" in found and "It ignores its seed there" in found


def test_a_tokenizer_that_makes_all_letters_small() -> None:
    @registry.register("tokenizer", "humble", config=WordConfig)
    class Humble(Words):
        """Knows no capitals, and does not say so."""

        def pieces(self, text: str) -> list[str]:
            return super().pieces(text.lower())

    found = broken("tokenizer", "humble")
    assert found.keys() == {"no_letter_is_changed"}
    assert "decode(encode('Maria told Ada')) is 'maria told ada': it loses letters" in found["no_letter_is_changed"]


def test_a_buffer_that_keeps_views_and_forgets_final_observations() -> None:
    @registry.register("buffer", "careless", config=UniformConfig)
    class Careless(UniformBuffer):
        """Takes the next row for the next observation, always."""

        def add(self, steps: Steps) -> None:
            super().add(Steps(**{**vars(steps), "final_rows": steps.final_rows[:0], "final_copies": steps.final_copies[:0],
                                 "final_observations": steps.final_observations[:0]}))

    found = broken("buffer", "careless")
    assert "the true last observation is in final_observations" in found["transitions_belong_together"]


def test_a_buffer_that_sums_past_the_end_of_an_episode() -> None:
    @registry.register("buffer", "endless", config=NStepConfig)
    class Endless(UniformBuffer):
        """An n-step buffer to which an episode never ends."""

        def add(self, steps: Steps) -> None:
            super().add(steps)
            self._ended[:] = False

    assert list(broken("buffer", "endless")) == ["rewards_are_summed_within_their_episode"]


def test_a_fast_path_for_full_batches_alone() -> None:
    @registry.register("network", "full", config=MLPConfig)
    class Full(MLP):
        """An MLP whose fast path takes a batch that is not full for a full one."""

        def fast_path(self, batch_size: int) -> Any:
            path: Any = super().fast_path(batch_size)
            forward = path.forward
            path.forward = lambda inputs: forward(torch.cat([inputs, inputs.new_zeros(batch_size - len(inputs), 5)]))
            return path

    found = broken("network", "full")
    assert "other features (vector, 3 of at most 8 observations)" in found["the_fast_path_equals_autograd"]


def test_a_tokenizer_that_loses_case_and_a_network_that_is_frozen() -> None:
    @registry.register("tokenizer", "loud", config=WordConfig)
    class Loud(Words):
        """Gives everything back in capitals."""

        def decode(self, ids: Any) -> str:
            return super().decode(ids).upper()

    @registry.register("network", "frozen")
    class Frozen(nn.Module):
        """Cuts the graph."""

        features = 4

        def __init__(self, observation_space: gymnasium.Space[Any]) -> None:
            super().__init__()
            self.layer = nn.Linear(int(np.prod(observation_space.shape or (1,))), 4)

        def forward(self, observations: torch.Tensor) -> torch.Tensor:
            flat = observations.float().reshape(len(observations), -1)
            return torch.nn.functional.linear(flat, self.layer.weight.detach()) + self.layer.bias

    assert "decode(encode(" in broken("tokenizer", "loud")["what_it_learned_from_comes_back"]
    assert "no gradient reaches the parameter 'layer.weight'" in broken("network", "frozen")["gradients_reach_every_parameter"]


def test_a_vocoder_that_hears_more_frames_than_it_says() -> None:
    @registry.register("vocoder", "far-sighted", config=VocosConfig)
    class FarSighted(Vocos):
        """Vocos that says it hears two frames on both sides."""

        def __init__(self, config: VocosConfig) -> None:
            super().__init__(replace(config, dim=16, hidden=32, layers=2))
            self.context = 2

    found = broken("vocoder", "far-sighted")
    assert list(found) == ["streaming_equals_offline"] and "than its context" in found["streaming_equals_offline"]


def test_a_loss_that_knows_one_size_only() -> None:
    class Spread(Elementwise):
        """Costs of three numbers, whatever it is given."""

        def each(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return torch.zeros(3) + (outputs - targets).square()

    class Six(nn.Module):
        """Weighs six rows."""

        def forward(self, outputs: torch.Tensor, targets: torch.Tensor, lengths: Any = None) -> torch.Tensor:
            return (torch.ones(6) * (outputs - targets).square().mean(-1)).mean()

    for name, target in (("spread", Spread), ("six", Six)):
        registry.register("loss", name)(target)
    said = {name: broken("loss", name)["it_takes_batches_of_any_size"] for name in ("spread", "six")}
    assert said["spread"] == "each() gives [6, 3] for outputs of [6, 1], promised: their shape"
    assert "it raised RuntimeError: The size of tensor a (6) must match" in said["six"]


def test_a_metric_that_knows_one_size_only() -> None:
    @registry.register("metric", "forty")
    def forty(predictions: Any, targets: Any) -> float:
        """The share that is right, of forty."""
        return float((np.ones(40) * (predictions == targets)).mean())

    assert "it raised ValueError" in broken("metric", "forty")["it_takes_any_number_of_predictions"]


def test_components_that_know_one_size_only() -> None:
    @registry.register("model", "four-rows")
    class FourRows(nn.Module):
        """Weighs four rows."""

        def __init__(self, inputs: int, outputs: int, spec: Any = None) -> None:
            super().__init__()
            self.layer = nn.Linear(inputs, outputs)

        def forward(self, rows: torch.Tensor, lengths: Any = None) -> Any:
            return torch.ones(4, 1) * self.layer(rows), lengths

    @registry.register("model", "three-classes", accepts=("text",))
    class ThreeClasses(nn.Module):
        """Tells three classes apart, whatever is asked of it."""

        def __init__(self, inputs: int, outputs: int, spec: Any = None) -> None:
            super().__init__()
            self.table = nn.Embedding(inputs, 3)

        def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> Any:
            valid = (torch.arange(ids.shape[1]) < lengths[:, None])[..., None]
            return (self.table(ids) * valid).sum(1) / lengths[:, None], lengths

    @registry.register("layer", "five-places")
    class FivePlaces(nn.Module):
        """Weighs five positions."""

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return torch.ones(5, 1) * inputs

    @registry.register("network", "five-numbers")
    class FiveNumbers(nn.Module):
        """Sees five numbers."""

        features = 4

        def __init__(self, observation_space: gymnasium.Space[Any]) -> None:
            super().__init__()
            if len(observation_space.shape or ()) != 1:
                raise UsageError("vectors only")
            self.layer = nn.Linear(5, 4)

        def forward(self, observations: torch.Tensor) -> Any:
            return self.layer(observations)

    @registry.register("transform", "forty-bins")
    class FortyBins:
        """Weighs forty bins."""

        domain = "features"

        def __call__(self, features: torch.Tensor, lengths: Any, generator: Any) -> Any:
            return torch.ones(40) * features * (torch.arange(features.shape[1]) < lengths[:, None])[..., None], lengths

    @registry.register("optimizer", "first-alone")
    def first_alone(parameters: Any, learning_rate: float) -> Any:
        """Moves the first parameter."""
        return torch.optim.Adam(list(parameters)[:1], learning_rate)

    @registry.register("scheduler", "two-scores")
    def two_scores(fraction: float, scores: Any = ()) -> float:
        """Looks at two scores."""
        return float(scores[1] > scores[0])

    @registry.register("buffer", "two-copies", config=UniformConfig)
    class TwoCopies(UniformBuffer):
        """Of two copies, whatever it is told."""

        def __init__(self, config: UniformConfig, **context: Any) -> None:
            super().__init__(config, **{**context, "n_envs": 2})

    for kind, name, promise, message in (
            ("model", "four-rows", "it_takes_other_sizes", "it raised RuntimeError: The size of tensor a (4)"),
            ("model", "three-classes", "it_takes_other_sizes", "outputs of 8 text sequences have the shape (8, 3), promised: "),
            ("layer", "five-places", "it_takes_other_sizes", "it raised RuntimeError: The size of tensor a (5)"),
            ("network", "five-numbers", "it_takes_other_sizes", "it raised RuntimeError: mat1 and mat2"),
            ("transform", "forty-bins", "it_takes_other_sizes", "it raised RuntimeError: The size of tensor a (40)"),
            ("optimizer", "first-alone", "it_finds_a_minimum", "for a parameter of the shape [3, 4]"),
            ("scheduler", "two-scores", "it_is_a_factor_of_the_position_alone", "it raised IndexError"),
            ("buffer", "two-copies", "it_takes_other_sizes", "it raised")):
        assert message in broken(kind, name)[promise]


def test_a_component_that_exits_is_broken_and_not_the_end() -> None:
    @registry.register("scheduler", "quitter")
    def quitter(fraction: float) -> float:
        """Leaves."""
        raise SystemExit(3)

    assert "it raised SystemExit: 3" in broken("scheduler", "quitter")["it_is_a_factor_of_the_position_alone"]


class Needing(gymnasium.Env[Any, Any]):
    def __init__(self, path: str) -> None:
        raise SystemExit(path)


def test_what_the_constructor_of_an_environment_needs_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = gymnasium.envs.registration.EnvSpec("Needing-v0", Needing)
    monkeypatch.setitem(gymnasium.registry, found.id, found)
    entry, = environment(found.id, sure=True)
    with pytest.raises(UsageError, match="'Needing-v0' needs --option path=VALUE: its constructor has no value"):
        checked(entry, {})
    assert checked(entry, {"path": "a"}) == {"path": "a"}, "what else it does is for its promises to show"


def test_the_command_says_what_is_broken_and_exits_with_one(toolkit: Any) -> None:
    assert toolkit("check", "scheduler", "linear").stdout.count("kept  ") == 2
    done = toolkit("check", "agent", "dqn", "--suite", "learning_steps=60", "--suite", "steps=200")
    assert done.returncode == 1 and "BROKEN" in done.stdout and "promised: at least" in done.stdout
    report = toolkit.json("check", "CartPole-v1")
    assert report["broken"] == 0 and report["components"][0]["kind"] == "env"
    assert toolkit("check", "nothing-like-it").returncode == 2
    assert toolkit("check", "tdnn", "-o", "channels=8", "--suite", "frontend=mfcc").returncode == 0
    for words, said in ((("dqn", "-o", "lr=3"), "unknown setting 'lr'"),
                        (("network", "mlp", "-o", "hidden-sizes=0"), "hidden_sizes: got 0"),
                        (("CartPole-v1", "-o", "sutton-reward=1"), "'sutton_reward'. Did you mean 'sutton_barto_reward'?"),
                        (("dqn", "--suite", "rounds=3"),
                         "Allowed: environments, learning_options, learning_steps, n_envs, steps.\n")):
        done = toolkit("check", *words)
        assert done.returncode == 2 and said in done.stderr and done.stdout == "", done.stderr
    for words, near in ((("CartPole-v11",), "'CartPole-v1'"), (("toolkit/HearAndGoo-v0",), "'toolkit/HearAndGo-v0'"),
                        (("env", "CartPol"), "'CartPole-v1'"), (("toolkit/dqm",), "'dqn' (agent)")):
        done = toolkit("check", *words)
        assert done.returncode == 2 and f"Did you mean {near}" in done.stderr, done.stderr


def test_a_generator_of_its_own_that_only_the_first_episode_seeds() -> None:
    class Own(gymnasium.Env[Any, Any]):
        observation_space = gymnasium.spaces.Box(-9, 9, (1,), np.float64)
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            super().reset(seed=seed)
            if seed is not None:
                self.rng = np.random.default_rng(seed)
            self.taken = 0
            return np.zeros(1), {}

        def step(self, action: Any) -> Any:
            self.taken += 1
            return np.clip(self.rng.normal(size=1), -9, 9), 0.0, self.taken == 12, False, {}

    registry.register("env", "own-generator", summary="Draws by itself.")(Own)
    found = broken("env", "own-generator")
    assert list(found) == ["its_state_is_restored_in_mid_episode"], found
