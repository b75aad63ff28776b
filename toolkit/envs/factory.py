"""From an environment id to a vector environment, with errors that say what to type next."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.envs.registration import load_env_creator

from toolkit.config import ConfigError, flag_of, lookup
from toolkit.entries import Entry
from toolkit.envs import promises
from toolkit.envs.base import EnvSpec, VectorEnv
from toolkit.envs.gymnasium_vector import GymnasiumVector
from toolkit.envs.hearing import VECTORS
from toolkit.envs.in_process import InProcess
from toolkit.envs.native import NATIVE
from toolkit.envs.wrappers import Checked, wrap
from toolkit.errors import MissingExtra, UsageError, did_you_mean, nearest
from toolkit.registry import UnknownComponent, registry

ARRAYS = {**NATIVE, **VECTORS}  # gymnasium's entry point -> the class whose copies are arrays
REQUIRED = inspect.Parameter.empty
NATIVE_FROM = 4  # copies from which an environment vectorised by hand beats the loop

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
        _import_environments(wanted, env_id)
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
            f"unknown environment {env_id!r}.{meant} Allowed: any gymnasium id, 'module:Name-v0' for one that a "
            "module registers on import. See them all: python -c \"import gymnasium; gymnasium.pprint_registry()\""
        ) from error


def entry_of(env_id: str) -> Entry | None:
    """The registry's env ``env_id`` (bare, an alias, or ``distribution/name``); None for an id of gymnasium's.

    A bare gymnasium id goes before a registered env of the same spelling. Raises AmbiguousComponent.
    """
    if env_id in gymnasium.registry and "/" not in env_id:
        return None
    try:
        return registry.get("env", env_id)
    except UnknownComponent:
        return None


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


def _import_environments(module: str, env_id: str) -> None:
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


def creator_of(found: gymnasium.envs.registration.EnvSpec) -> Any:
    """The class or function that makes the environment; None where gymnasium knows no entry point."""
    return found.entry_point if found.entry_point is None or callable(found.entry_point) else load_env_creator(found.entry_point)


def settled(spec: EnvSpec) -> dict[str, Any]:
    """The options of ``spec`` as a run records them: an environment whose class has ``settled_options(options)``
    fills in there what would otherwise depend on the machine (which extra is installed, for one)."""
    found = find(spec.id)
    with explained(spec, found):
        settle = getattr(creator_of(found), "settled_options", None)
    return dict(spec.options) if settle is None else dict(settle(spec.options))


@contextmanager
def packages_named(spec: EnvSpec, found: gymnasium.envs.registration.EnvSpec) -> Iterator[None]:
    """Turn the error of a package that is not installed into one that says what to install."""
    try:
        yield
    except gymnasium.error.DependencyNotInstalled as error:
        command = _install_command(found) or "pip install PACKAGE"
        raise MissingExtra(f"environment {spec.id!r} needs a package that is not installed ({error}). "
                           f"Install it: {command}") from error
    except ModuleNotFoundError as error:
        raise missing_module(spec.id, str(error.name), _install_command(found)) from error


@contextmanager
def explained(spec: EnvSpec, found: gymnasium.envs.registration.EnvSpec, drawn: bool = False) -> Iterator[None]:
    """Turn what goes wrong while an environment is made into errors that say what to do; ``drawn``: with a render_mode."""
    try:
        with packages_named(spec, found):
            yield
    except AttributeError as error:
        module, _, name = str(found.entry_point).partition(":")
        if isinstance(error.obj, ModuleType) and (error.obj.__name__, error.name) == (module, name):
            near = did_you_mean(name, vars(error.obj))
            raise UsageError(f"environment {spec.id!r} is registered with the entry_point {found.entry_point!r}, and the module "
                             f"{module!r} has no {name!r}.{near} Mend it where gymnasium.register is called") from error
        raise
    except TypeError as error:
        # Gymnasium adds where it was raised, which is known here, to what the constructor said.
        cause = error.__cause__ if isinstance(error.__cause__, TypeError) else error
        if drawn and ("'render_mode'" in str(cause) or (not spec.options and "takes no arguments" in str(cause))):
            raise undrawn(spec, "its constructor takes no render_mode", creator_of(found)) from cause
        refused = refusal(spec, found, cause)
        if not refused:  # a mistake of the environment's own, which its author finds by the traceback
            raise
        raise OptionsRefused(refused) from cause


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


def undrawn(spec: EnvSpec, why: str, env: Any) -> UsageError:
    """The error of an environment, or what makes it, that gives no pictures."""
    metadata = getattr(env, "metadata", None)
    modes = metadata.get("render_modes") if isinstance(metadata, dict) else None
    known = "" if modes is None else f" (render_modes {modes})"
    return UsageError(f"environment {spec.id!r} cannot draw itself: {why}{known}. Leave out --video; or take render_mode in "
                      "its constructor, name 'rgb_array' in metadata['render_modes'], and give a picture in render(): "
                      "[height, width, 3]")


class OptionsRefused(UsageError):
    """An environment cannot be made with the options given; its cause is what the constructor said, for `refusal`."""


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


def refusal(spec: EnvSpec, found: gymnasium.envs.registration.EnvSpec, error: BaseException | None,
            shown: Callable[..., str] | None = None) -> str:
    """What to say of options that the constructor refused or missed, ``shown`` as flags; nothing where they are not at fault.

    Of unknown names the nearest, and all, where it names them.
    """
    shown, text = shown or env_flag, str(error)
    if "gymnasium.Env" in text:  # made, and then refused by gymnasium: of the older library, or something else
        return f"environment {spec.id!r} cannot be used: {text}"
    if "'frameskip'" in text and "frameskip" not in spec.options:
        return f"environment {spec.id!r} is no game of ALE's, which --atari is for: it has no frameskip. Leave out --atari"
    parameters = parameters_of(found)
    allowed = [item.name for item in registry.get("env", found.id).settings] if is_registered(found) else list(parameters)
    unknown = [name for name in spec.options if name not in allowed]
    if unknown and allowed and "unexpected keyword" in text:
        near = "".join(did_you_mean(name, allowed, shown) for name in unknown)
        return (f"environment {spec.id!r} has no option {', '.join(map(shown, unknown))}.{near} "
                f"Allowed: {', '.join(map(shown, allowed))}.")
    missing = [name for name, default in parameters.items() if default is REQUIRED and f"'{name}'" in text]
    if missing and any(f"{getattr(maker, '__qualname__', '')}() missing" in text for maker in makers_of(found)):
        needed = " and ".join(shown(name, "VALUE") for name in missing)
        others = ", ".join(shown(name) for name in allowed if name not in missing)
        return (f"environment {spec.id!r} needs {needed}: its constructor has no value of its own for that."
                f"{f' Allowed besides: {others}.' if others else ''}")
    given = ", ".join(shown(name, value) for name, value in spec.options.items())
    return f"environment {spec.id!r} does not accept {given}: {text}." if given else ""


def env_flag(name: str, value: Any = None) -> str:
    """The flag of an option for an environment's constructor, with its ``value``, if any."""
    return flag_of(f"env.{name}") + ("" if value is None else f" {value}")


def require_numbers(spec: EnvSpec, found: gymnasium.envs.registration.EnvSpec) -> None:
    """Raise UsageError for words where the constructor's default is a number: it would fail at the first step only."""
    for name, default in (defaults_of(found) if spec.options else {}).items():
        if isinstance(spec.options.get(name), str) and isinstance(default, (bool, int, float)):
            allowed = "true and false" if isinstance(default, bool) else f"numbers; its default is {default!r}"
            raise UsageError(f"{env_flag(name)} {spec.options[name]}: allowed are {allowed}")


def defaults_of(found: gymnasium.envs.registration.EnvSpec) -> dict[str, Any]:
    """The options that the constructor names with a default."""
    return {name: default for name, default in parameters_of(found).items() if default is not REQUIRED}


def parameters_of(found: gymnasium.envs.registration.EnvSpec) -> dict[str, Any]:
    """The options that the constructor names, each with its default or REQUIRED; where it also takes any, a class's bases say
    which."""
    options: dict[str, Any] = {}
    by_hand = str(found.entry_point) in ARRAYS  # what those need is theirs, and no option
    for maker in makers_of(found):
        parameters = inspect.signature(maker).parameters.values()
        for item in parameters:
            named = item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD) and item.name not in ("self", "render_mode")
            if named and not (by_hand and item.default is REQUIRED):
                options.setdefault(item.name, item.default)
        if all(item.kind is not item.VAR_KEYWORD for item in parameters):
            break
    return options


def makers_of(found: gymnasium.envs.registration.EnvSpec) -> list[Any]:
    """The function that makes the environment, or the constructors of its class and of that's bases."""
    entry = str(found.entry_point)
    creator = load_env_creator(ARRAYS[entry]) if entry in ARRAYS else creator_of(found)
    if inspect.isclass(creator):
        return [vars(base)["__init__"] for base in creator.__mro__ if "__init__" in vars(base)]
    return [creator]


def _install_command(found: gymnasium.envs.registration.EnvSpec) -> str:
    """What installs all that the environment needs, where that is known; a module's name does not tell whose package it is."""
    module = str(found.entry_point).partition(":")[0]
    for group, command in INSTALL.items():
        if f"{module}.".startswith((f"{group}.", f"gymnasium.envs.{group}.")):
            return command
    return ""


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
    from toolkit.envs.workers import WorkerEnvs

    return WorkerEnvs(wanted.spec, wanted.seeds, wanted.workers, wanted.worker_timeout, make_one)


def by_envpool(wanted: Wanted) -> VectorEnv:
    from toolkit.envs.envpool import EnvPool

    return EnvPool(wanted.spec, wanted.seeds)


MAKERS: dict[str, Callable[[Wanted], VectorEnv]] = {
    "in-process": in_process, "native": native, "workers": in_workers, "sync": by_gymnasium("sync"),
    "async": by_gymnasium("async"), "envpool": by_envpool,
}
VECTORIZATIONS = ("auto", *MAKERS)
