"""One episode of a policy as a film."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.envs import factory
from toolkit.errors import MissingExtra, UsageError
from toolkit.training import setup

if TYPE_CHECKING:
    from toolkit.training.api import Run

FORMATS = (".gif", ".mp4")
DEFAULT_FPS = 30


def film(run: Run, path: str, env: str | None = None, seed: int | None = None) -> None:
    """Play one episode with deterministic actions and write it to ``path`` (.gif or .mp4).

    Raises UsageError for another suffix, MissingExtra when the writer is not installed.
    """
    target = Path(path)
    if target.suffix not in FORMATS:
        raise UsageError(f"--video {path}: allowed suffixes are {', '.join(FORMATS)}")
    spec = setup.env_spec(setup.plan_of(run.facts), env).for_evaluation()
    environment = factory.make_one(spec, render_mode="rgb_array")
    try:
        frames = frames_of(run, environment, seed)
        fps = int(environment.metadata.get("render_fps") or DEFAULT_FPS)
    finally:
        environment.close()
    write(target, frames, fps)


def frames_of(run: Run, environment: Any, seed: int | None) -> list[np.ndarray[Any, Any]]:
    """The rendered frames [height, width, 3] of one episode."""
    observation, _ = environment.reset(seed=run.facts["seeds"]["evaluation"] if seed is None else seed)
    frames, state, over = [environment.render()], None, False
    while not over:
        action, state = run.predict(observation, state)
        observation, _, terminated, truncated, _ = environment.step(action)
        frames.append(environment.render())
        over = terminated or truncated
    return frames


def write(path: Path, frames: list[np.ndarray[Any, Any]], fps: int) -> None:
    try:
        import imageio.v3 as imageio

        if path.suffix == ".gif":
            imageio.imwrite(path, frames, duration=1000 / fps, loop=0)
        else:
            imageio.imwrite(path, frames, fps=fps, macro_block_size=1)
    except ImportError as error:
        raise MissingExtra(f'--video needs imageio with its ffmpeg: pip install "imageio[ffmpeg]" ({error})') from error
