"""From an environment id to a vector environment, with errors that say what to type next."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium

from toolkit.envs.base import EnvSpec, VectorEnv
from toolkit.envs.gymnasium_vector import STATE_ATTRIBUTES, GymnasiumVector
from toolkit.envs.in_process import InProcess
from toolkit.errors import MissingExtra, UsageError, nearest

VECTORIZATIONS = ("auto", "in-process", "native", "sync", "async")
NATIVE_FROM = 4  # copies from which an environment vectorised by hand beats the loop

# Packages whose environments gymnasium learns about only when they are imported: namespace -> module.
NAMESPACES = {"ALE": "ale_py", "MiniGrid": "minigrid"}
INSTALL = {
    "ale_py": 'pip install "gymnasium[atari]"',
    "minigrid": "pip install minigrid",
    "box2d": 'pip install "gymnasium[box2d]"',
    "mujoco": 'pip install "gymnasium[mujoco]"',
    "classic_control": 'pip install "gymnasium[classic-control]"',
    "toy_text": 'pip install "gymnasium[toy-text]"',
}


def find(env_id: str) -> gymnasium.envs.registration.EnvSpec:
    """Gymnasium's spec of ``env_id``; raises UsageError with the nearest ids when there is none."""
    module, _, name = env_id.rpartition(":")
    for wanted in filter(None, (module, NAMESPACES.get(name.split("/")[0]) if "/" in name else None)):
        _import_environments(wanted, env_id)
    try:
        return gymnasium.spec(name)
    except gymnasium.error.DeprecatedEnv as error:
        raise UsageError(f"environment {env_id!r}: {error}") from None
    except gymnasium.error.Error as error:
        known = sorted(gymnasium.registry)
        near = nearest(name, known, 3) or [item for item in known if item.lower().startswith(name.lower()[:4])][:3]
        meant = f" Did you mean {' or '.join(repr(match) for match in near)}?" if near else ""
        raise UsageError(
            f"unknown environment {env_id!r}.{meant} Allowed: any gymnasium id, 'module:Name-v0' for one that a "
            "module registers on import. See them all: python -c \"import gymnasium; gymnasium.pprint_registry()\""
        ) from error


def _import_environments(module: str, env_id: str) -> None:
    if importlib.util.find_spec(module.split(".")[0]) is None:
        command = INSTALL.get(module, f"pip install {module.split('.')[0]}")
        raise MissingExtra(f"environment {env_id!r} needs the module {module!r}, which is not installed. Install it: {command}")
    importlib.import_module(module)


def make_one(spec: EnvSpec, **options: Any) -> gymnasium.Env[Any, Any]:
    """One environment. Raises UsageError for an unknown id or option, MissingExtra with the install command."""
    found = find(spec.id)
    with explained(spec, found):
        # The checker costs a third of a step on small environments; `toolkit check` runs it instead.
        return gymnasium.make(found, disable_env_checker=True, **{**spec.options, **options})


@contextmanager
def explained(spec: EnvSpec, found: gymnasium.envs.registration.EnvSpec) -> Iterator[None]:
    """Turn what goes wrong while an environment is made into errors that say what to do."""
    try:
        yield
    except gymnasium.error.DependencyNotInstalled as error:
        raise MissingExtra(f"environment {spec.id!r} needs a package that is not installed ({error}). "
                           f"Install it: {_install_command(found)}") from error
    except ModuleNotFoundError as error:
        raise MissingExtra(f"environment {spec.id!r} needs the module {error.name!r}, which is not installed. "
                           f"Install it: {_install_command(found, error.name)}") from error
    except TypeError as error:
        if not spec.options:
            raise
        raise UsageError(f"environment {spec.id!r} does not accept the options {dict(spec.options)!r}: {error}") from error


def _install_command(found: gymnasium.envs.registration.EnvSpec, module: str | None = None) -> str:
    entry = str(found.entry_point)
    for group, command in INSTALL.items():
        if f".{group}" in entry or entry.startswith(group):
            return command
    return f"pip install {module or entry.split('.')[0].split(':')[0]}"


def make(spec: EnvSpec, n_envs: int, seeds: Sequence[int], vectorization: str = "auto") -> VectorEnv:
    """``n_envs`` copies of an environment, copy i seeded with ``seeds[i]``.

    ``vectorization`` is ``in-process`` (a loop), ``native`` (vectorised by hand, where gymnasium
    has that), ``sync`` or ``async`` (gymnasium's classes); ``auto`` takes the fastest exact one.
    """
    found = find(spec.id)
    native = str(found.vector_entry_point) in STATE_ATTRIBUTES
    if vectorization == "auto":
        vectorization = "native" if native and n_envs >= NATIVE_FROM and not found.additional_wrappers else "in-process"
    if vectorization == "in-process":
        return InProcess(lambda: make_one(spec), seeds)
    if vectorization == "native":
        if found.vector_entry_point is None:
            raise UsageError(f"environment {spec.id!r} is not vectorised by hand; allowed: in-process, sync, async")
        with explained(spec, found):
            envs = gymnasium.make_vec(found, num_envs=n_envs, vectorization_mode="vector_entry_point", **spec.options)
        return GymnasiumVector(envs, seeds)
    make_one(spec).close()  # a wrong id or a missing package is named here, not inside a worker
    envs = gymnasium.make_vec(found, num_envs=n_envs, vectorization_mode=vectorization, **spec.options)
    return GymnasiumVector(envs, seeds)
