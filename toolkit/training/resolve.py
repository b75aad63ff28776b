"""From names, preset, file and flags to one resolved config, with the origin of every value.

Layers, weakest first: default, preset, file, flag. All of it is plain data; nothing heavy is
imported, so ``--print-config`` and every error about a setting are immediate.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.config import ConfigError, Part, Resolved, Setting, flatten, lookup, settings_of
from toolkit.errors import UsageError
from toolkit.registry import Entry, Registry, registry
from toolkit.training.configs import OnlineConfig, RunConfig
from toolkit.training.presets import choose

ENV_PREFIX = "env."  # options for the environment's own constructor: any name is allowed


@dataclass(frozen=True)
class Plan:
    """What is to be run: the component, its resolved config, and the preset that was used."""

    entry: Entry
    config: Resolved
    preset: str

    @property
    def subject(self) -> str:
        """The environment id, or the name of the data."""
        return str(self.config.values.get("env") or self.config.values.get("data") or "")

    @property
    def env_options(self) -> dict[str, Any]:
        return self.config.section("env")


def base_settings(entry: Entry) -> list[Setting]:
    """The knobs that belong to NAME's run without any part: the run's, then the component's own."""
    online = settings_of(OnlineConfig) if entry.kind == "agent" else ()
    return [*settings_of(RunConfig), *online, *entry.settings]


def all_settings(entry: Entry, values: Mapping[str, Any], source: Registry = registry) -> dict[str, Setting]:
    """Every knob by dotted name, those of the chosen parts included.

    ``values`` may choose parts (``{"network": "mlp"}``); the others are as their defaults say.
    """
    known: dict[str, Setting] = {}
    _expand(base_settings(entry), "", values, known, source)
    return known


def _expand(settings: Any, prefix: str, values: Mapping[str, Any], known: dict[str, Setting], source: Registry) -> None:
    for item in settings:
        name = prefix + item.name
        known[name] = item
        chosen = values.get(name, item.default) if item.kind else None
        if chosen is not None:
            part = item.check(chosen)
            _expand(_with_options(source.get(item.kind, part.name).settings, part), name + ".", values, known, source)


def _with_options(settings: tuple[Setting, ...], part: Part) -> list[Setting]:
    """The settings of a part, with the options that its declaration gives as their defaults."""
    from dataclasses import replace

    return [replace(item, default=part.options[item.name]) if item.name in part.options else item for item in settings]


def plan(entry: Entry, flags: Mapping[str, Any], file: Mapping[str, Any] | None = None, preset: str | None = None,
         source: Registry = registry) -> Plan:
    """Resolve all layers. ``flags`` hold text (from the command line) or values (from Python).

    Raises ConfigError for unknown names and values that are not allowed, UnknownComponent for parts.
    """
    flags = {name if name.startswith(ENV_PREFIX) else name.replace("-", "_"): value for name, value in flags.items()}
    file = file or {}
    subject = str(flags.get("env") or flags.get("data") or file.get("env") or file.get("data") or "")
    used, table = choose(entry, subject, preset)
    layers: list[tuple[str, Mapping[str, Any]]] = [("preset", table), ("file", file), ("flag", flags)]
    given: dict[str, tuple[Any, str]] = {}
    for origin, layer in layers:
        given.update({name: (value, origin) for name, value in layer.items()})
    known = all_settings(entry, {name: value for name, (value, _) in given.items()}, source)
    resolved = Resolved()
    for name, item in known.items():
        value, origin = given.pop(name, (item.default, "default"))
        resolved.set(name, plain_value(read(item, name, value)), origin)
    for name, (value, origin) in given.items():
        if name.startswith(ENV_PREFIX) and entry.kind == "agent":
            resolved.set(name, literal(value) if isinstance(value, str) else value, origin)
        elif origin == "preset" and "." in name:
            continue  # the preset's options for a part that was replaced by another
        else:
            lookup(known, name)
    if entry.kind == "agent" and not resolved.values["env"]:
        raise UsageError(f"{entry.name} needs an environment: toolkit run {entry.name} --env CartPole-v1")
    return Plan(entry, resolved, used)


def read(item: Setting, name: str, value: Any) -> Any:
    """``value`` checked, or parsed when it is text for something else; messages carry the dotted name."""
    from dataclasses import replace

    named = replace(item, name=name)
    if isinstance(value, str) and (item.many or item.type != "str"):
        return named.parse(value)
    if isinstance(value, str) and item.optional and not item.kind:
        return named.parse(value)
    return named.check(value)


def plain_value(value: Any) -> Any:
    return value.name if isinstance(value, Part) else value


def literal(text: str) -> Any:
    """A flag's text as TOML would read it (numbers, true, false, lists), else as it is."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def read_file(path: str) -> dict[str, Any]:
    """A TOML config file under dotted names. Raises ConfigError naming the file."""
    try:
        return flatten(tomllib.loads(Path(path).read_text()))
    except OSError as error:
        raise ConfigError(f"--config {path}: it cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--config {path}: it is not valid TOML: {error}") from error


def options_of(entry: Entry, config: Resolved, prefix: str = "", source: Registry = registry) -> dict[str, Any]:
    """The options for `Registry.make` of a component, its parts nested as `Part` values."""
    options: dict[str, Any] = {}
    for item in entry.settings:
        value = config.values[prefix + item.name]
        if item.kind and value is not None:
            inner = source.get(item.kind, value)
            value = Part(value, options_of(inner, config, f"{prefix}{item.name}.", source))
        options[item.name] = value
    return options
