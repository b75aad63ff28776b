"""The constructor of an environment: which options it takes, and why it refused some, in words that name flags."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import gymnasium
from gymnasium.envs.registration import load_env_creator

from toolkit.config import flag_of
from toolkit.envs.base import EnvSpec
from toolkit.envs.hearing import VECTORS
from toolkit.envs.native import NATIVE
from toolkit.envs.specs import install_command, is_registered, missing_module
from toolkit.errors import MissingExtra, ToolkitError, UsageError, did_you_mean
from toolkit.registry import registry

ARRAYS = {**NATIVE, **VECTORS}  # gymnasium's entry point -> the class whose copies are arrays
REQUIRED = inspect.Parameter.empty


class OptionsRefused(UsageError):
    """An environment cannot be made with the options given; its cause is what the constructor said, for `refusal`."""


@contextmanager
def packages_named(spec: EnvSpec, found: gymnasium.envs.registration.EnvSpec) -> Iterator[None]:
    """Turn the error of a package that is not installed into one that says what to install."""
    try:
        yield
    except gymnasium.error.DependencyNotInstalled as error:
        command = install_command(found) or "pip install PACKAGE"
        raise MissingExtra(f"environment {spec.id!r} needs a package that is not installed ({error}). "
                           f"Install it: {command}") from error
    except ModuleNotFoundError as error:
        raise missing_module(spec.id, str(error.name), install_command(found)) from error
    except ImportError as error:
        raise MissingExtra(f"environment {spec.id!r} cannot be imported: {error}") from error


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
    except (ValueError, LookupError, AssertionError) as error:
        if not spec.options or isinstance(error, ToolkitError):
            raise
        given = ", ".join(env_flag(name, value) for name, value in spec.options.items())
        why = f"{type(error).__name__}: {error}".rstrip(": ")
        raise OptionsRefused(f"environment {spec.id!r} does not accept {given}: {why}") from error


def undrawn(spec: EnvSpec, why: str, env: Any) -> UsageError:
    """The error of an environment, or what makes it, that gives no pictures."""
    metadata = getattr(env, "metadata", None)
    modes = metadata.get("render_modes") if isinstance(metadata, dict) else None
    known = "" if modes is None else f" (render_modes {modes})"
    return UsageError(f"environment {spec.id!r} cannot draw itself: {why}{known}. Leave out --video; or take render_mode in "
                      "its constructor, name 'rgb_array' in metadata['render_modes'], and give a picture in render(): "
                      "[height, width, 3]")


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


def creator_of(found: gymnasium.envs.registration.EnvSpec) -> Any:
    """The class or function that makes the environment; None where gymnasium knows no entry point."""
    return found.entry_point if found.entry_point is None or callable(found.entry_point) else load_env_creator(found.entry_point)
