"""One episode of a policy as a film, with its sound where the environment has one.

An environment has sound when it offers ``sound()`` (what was heard since the step before, [samples] or
[channels, samples], in [-1, 1]) and names its rate in ``metadata["sample_rate"]``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium
import numpy as np

from toolkit.core.seeding import Streams
from toolkit.entries import installed
from toolkit.envs import factory
from toolkit.errors import MissingExtra, UsageError
from toolkit.training import setup
from toolkit.training.evaluation import with_limit

if TYPE_CHECKING:
    from toolkit.training.api import Run

FORMATS = (".gif", ".mp4")
DEFAULT_FPS = 30
NEEDED = '--video needs imageio with its ffmpeg: pip install "imageio[ffmpeg]"'


class Film(NamedTuple):
    """Frames, each [height, width, 3], and what was heard, [channels, samples]; None in silence."""

    frames: list[np.ndarray[Any, Any]]
    sound: np.ndarray[Any, Any] | None = None


def film(run: Run, path: str, env: str | None = None, seed: int | None = None,
         env_options: Mapping[str, Any] | None = None, max_episode_steps: int | None = None) -> None:
    """Play one episode with deterministic actions and write it to ``path`` (.gif or .mp4; sound only in .mp4).

    Raises UsageError for another suffix and for an environment that cannot draw itself, MissingExtra when the writer is not
    installed.
    """
    target = Path(path)
    check_format(path)
    environment = stage(run, env, seed, env_options, max_episode_steps)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shot = shoot(run, environment, seed)
        fps = int(environment.metadata.get("render_fps") or DEFAULT_FPS)
    finally:
        environment.close()
    rate = int(environment.metadata.get("sample_rate") or 0)
    write(target, shot, fps, rate)


def stage(run: Run, env: str | None = None, seed: int | None = None, env_options: Mapping[str, Any] | None = None,
          max_episode_steps: int | None = None) -> gymnasium.Env[Any, Any]:
    """The environment that `film` plays in. Raises UsageError for one that cannot draw itself."""
    spec, _ = with_limit(setup.env_spec(run.plan, env, env_options, max_episode_steps).for_evaluation())
    return factory.make_drawn(spec, seed_of(run, seed))


def seed_of(run: Run, seed: int | None) -> int:
    return int(run.facts["seeds"]["evaluation"] if seed is None else seed)


def check_format(path: str) -> None:
    """Raise UsageError for a file that is no film, MissingExtra where nothing can write one."""
    if Path(path).suffix not in FORMATS:
        raise UsageError(f"--video {path}: allowed suffixes are {', '.join(FORMATS)}")
    if not installed("imageio"):
        raise MissingExtra(NEEDED)


def shoot(run: Run, environment: Any, seed: int | None) -> Film:
    """The pictures and the sound of the first episode of an evaluation with this seed."""
    hear = getattr(environment.unwrapped, "sound", None)
    observation, info = environment.reset(seed=Streams(seed_of(run, seed)).seed("evaluation", 0))
    masked = bool(getattr(run.agent, "masked", False))
    frames, state, over = [environment.render()], None, False
    heard = [] if hear is None else [np.atleast_2d(hear())]
    while not over:
        action, state = run.predict(observation, state, action_mask=info.get("action_mask") if masked else None)
        observation, _, terminated, truncated, info = environment.step(action)
        frames.append(environment.render())
        if hear is not None:
            heard.append(np.atleast_2d(hear()))
        over = terminated or truncated
    return Film(frames, np.concatenate(heard, -1) if heard else None)


def write(path: Path, shot: Film, fps: int, rate: int = 0) -> None:
    """Write a film; its sound has ``rate`` samples a second. Raises MissingExtra without imageio."""
    frames = shot.frames if path.suffix == ".gif" else [even(frame) for frame in shot.frames]
    try:
        import imageio.v3 as imageio

        if path.suffix == ".gif":
            imageio.imwrite(path, frames, duration=1000 / fps, loop=0)
        elif shot.sound is None:
            imageio.imwrite(path, frames, fps=fps, macro_block_size=1)
        else:
            write_with_sound(path, Film(frames, shot.sound), fps, rate)
    except ImportError as error:
        raise MissingExtra(f"{NEEDED} ({error})") from error


def even(frame: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A picture [height, width, 3] with its last row and column once more where the codec, which halves both, needs them."""
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def write_with_sound(path: Path, shot: Film, fps: int, rate: int) -> None:
    """An .mp4 of `even` pictures whose sound track is ``shot.sound``."""
    import imageio_ffmpeg
    import soundfile

    height, width, _ = shot.frames[0].shape
    assert shot.sound is not None
    with tempfile.NamedTemporaryFile(suffix=".wav") as track:
        soundfile.write(track.name, shot.sound.T, rate)
        writer = imageio_ffmpeg.write_frames(str(path), (width, height), fps=fps, macro_block_size=1, audio_path=track.name,
                                             audio_codec="aac", ffmpeg_log_level="error")
        writer.send(None)
        for frame in shot.frames:
            writer.send(np.ascontiguousarray(frame))
        writer.close()
