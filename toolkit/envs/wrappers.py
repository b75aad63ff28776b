"""The wrappers that an `EnvSpec` asks for, in their order; gymnasium's own, with the field's usual settings."""

from __future__ import annotations

from typing import Any

import gymnasium

from toolkit.envs import promises
from toolkit.envs.base import EnvSpec, one_number
from toolkit.errors import MissingExtra

Env = gymnasium.Env[Any, Any]
ATARI_SCREEN, ATARI_SKIP, ATARI_NOOPS = 84, 4, 30  # Mnih et al., 2015, extended data table 1


def wrap(env: Env, spec: EnvSpec) -> Env:
    """``env`` as ``spec`` wants it seen."""
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


def atari(env: Env, training: bool) -> Env:
    """Grey pictures of 84 x 84, every fourth frame, random starts (Mnih et al., 2015).

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
    return gymnasium.wrappers.TransformReward(env, sign) if training else env


def sign(reward: Any) -> float:
    return float(reward > 0) - float(reward < 0)
