"""What an environment's spec asks for is what the agent sees."""

from __future__ import annotations

import importlib.util
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from toolkit.envs import factory, specs
from toolkit.envs.base import EnvSpec
from toolkit.envs.in_process import InProcess
from toolkit.envs.wrappers import Fire
from toolkit.errors import MissingExtra, UsageError


def test_a_frame_stack_holds_the_last_observations_in_order() -> None:
    plain, stacked = factory.make_one(EnvSpec("Pendulum-v1")), factory.make_one(EnvSpec("Pendulum-v1", frame_stack=3))
    assert stacked.observation_space.shape == (3, 3)
    seen = [plain.reset(seed=1)[0]]
    np.testing.assert_array_equal(stacked.reset(seed=1)[0][-1], seen[0])
    for torque in (0.5, -1.0, 2.0):
        action = np.array([torque], np.float32)
        seen.append(plain.step(action)[0])
        last = stacked.step(action)[0]
    np.testing.assert_array_equal(last, np.stack(seen[-3:]))


@pytest.mark.parametrize("vectorization", ["in-process", "native", "sync"])
def test_a_time_limit_truncates(vectorization: str) -> None:
    envs = factory.make(EnvSpec("MountainCar-v0", max_episode_steps=5), [1, 2], vectorization)
    envs.reset()
    over = [envs.step(np.array([1, 1])).truncated.all() for _ in range(5)]
    assert over == [False] * 4 + [True]
    envs.close()


@pytest.mark.parametrize("frame_stack", [1, 4])
def test_atari_pictures(frame_stack: int) -> None:
    """Needs ale-py and OpenCV; without them the error says what to install."""
    spec = EnvSpec("ALE/Pong-v5", frame_stack=frame_stack, atari="training")
    try:
        env = factory.make_one(spec)
    except MissingExtra as error:
        assert "pip install" in str(error)
        return
    observation = env.reset(seed=0)[0]
    shape = (84, 84) if frame_stack == 1 else (4, 84, 84)
    assert np.asarray(observation).shape == shape and env.observation_space.dtype == np.uint8
    rewards = {env.step(env.action_space.sample())[1] for _ in range(50)}
    assert rewards <= {-1.0, 0.0, 1.0}


class Game(gymnasium.Env[Any, Any]):
    """Three lives, each of which is lost after two steps but for those in which it waits for FIRE (1)."""

    action_space, observation_space = spaces.Discrete(3), spaces.Box(0, 9, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.lives, self.left, self.did = 3, 0, []
        return np.zeros(1, np.float32), {"lives": 3}

    def step(self, action: Any) -> Any:
        self.did.append(int(action))
        if self.left == 0:
            self.left = 2 if action == 1 else 0
        else:
            self.left -= 1
            self.lives -= self.left == 0
        return np.full(1, len(self.did), np.float32), 0.0, self.lives == 0, False, {"lives": self.lives}


def test_fire_is_pressed_at_the_start_and_after_each_life_but_the_last() -> None:
    env = Fire(Game(), 1)
    observation, info = env.reset(seed=0)
    assert observation.tolist() == [1.0] and info == {"lives": 3}
    over = steps = 0
    while not over:
        *_, over, _, _ = env.step(2)
        steps += 1
    assert env.unwrapped.did == [1, 2, 2, 1, 2, 2, 1, 2, 2] and steps == 8  # type: ignore[attr-defined]


def test_a_state_of_its_own_is_not_enough_behind_wrappers_that_remember(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    for spec in (EnvSpec("faulty:faulty/Changing-v0"), EnvSpec("faulty:faulty/Changing-v0", frame_stack=3, max_episode_steps=6)):
        used, fresh = (InProcess(lambda spec=spec: factory.make_one(spec), [seed, seed + 1]) for seed in (1, 5))
        used.reset(), fresh.reset()
        for _ in range(9):
            used.step(used.masks.argmax(1))  # type: ignore[union-attr]
        state = used.get_state()
        assert ("own" in state["copies"][0]) == (spec.frame_stack == 1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fresh.set_state(state)
        for _ in range(12):
            actions = used.masks.argmax(1)  # type: ignore[union-attr]
            one, other = used.step(actions), fresh.step(actions)
            np.testing.assert_array_equal(one.observations, other.observations)
            np.testing.assert_array_equal(one.truncated, other.truncated)


def test_the_last_observation_of_an_episode_is_kept_from_what_reset_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    found = []
    for way in ("in-process", "sync"):
        envs = factory.make(EnvSpec("faulty:faulty/Changing-v0", {"length": 2}), [3], way)
        envs.reset()
        for _ in range(2):
            stepped = envs.step(np.array([envs.masks.argmax()]))  # type: ignore[union-attr]
        found.append((stepped.observations if stepped.final is None else stepped.final.observations).tolist())
        envs.close()
    assert found[0] == found[1]


def test_a_walker_goes_on_exactly_in_every_episode() -> None:
    pytest.importorskip("Box2D")
    spec = EnvSpec("BipedalWalker-v3", max_episode_steps=40)
    used, fresh = (InProcess(lambda: factory.make_one(spec), [seed]) for seed in (1, 2))
    for envs in (used, fresh):
        envs.action_space.seed(0)
        envs.reset()
    for _ in range(130):
        used.step(np.asarray([used.action_space.sample()]))
    fresh.set_state(used.get_state())
    for _ in range(100):
        action = np.asarray([used.action_space.sample()])
        np.testing.assert_array_equal(used.step(action).observations, fresh.step(action).observations)


def test_a_module_that_python_does_not_find_is_told_with_where_it_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingExtra, match="needs the module 'nowhere', which Python does not find. Install the package that"):
        specs.find("nowhere:my/Env-v0")
    (tmp_path / "nowhere.py").touch()
    with pytest.raises(MissingExtra, match=r"which is in this folder, .* Begin the command with: PYTHONPATH=\. toolkit"):
        specs.find("nowhere:my/Env-v0")


TOYS = """
import gymnasium, numpy
ONE = gymnasium.spaces.Discrete(2)
class Blind(gymnasium.Env):
    action_space = ONE
class Idle(gymnasium.Env):
    observation_space, action_space = ONE, None
class Train(gymnasium.Env):
    observation_space = action_space = ONE
    def __init__(self, track, length=3, **more):
        pass
class Express(Train):
    def __init__(self, speed=1, **more):
        super().__init__(**more)
class Broken(Train):
    def __init__(self, length=3):
        def helper(track): ...
        helper()
class Plain(Idle):
    action_space = ONE
    def reset(self, *, seed=None, options=None):
        return 0, {}
class Mute(Plain):
    metadata = {"render_modes": ["ansi"]}
    def __init__(self, track=1, render_mode=None):
        pass
    def render(self):
        return "text"
class Painter(Mute):
    def render(self):
        return numpy.zeros((2, 3, 3), numpy.uint8)
class Old:
    pass
def made(**more):
    return Train(**more)
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder, the current one, with modules that Python finds; what they register goes again."""
    (tmp_path / "shop.py").write_text(
        "import gymnasium\n"
        "for name, entry in (('Lamp', 'toys:Lamp'), ('Chair', 'toys.none:Chair'), ('Far', 'no_such_package_at_all.x:Far')):\n"
        "    gymnasium.register(f'{name}-v0', entry_point=entry)\n"
        "for name in ('Blind', 'Idle', 'Train', 'Express', 'Broken', 'Old', 'Brokn', 'Plain', 'Mute', 'Painter'):\n"
        "    gymnasium.register(f'{name}-v0', entry_point=f'toys:{name}')\n")
    (tmp_path / "toys.py").write_text(TOYS)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "shop.py").write_text("import no_such_package_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = dict(gymnasium.registry)
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(before)
    for module in ("shop", "toys", "sub", "sub.shop"):
        sys.modules.pop(module, None)


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(("env_id", "message"), [
    ("shop.py:Lamp-v0", "not the path of a file. Write: --env shop:Lamp-v0"), ("./shop:Lamp-v0", "Write: --env shop:Lamp-v0"),
    ("./sub/shop.py:Lamp-v0", "Write: --env sub.shop:Lamp-v0"),
    ("elsewhere/shop.py:Lamp-v0", "Write: --env elsewhere.shop:Lamp-v0, and begin the command with: PYTHONPATH=. toolkit"),
    ("/far/market.py:Lamp-v0", "Write: --env market:Lamp-v0, and begin the command with: PYTHONPATH=/far toolkit"),
    ("shop:Lamb-v0", "Did you mean 'shop:Lamp-v0'"), ("shop:Lamp", "Did you mean 'shop:Lamp-v0'"),
    ("sub.shop:Lamp-v0", "the module 'no_such_package_at_all', which Python does not find. Install the package"),
    ("sub.market:Lamp-v0", "the module 'sub.market', which is not in the 'sub' that Python finds."),
    ("shop:Far-v0", "the module 'no_such_package_at_all', which Python does not find. Install the package that it is from (pip"),
    ("shop:Chair-v0", "the module 'toys.none', which is not in the 'toys' that Python finds. Mend its name")])
def test_what_stands_before_the_colon_is_explained(env_id: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        factory.make_one(EnvSpec(env_id))
    assert str(caught.value).endswith(message) if "Write" in message else message in str(caught.value)


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(("name", "options", "message"), [
    ("Train", {}, "environment 'shop:Train-v0' needs --env.track VALUE: its constructor has .* Allowed besides: --env.length."),
    ("Express", {}, "needs --env.track VALUE: .* Allowed besides: --env.speed, --env.length."),
    ("Express", {"track": 1, "sped": 2}, "^$"), ("Train", {"track": 1}, "^$"),
    ("Broken", {"lenth": 2}, "has no option --env.lenth. Did you mean --env.length. Allowed: --env.length.$"),
    ("Broken", {"length": 2}, r"does not accept --env.length 2: .*helper\(\) missing 1 required positional argument: 'track'.$"),
    ("Brokn", {}, "registered with the entry_point 'toys:Brokn', and the module 'toys' has no 'Brokn'. Did you mean 'Broken'"),
    ("Blind", {}, "does not keep to Gymnasium's interface: its observation_space is missing .*toolkit check env shop:Blind-v0"),
    ("Idle", {}, "its action_space is None, which is no space of gymnasium's."),
    ("Old", {}, "environment 'shop:Old-v0' cannot be used: The environment must inherit from the gymnasium.Env class")])
def test_what_a_constructor_lacks_is_explained(name: str, options: dict[str, Any], message: str) -> None:
    said = ""
    try:
        factory.make_one(EnvSpec(f"shop:{name}-v0", options))
    except UsageError as error:
        said = str(error)
    assert re.search(message, said), said


def test_values_that_a_constructor_refuses_are_named_with_what_it_says() -> None:
    with pytest.raises(UsageError, match="'FrozenLake-v1' does not accept --env.map-name 9x9: KeyError: '9x9'") as raised:
        factory.make_one(EnvSpec("FrozenLake-v1", {"map_name": "9x9"}))
    assert isinstance(raised.value.__cause__, KeyError)
    with pytest.raises(UsageError, match="'Ant-v3' cannot be imported: The mujoco v2 and v3 based environments have been moved"):
        factory.make_one(EnvSpec("Ant-v3"))


@pytest.mark.usefixtures("shop")
def test_a_mistake_in_a_constructor_is_not_taken_for_a_missing_option() -> None:
    with pytest.raises(TypeError, match=r"helper\(\) missing 1 required"):
        factory.make_one(EnvSpec("shop:Broken-v0"))


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(("name", "options", "message"), [
    ("Plain", {}, r"'shop:Plain-v0' cannot draw itself: its constructor takes no render_mode \(render_modes \[\]\). Leave"),
    ("Broken", {"length": 2}, "cannot draw itself: its constructor takes no render_mode"),
    ("Mute", {"track": 2}, r"cannot draw itself: its render\(\) gave 'text' \(render_modes \['ansi'\]\)"),
    ("Mute", {"trak": 2}, "has no option --env.trak. Did you mean --env.track?"), ("Painter", {}, "^$")])
@pytest.mark.filterwarnings("error")
def test_an_environment_that_cannot_draw_itself_is_named(name: str, options: dict[str, Any], message: str) -> None:
    said = ""
    try:
        factory.make_drawn(EnvSpec(f"shop:{name}-v0", options), seed=1)
    except UsageError as error:
        said = str(error)
    assert re.search(message, said), said


def test_atari_preprocessing_of_another_environment_is_refused() -> None:
    with pytest.raises(UsageError, match="'CartPole-v1' is no game of ALE's, which --atari is for"):
        factory.make_one(EnvSpec("CartPole-v1", atari="training"))


class Half(gymnasium.Env[Any, Any]):
    """Four actions of which only the even ones are allowed at even steps, the odd ones at odd steps."""

    observation_space = gymnasium.spaces.Box(0, 100, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(4)
    step_number = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.step_number = 0
        return self._seen()

    def _seen(self) -> Any:
        mask = np.array([self.step_number % 2 == action % 2 for action in range(4)], np.int8)
        return np.array([self.step_number], np.float32), {"action_mask": mask}

    def step(self, action: Any) -> Any:
        assert action.dtype == np.int64, "an action is what the space's sample() gives"
        if action % 2 != self.step_number % 2:
            raise ValueError(f"action {action} is not allowed now")
        self.step_number += 1
        observation, info = self._seen()
        return observation, 1.0, self.step_number == 7, False, info


gymnasium.register("toolkit-tests/Half-v0", Half)


@pytest.mark.parametrize("agent", ["ppo", "actor-critic", "reinforce"])
@pytest.mark.parametrize("vectorization", ["in-process", "sync"])
def test_masked_agents_never_choose_what_is_forbidden(agent: str, vectorization: str, tmp_path: Any) -> None:
    import toolkit

    run = toolkit.train(agent, env="toolkit-tests/Half-v0", preset="none", steps=600, n_envs=3, n_steps=20, action_masking=True,
                        vectorization=vectorization, final_episodes=4, out=str(tmp_path / "run"))
    assert run.evaluation["returns"] == [7.0] * 4
    assert run.predict(np.ones(1, np.float32), action_mask=[0, 1, 0, 1])[0] in (1, 3)
    both, _ = run.predict(np.zeros((2, 1), np.float32), action_mask=np.array([[1, 0, 1, 0], [0, 1, 0, 1]]))
    assert both[0] in (0, 2) and both[1] in (1, 3)


def test_an_agent_without_masks_is_given_none(tmp_path: Any) -> None:
    import toolkit
    from toolkit.errors import UsageError

    run = toolkit.train("dqn", env="CartPole-v1", preset="none", steps=200, learning_starts=100, final_episodes=1,
                        out=str(tmp_path / "run"))
    with pytest.raises(UsageError, match="dqn was trained without action masks.*--action-masking"):
        run.predict(np.zeros(4, np.float32), action_mask=[1, 0])


def test_masking_without_masks_is_refused(tmp_path: Any) -> None:
    import toolkit
    from toolkit.errors import UsageError

    with pytest.raises(UsageError, match=r"no info\['action_mask'\]"):
        toolkit.train("ppo", env="CartPole-v1", preset="none", steps=600, action_masking=True, out=str(tmp_path / "run"))
    with pytest.raises(UsageError, match="Discrete or MultiDiscrete"):
        toolkit.train("ppo", env="Pendulum-v1", preset="none", steps=600, action_masking=True, out=str(tmp_path / "other"))


@pytest.mark.parametrize("way", ["sync", pytest.param("envpool", marks=pytest.mark.skipif(
    importlib.util.find_spec("envpool") is None, reason="EnvPool is not installed"))])
def test_a_resumed_run_that_begins_new_episodes_does_not_begin_the_first_ones_again(way: str) -> None:
    first, resumed, again = (factory.make(EnvSpec("CartPole-v1"), [1, 2], way) for _ in range(3))
    began = first.reset().copy()
    for _ in range(5):
        first.step(np.ones(2, int))
    state = first.get_state()
    with pytest.warns(UserWarning, match="new ones begin"):
        found = resumed.set_state(state).copy()
        np.testing.assert_array_equal(again.set_state(state), found)
    assert not np.isin(found, began).any()
    for envs in (first, resumed, again):
        envs.close()
