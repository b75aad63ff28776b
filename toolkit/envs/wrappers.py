"""The wrappers that an `EnvSpec` asks for, in their order; gymnasium's own, with the field's usual settings."""

from __future__ import annotations

from typing import Any

import gymnasium

from toolkit.envs import promises
from toolkit.envs.base import EnvSpec, one_number
from toolkit.errors import MissingExtra

Env = gymnasium.Env[Any, Any]
KEEPS_ITS_WORLD = "gymnasium.envs.box2d.bipedal_walker"
ATARI_SCREEN, ATARI_SKIP, ATARI_NOOPS = 84, 4, 30  # Mnih et al., 2015, extended data table 1


def wrap(env: Env, spec: EnvSpec) -> Env:
    """``env`` as ``spec`` wants it seen."""
    if type(env.unwrapped).__module__ == KEEPS_ITS_WORLD:
        env = NewWorld(env)
    if spec.atari:
        env = atari(env, spec.atari == "training")
    if spec.frame_stack > 1:
        env = gymnasium.wrappers.FrameStackObservation(env, spec.frame_stack)
    return env


class Checked(gymnasium.Wrapper[Any, Any, Any, Any]):
    """``env``, held to Gymnasium's interface, with rewards that are floats; for vector classes that take what they get.

    Raises UsageError naming ``env``.
    """

    def __init__(self, env: Env, name: str) -> None:
        super().__init__(env)
        self.name = name

    def reset(self, **options: Any) -> Any:
        try:
            return promises.started(self.env.reset(**options), self.env.observation_space, self.name, "")
        except Exception as error:
            promises.explain(error, self.name, "", "reset", self.env.observation_space)
            raise

    def step(self, action: Any) -> Any:
        space = self.env.observation_space
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
        except Exception as error:
            promises.explain(error, self.name, self._after(action), "step", space)
            raise
        observation = promises.seen("step", observation, space, self.name, self._after(action))
        return observation, one_number(reward, self.name), terminated, truncated, info

    def _after(self, action: Any) -> str:
        return f" (last action {action})"


class NewWorld(gymnasium.Wrapper[Any, Any, Any, Any]):
    """BipedalWalker with a new Box2D world for each episode, as LunarLander has.

    It keeps one for life, in which the contacts of earlier episodes leave traces: a resumed run would have others.
    """

    def reset(self, **options: Any) -> Any:
        walker: Any = self.env.unwrapped
        walker._destroy()
        walker.world = type(walker.world)()
        return self.env.reset(**options)


class Fire(gymnasium.Wrapper[Any, Any, Any, Any]):
    """FIRE at the start and after each lost life, for which games such as Breakout wait; a policy need not find that out."""

    def __init__(self, env: Env, action: int) -> None:
        super().__init__(env)
        self.action, self.lives, self.waiting = action, 0, False

    def reset(self, **options: Any) -> Any:
        observation, info = self.env.reset(**options)
        self.lives, self.waiting = info.get("lives", 0), False
        fired, _, terminated, truncated, later = self.env.step(self.action)
        return (observation, info) if terminated or truncated else (fired, later)

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(self.action if self.waiting else action)
        lives = info.get("lives", 0)
        self.waiting, self.lives = 0 < lives < self.lives, lives
        return observation, reward, terminated, truncated, info


def atari(env: Env, training: bool) -> Env:
    """Grey pictures of 84 x 84, every fourth frame, random starts (Mnih et al., 2015), FIRE where a game waits for it.

    While training, a lost life ends the episode and rewards are cut to their sign. The environment
    must be made with ``frameskip=1``; `factory.make_one` sees to that.
    Raises MissingExtra without OpenCV.
    """
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise MissingExtra(f"Atari preprocessing needs OpenCV ({error}). "
                           "Install it: pip install opencv-python-headless") from error
    env = gymnasium.wrappers.AtariPreprocessing(env, ATARI_NOOPS, ATARI_SKIP, ATARI_SCREEN, terminal_on_life_loss=training)
    meanings = list(getattr(env.unwrapped, "get_action_meanings", list)())
    if "FIRE" in meanings:
        env = Fire(env, meanings.index("FIRE"))
    return gymnasium.wrappers.TransformReward(env, sign) if training else env


def sign(reward: Any) -> float:
    return float(reward > 0) - float(reward < 0)
