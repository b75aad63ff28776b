"""From an environment's id to gymnasium's spec of it, with errors that say what to type next."""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium

from toolkit.config import ConfigError, lookup
from toolkit.entries import Entry
from toolkit.errors import MissingExtra, UsageError, nearest
from toolkit.registry import registry

UNKNOWN = "unknown environment"  # begins the error of an id that nobody knows
# Packages whose environments gymnasium learns about only when they are imported: namespace -> module.
NAMESPACES = {"ALE": "ale_py", "MiniGrid": "minigrid", "toolkit": "toolkit.envs.hearing"}
INSTALL = {
    "ale_py": 'pip install "gymnasium[atari]"',
    "minigrid": "pip install minigrid",
    "box2d": 'pip install "gymnasium[box2d]"',
    "mujoco": 'pip install "gymnasium[mujoco]"',
    "classic_control": 'pip install "gymnasium[classic-control]"',
    "toy_text": 'pip install "gymnasium[toy-text]"',
}


def find(env_id: str) -> gymnasium.envs.registration.EnvSpec:
    """Gymnasium's spec of ``env_id``, or of the env of that name in the registry.

    Raises UsageError with the nearest ids when there is none.
    """
    entry = entry_of(env_id)
    if entry is not None:
        return registered(entry)
    module, _, name = env_id.rpartition(":")
    for wanted in filter(None, (module, NAMESPACES.get(name.split("/")[0]) if "/" in name else None)):
        import_environments(wanted, env_id)
    try:
        return gymnasium.spec(name)
    except gymnasium.error.DeprecatedEnv as error:
        raise UsageError(f"environment {env_id!r}: {error}") from None
    except gymnasium.error.Error as error:
        known = sorted([*gymnasium.registry, *(entry.name for entry in registry.entries("env"))])
        near = nearest(name, known, 3) or [item for item in known if item.lower().startswith(name.lower()[:4])][:3]
        # What the module registers is known together with it alone.
        near = [f"{module}:{match}" if module and match in gymnasium.registry else match for match in near]
        meant = f" Did you mean {' or '.join(repr(match) for match in near)}?" if near else ""
        raise UsageError(
            f"{UNKNOWN} {env_id!r}.{meant} Allowed: any gymnasium id, 'module:Name-v0' for one that a "
            "module registers on import. See them all: python -c \"import gymnasium; gymnasium.pprint_registry()\""
            f"{registry.of_unread()}"
        ) from error


def entry_of(env_id: str) -> Entry | None:
    """The registry's env ``env_id`` (bare, an alias, or ``distribution/name``); None for an id of gymnasium's.

    A bare gymnasium id goes before a registered env of the same spelling. Raises AmbiguousComponent.
    """
    if env_id in gymnasium.registry and "/" not in env_id:
        return None
    return registry.find("env", env_id)


def registered(entry: Entry) -> gymnasium.envs.registration.EnvSpec:
    """Gymnasium's spec of a registered env, under the id ``distribution/name``; options are the fields of its config."""
    if entry.id not in gymnasium.registry:
        gymnasium.register(entry.id, entry_point=partial(make_registered, entry.id))
    return gymnasium.registry[entry.id]


def is_registered(found: gymnasium.envs.registration.EnvSpec) -> bool:
    return isinstance(found.entry_point, partial) and found.entry_point.func is make_registered


def make_registered(name: str, **options: Any) -> gymnasium.Env[Any, Any]:
    """The env ``name`` of the registry. ``render_mode`` reaches an env that takes one.

    Raises TypeError for an option that is none of its settings, as a constructor would: other libraries try
    options such as ``frameskip`` and leave out what is refused in these words.
    """
    if options.get("render_mode") is None:
        options.pop("render_mode", None)
    known = {item.name: item for item in registry.get("env", name).settings}
    for option in options.keys() - {"render_mode"}:
        try:
            lookup(known, option)
        except ConfigError as error:
            raise TypeError(f"{name} got an unexpected keyword argument {option!r}: {error}") from error
    env: gymnasium.Env[Any, Any] = registry.make("env", name, **options)
    return env


def import_environments(module: str, env_id: str) -> None:
    if "/" in module or module.startswith("."):
        raise path_for_module(module, env_id)
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        wanted = error.name or module
        if module.endswith(".py") and f"{module}.".startswith(f"{wanted}."):
            raise path_for_module(module, env_id) from error
        raise missing_module(env_id, wanted, INSTALL.get(wanted.split(".")[0], "")) from error


def path_for_module(path: str, env_id: str) -> UsageError:
    """The error of an id that begins with the ``path`` of a file, where a module's name belongs."""
    place = Path(os.path.normpath(path.removesuffix(".py")))
    outside = place.is_absolute() or ".." in place.parts
    module = place.name if outside else ".".join(place.parts).strip(".")
    words = f"Write: --env {module}:{env_id.rpartition(':')[2]}"
    if importlib.util.find_spec(module.split(".")[0]) is None:
        words += f", and begin the command with: PYTHONPATH={place.parent if outside else '.'} toolkit"
    return UsageError(f"environment {env_id!r}: before the colon stands the name of a module, as Python imports it, and not the "
                      f"path of a file. {words}")


def missing_module(env_id: str, module: str, command: str = "") -> MissingExtra:
    """The error of a ``module`` that cannot be imported; ``command`` installs it, where it is known whose package it is."""
    package = module.split(".")[0]
    if command:
        remedy = f"which is not installed. Install it: {command}"
    elif importlib.util.find_spec(package) is not None:
        remedy = f"which is not in the {package!r} that Python finds. Mend its name, where it is imported or registered"
    elif Path(package).is_dir() or Path(f"{package}.py").is_file():
        remedy = "which is in this folder, where Python does not look by itself. Begin the command with: PYTHONPATH=. toolkit"
    else:  # a name alone does not tell whose package it would be
        remedy = ("which Python does not find. Install the package that it is from (pip install PACKAGE), or name its "
                  "folder: PYTHONPATH=DIR toolkit")
    return MissingExtra(f"environment {env_id!r} needs the module {module!r}, {remedy}")


def install_command(found: gymnasium.envs.registration.EnvSpec) -> str:
    """What installs all that the environment needs, where that is known; a module's name does not tell whose package it is."""
    module = str(found.entry_point).partition(":")[0]
    for group, command in INSTALL.items():
        if f"{module}.".startswith((f"{group}.", f"gymnasium.envs.{group}.")):
            return command
    return ""
