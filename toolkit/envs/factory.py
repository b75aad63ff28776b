"""From an environment id to a vector environment, with errors that say what to type next."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from toolkit.envs import promises
from toolkit.envs.base import EnvSpec, VectorEnv
from toolkit.envs.constructors import (
    ARRAYS,
    OptionsRefused,
    creator_of,
    explained,
    packages_named,
    refusal,
    require_numbers,
    undrawn,
)
from toolkit.envs.gymnasium_vector import GymnasiumVector
from toolkit.envs.in_process import InProcess
from toolkit.envs.specs import UNKNOWN, find
from toolkit.envs.wrappers import Checked, wrap
from toolkit.errors import UsageError

NATIVE_FROM = 4  # copies from which an environment vectorised by hand beats the loop


def make_one(spec: EnvSpec, **options: Any) -> gymnasium.Env[Any, Any]:
    """One environment. Raises UsageError for an unknown id or option, MissingExtra with the install command."""
    found = find(spec.id)
    with explained(spec, found, drawn="render_mode" in options):
        # The checker costs a third of a step on small environments; `toolkit check` runs it instead.
        chosen = {**options_of(spec, found), **options}
        if spec.max_episode_steps is not None:
            chosen["max_episode_steps"] = spec.max_episode_steps
        if spec.atari:
            chosen["frameskip"] = 1  # the preprocessing skips frames itself, and takes the maximum of the last two
        env = gymnasium.make(found, disable_env_checker=True, **chosen)
        require_spaces(env, spec.id)
        return wrap(env, spec)


def require_spaces(env: gymnasium.Env[Any, Any], env_id: str) -> None:
    """Raise UsageError for an environment that does not say what is seen and done in it."""
    for name in ("observation_space", "action_space"):
        try:
            space = getattr(env, name)
        except AttributeError as error:
            raise promises.broken(env_id, "", f"its {name} is missing ({error})") from error
        if not isinstance(space, gymnasium.Space):
            raise promises.broken(env_id, "", f"its {name} is {space!r:.60}, which is no space of gymnasium's")


def options_of(spec: EnvSpec, found: gymnasium.envs.registration.EnvSpec) -> dict[str, Any]:
    """The options for the environment's constructor. An evaluation adds what the environment's class asks for in its
    ``evaluation_options`` (held-out voices, for one); what the user gave comes first."""
    if not spec.evaluation or found.entry_point is None:
        return dict(spec.options)
    return {**getattr(creator_of(found), "evaluation_options", {}), **spec.options}


def settled(spec: EnvSpec) -> dict[str, Any]:
    """The options of ``spec`` as a run records them: an environment whose class has ``settled_options(options)``
    fills in there what would otherwise depend on the machine (which extra is installed, for one)."""
    found = find(spec.id)
    with explained(spec, found):
        settle = getattr(creator_of(found), "settled_options", None)
    return dict(spec.options) if settle is None else dict(settle(spec.options))


def make_drawn(spec: EnvSpec, seed: int) -> gymnasium.Env[Any, Any]:
    """One environment that draws itself, in an episode of ``seed``. Raises UsageError for one that cannot."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*not in the possible render_modes")  # whether it can is tried below
        env = make_one(spec, render_mode="rgb_array")
    try:
        env.reset(seed=seed)
        with packages_named(spec, find(spec.id)):
            picture = env.render()
        if not isinstance(picture, np.ndarray):
            raise undrawn(spec, f"its render() gave {picture!r:.60}", env)
    except NotImplementedError as error:
        env.close()
        raise undrawn(spec, "its render() is not written", env) from error
    except BaseException:
        env.close()
        raise
    return env


def require_options(env_id: str, options: Mapping[str, Any], shown: Callable[..., str]) -> None:
    """Raise UsageError where the constructor refuses ``options`` or misses some, which are ``shown`` as flags. What else goes
    wrong with the environment shows where it is used."""
    spec = EnvSpec(env_id, options)
    try:
        make_one(spec).close()
    except OptionsRefused as error:
        raise UsageError(refusal(spec, find(env_id), error.__cause__, shown)) from error
    except (Exception, SystemExit):
        return


def make(spec: EnvSpec, seeds: Sequence[int], vectorization: str = "auto", workers: int = 0,
         worker_timeout: float = 60.0) -> VectorEnv:
    """``len(seeds)`` copies of an environment, copy i seeded with ``seeds[i]``.

    ``vectorization`` is one of `VECTORIZATIONS`; ``auto`` takes the fastest exact one. With
    ``workers`` the copies are shared out to that many processes.
    """
    found = find(spec.id)
    with explained(spec, found):
        require_numbers(spec, found)
    if vectorization == "auto":
        by_hand = is_native(found, spec) and len(seeds) >= NATIVE_FROM
        vectorization = "workers" if workers else "native" if by_hand else "in-process"
    if vectorization != "workers" and workers:
        raise UsageError(f"--workers {workers} and --vectorization {vectorization} exclude each other; leave one out")
    return MAKERS[vectorization](Wanted(spec, found, list(seeds), max(1, workers), worker_timeout))


class Wanted(NamedTuple):
    """What a vector environment is made of."""

    spec: EnvSpec
    found: gymnasium.envs.registration.EnvSpec
    seeds: list[int]
    workers: int
    worker_timeout: float


def is_native(found: gymnasium.envs.registration.EnvSpec, spec: EnvSpec) -> bool:
    """Whether the bare environment is vectorised by hand, and nothing more than a time limit is asked for."""
    if found.additional_wrappers or spec.frame_stack > 1 or spec.atari:
        return False
    return str(found.entry_point) in ARRAYS


def in_process(wanted: Wanted) -> VectorEnv:
    return InProcess(lambda: make_one(wanted.spec), wanted.seeds, keeps_actions=not wanted.spec.evaluation,
                     name=wanted.spec.id)


def native(wanted: Wanted) -> VectorEnv:
    spec, found = wanted.spec, wanted.found
    if not is_native(found, spec):
        raise UsageError(f"environment {spec.id!r} is not vectorised by hand (or not with these wrappers); "
                         "allowed: in-process, workers, sync, async")
    with explained(spec, found):
        module, _, name = ARRAYS[str(found.entry_point)].partition(":")
        limit = spec.max_episode_steps or found.max_episode_steps
        made: Callable[..., VectorEnv] = getattr(importlib.import_module(module), name)
        return made(wanted.seeds, limit, **{**found.kwargs, **options_of(spec, found)})


def make_scalar(spec: EnvSpec) -> gymnasium.Env[Any, Any]:
    return Checked(make_one(spec), spec.id)


def by_gymnasium(kind: str) -> Callable[[Wanted], VectorEnv]:
    """A maker of gymnasium's sync or async vector class."""

    def make_vector(wanted: Wanted) -> VectorEnv:
        make_one(wanted.spec).close()  # a wrong id or a missing package is named here, not inside a worker
        makers = [partial(make_scalar, wanted.spec)] * len(wanted.seeds)
        if kind == "sync":
            return GymnasiumVector(gymnasium.vector.SyncVectorEnv(makers), wanted.seeds)
        return GymnasiumVector(gymnasium.vector.AsyncVectorEnv(makers), wanted.seeds)

    return make_vector


def in_workers(wanted: Wanted) -> VectorEnv:
    from toolkit.envs.workers import EnvironmentFailed, WorkerEnvs

    try:
        return WorkerEnvs(wanted.spec, wanted.seeds, wanted.workers, wanted.worker_timeout, make_one)
    except EnvironmentFailed as error:
        if UNKNOWN not in str(error):
            raise
        raise UsageError(f"environment {wanted.spec.id!r} is known here and not in worker processes. Register it in a "
                         "module and name that, 'module:Name-v0', which they import, or leave out --workers") from error


def by_envpool(wanted: Wanted) -> VectorEnv:
    from toolkit.envs.envpool import EnvPool

    return EnvPool(wanted.spec, wanted.seeds)


MAKERS: dict[str, Callable[[Wanted], VectorEnv]] = {
    "in-process": in_process, "native": native, "workers": in_workers, "sync": by_gymnasium("sync"),
    "async": by_gymnasium("async"), "envpool": by_envpool,
}
VECTORIZATIONS = ("auto", *MAKERS)
