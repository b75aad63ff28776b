"""From names, preset, file and flags to one resolved config, with the origin of every value.

Layers, weakest first: default, preset, file, flag. All of it is plain data; nothing heavy is
imported, so ``--print-config`` and every error about a setting are immediate.
"""

from __future__ import annotations

import shlex
import tomllib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, time
from pathlib import Path
from typing import Any

from toolkit.config import ConfigError, Part, Resolved, Setting, flag_of, flatten, lookup, place_of, settings_of, unboxed
from toolkit.entries import Entry
from toolkit.errors import UsageError
from toolkit.registry import Registry, registry
from toolkit.training.configs import OnlineConfig, RunConfig
from toolkit.training.made_with import made_with
from toolkit.training.presets import NONE, choose, preset_file

ENV_PREFIX = "env."  # options for the environment's own constructor: any name is allowed
# Parts that earlier versions took in places which refuse them now, and what does the same there, to the bit.
SAME_THERE: dict[Any, str] = {("plateau", "budget"): "constant"}


@dataclass(frozen=True)
class Plan:
    """What is to be run: the component, its resolved config, and the preset that was used."""

    entry: Entry
    config: Resolved
    preset: str

    @property
    def subject(self) -> str:
        """The environment id, or the name of the data, a file's without its folder and ending."""
        path = self.config.values.get("data.path")
        data = str(self.config.values.get("data") or "").rpartition("/")[2]  # of a plugin's: without its distribution
        return Path(path).stem if path else str(self.config.values.get("env") or data)

    def parts(self, source: Registry = registry) -> dict[str, Entry]:
        """The components that the settings choose, by dotted name."""
        values, found = self.config.values, {}
        for name, item in all_settings(self.entry, values, source).items():
            for place, part in chosen_parts(item, name, values.get(name)):
                found[place] = source.part(item, part.name)
        return found

    @property
    def env_options(self) -> dict[str, Any]:
        return self.config.section("env")


def same_part(one: Any, other: Any) -> bool:
    """Whether two saved names may mean one component: runs made before kept those of plugins without the distribution."""
    if not (isinstance(one, str) and isinstance(other, str)) or ("/" in one) == ("/" in other):
        return bool(one == other)
    return one.rpartition("/")[2] == other.rpartition("/")[2]


def base_settings(entry: Entry) -> list[Setting]:
    """The knobs that belong to NAME's run without any part: the run's, then the component's own."""
    if entry.kind == "agent":
        return [*settings_of(RunConfig), *settings_of(OnlineConfig), *entry.settings]
    # The budget of a task on data is in epochs unless it is given in steps.
    run = [replace(item, default=None, optional=True) if item.name == "steps" else item for item in settings_of(RunConfig)]
    return [*run, *entry.settings]


def with_data_file(settings: Mapping[str, Any], entry: Entry, source: Registry = registry) -> dict[str, Any]:
    """``data = "reviews.csv"`` as the data set that reads such files, and its path: ``data = "csv", data.path = ...``.

    A name with a dot or a slash is a path, and so is that of a folder which no data set has. The data sets are those that
    the task ``accepts``, or all.
    Raises UsageError when there is no such file, or none reads its kind.
    """
    text = settings.get("data")
    if not isinstance(text, str) or entry.kind != "task" or "data.path" in settings:
        return dict(settings)
    path = Path(text).expanduser()
    if not ("/" in text or "." in text or (path.is_dir() and not named(text, source))):
        return dict(settings)
    readers = [item for item in source.fitting(data_place(entry)) if not entry.accepts or item.name in entry.accepts]
    if text in (item.id for item in readers):
        return dict(settings)
    if not path.exists():
        raise UsageError(f"--data {text}: there is no such file. Data sets by name: toolkit list dataset")
    ending = "/" if path.is_dir() else path.suffix.lower()
    for item in readers:
        if ending in item.accepts:
            return {**settings, "data": item.name, "data.path": str(path.resolve())}
    known = sorted({"or a folder" if ending == "/" else ending for item in readers
                    for ending in item.accepts if ending not in item.places},
                   key=lambda word: (" " in word, word))
    what = "folders" if ending == "/" else ending or "files without an ending"
    fitting = sorted(file for file in path.iterdir() if file.suffix.lower() in known) if ending == "/" else []
    hint = f" The folder that it is in: --data {path.parent}/" if entry.accepts and "or a folder" in known else ""
    if fitting:
        joined = ", or all of them joined below one header" if len(fitting) > 1 else ""
        hint = f" It holds files that fit: --data {shlex.quote(str(fitting[0]))}{joined}"
    raise UsageError(f"--data {text}: no data set of {entry.name} reads {what}. Allowed: {', '.join(known)}.{hint}")


def data_place(entry: Entry) -> Setting:
    """The setting of a task that names its data."""
    return next((item for item in entry.settings if item.name == "data"), Setting("data", "str", kind="dataset"))


def named(text: str, source: Registry) -> bool:
    """Whether a data set has this name."""
    return any(text in (item.name, *item.aliases) for item in source.entries("dataset"))


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
        for place, part in chosen_parts(item, name, values.get(name, item.default)):
            component = source.part(item, part.name)
            if not item.many and item.default is not None and source.get(item.kind, item.default.name) == component:
                # Naming the default component keeps what its place says about it.
                part = replace(part, options={**item.default.options, **part.options})
            _expand(_with_options(component.settings, part, item.later), place + ".", values, known, source)


def chosen_parts(item: Setting, name: str, value: Any) -> Iterator[tuple[str, Part]]:
    """The parts that ``value`` of the setting ``name`` chooses, and the names below which their options are.

    Those of ``--metrics f1,my-own`` are ``metrics.f1`` and ``metrics.my_own``.
    """
    if item.kind and value is not None:
        if not item.many:
            yield name, item.check(value)
            return
        for part in read(item, name, value):
            yield f"{name}.{part.name.rpartition('/')[2].replace('-', '_').replace('.', '_')}", part


def _with_options(settings: tuple[Setting, ...], part: Part, later: bool) -> list[Setting]:
    """The settings of a part, with the options that its declaration gives as their defaults; chosen ``later`` they are too."""
    return [replace(item, default=part.options.get(item.name, item.default), later=later or item.later) for item in settings]


def plan(entry: Entry, flags: Mapping[str, Any], file: Mapping[str, Any] | None = None, preset: str | None = None,
         source: Registry = registry) -> Plan:
    """Resolve all layers. ``flags`` hold text (from the command line) or values (from Python).

    Raises ConfigError for unknown names and values that are not allowed, UnknownComponent for parts.
    """
    flags = {name.replace("-", "_"): value for name, value in flags.items()}
    file = {name: value for name, value in (file or {}).items() if name != "data" or "data" not in flags}
    flags, file = with_data_file(flags, entry, source), with_data_file(file, entry, source)
    subject = str(flags.get("env") or flags.get("data") or file.get("env") or file.get("data") or "")
    used, table = choose(entry, subject, preset)
    table = without_replaced(entry, table, {**file, **flags}, source)
    layers: list[tuple[str, Mapping[str, Any]]] = [("preset", table), ("file", file), ("flag", flags)]
    given: dict[str, tuple[Any, str]] = {}
    for origin, layer in layers:
        given.update({name: (value, origin) for name, value in layer.items()})
    known = all_settings(entry, {name: value for name, (value, _) in given.items()}, source)
    resolved = Resolved()
    for name, item in known.items():
        value, origin = given.pop(name, (item.default, "default"))
        with blaming(entry, used, origin):
            resolved.set(name, plain_value(read(item, name, value)), origin)
    for name, (value, origin) in given.items():
        if name.startswith(ENV_PREFIX) and entry.kind == "agent":
            resolved.set(name, option(value, origin), origin)
        elif origin == "preset" and "." in name:
            continue  # the preset's options for a part that was replaced by another
        else:
            with blaming(entry, used, origin):
                refuse(entry, name, known, source)
    check_needs(known, resolved)
    if entry.kind == "agent" and not resolved.values["env"]:
        raise UsageError(f"{entry.name} needs an environment: toolkit run {entry.name} --env CartPole-v1")
    if entry.kind == "task":
        check_data(entry, resolved)
        check_evaluations(resolved, source)
        choose_budget(resolved, [origin for origin, _ in layers])
    # A preset that file and flags left nothing of is none that was used: a file of --print-config has every setting.
    return Plan(entry, resolved, used if "preset" in resolved.origins.values() else NONE)


@contextmanager
def blaming(entry: Entry, preset: str, origin: str) -> Iterator[None]:
    """Let a ConfigError about what comes from a ``preset`` say so: whoever typed the command has not written it."""
    try:
        yield
    except ConfigError as error:
        if origin != "preset":
            raise
        raise ConfigError(f"the preset {preset!r} of {entry.id}, in {preset_file(entry)}: {error} Leave it out: --preset {NONE}"
                          ) from error


def refuse(entry: Entry, name: str, known: Mapping[str, Setting], source: Registry) -> None:
    """Raise ConfigError for a setting that is not ``known``; it names other components for its place which have it."""
    place, own = place_of(name, known)
    others = source.entries(entry.kind) if not place else source.fitting(known[place]) if known[place].kind else ()
    owners = having(others, own)
    try:
        lookup(known, name)
    except ConfigError as error:
        if not owners:
            raise
        instead = f": {flag_of(place)} {owners[0]}" if place else ""
        raise ConfigError(f"{error} It belongs to {' or '.join(owners)}{instead}.") from error


def having(entries: Iterable[Entry], name: str) -> list[str]:
    """The names of those with the setting ``name``, or, where it is dotted, with the part that it is an option of."""
    return [entry.name for entry in entries if any(item.name == name.partition(".")[0] for item in entry.settings)]


def without_replaced(entry: Entry, preset: Mapping[str, Any], chosen: Mapping[str, Any], source: Registry) -> dict[str, Any]:
    """``preset`` without its options of parts for which ``chosen`` names another component."""
    if not preset:
        return {}
    replaced = []
    for name, item in all_settings(entry, preset, source).items():
        if not item.kind or item.many or chosen.get(name) is None:
            continue
        earlier = preset.get(name, item.default)
        if earlier is None or source.part(item, item.check(chosen[name]).name) != source.part(item, item.check(earlier).name):
            replaced.append(name + ".")
    return {name: value for name, value in preset.items() if not name.startswith(tuple(replaced))}


def too_short(plan: Plan) -> str:
    """What to say of a budget that ends within the random steps before learning: it leaves a policy that has learned nothing."""
    warm_up, steps = plan.config.values.get("learning_starts"), plan.config.values["steps"]
    if warm_up is None or steps is None or steps > warm_up:
        return ""
    return (f"nothing is learned in {steps:,} steps: --learning-starts is {warm_up:,}. Give more with --steps, or fewer with "
            "--learning-starts")


def check_data(entry: Entry, resolved: Resolved) -> None:
    """Raise UsageError without data."""
    if "data" in resolved.values and not resolved.values["data"]:
        raise UsageError(f"{entry.name} needs data: toolkit run {entry.name} --data NAME_OR_FILE (names: toolkit list dataset)")


def check_needs(known: Mapping[str, Setting], resolved: Resolved) -> None:
    """Raise ConfigError for a flag that does nothing without another setting, or beside one; a file may name all there are."""
    for name, item in known.items():
        if not item.needs or resolved.origins[name] != "flag" or resolved.values[name] == plain_value(item.default):
            continue
        other = name[:-len(item.name)] + item.needs.lstrip("!")
        value = resolved.values[other]
        if (value is None or value is False) != item.needs.startswith("!"):
            how = "beside" if item.needs.startswith("!") else "without"
            raise ConfigError(f"{name}: it does nothing {how} {other}. Leave out {name}, or change {other}")


def check_evaluations(resolved: Resolved, source: Registry) -> None:
    """Raise UsageError for settings that go by evaluations during the run where there are none."""
    values = resolved.values
    if values["evaluate_every"] != 0:
        return
    idle = [f"--patience {values['patience']}"] if values.get("patience") is not None else []
    scheduler = values.get("scheduler")
    if scheduler is not None and "scores" in source.get("scheduler", scheduler).accepts:
        idle.append(f"--scheduler {scheduler}")
    if idle:
        raise UsageError(f"{' and '.join(idle)} {'go' if len(idle) > 1 else 'goes'} by evaluations during the run, which "
                         "--evaluate-every 0 leaves out. Leave out one of them")


def choose_budget(resolved: Resolved, layers: Sequence[str]) -> None:
    """Of a budget in steps and one in epochs keep that of the stronger layer. Raises UsageError for two of one layer."""
    steps, epochs = resolved.origins["steps"], resolved.origins.get("epochs", "default")
    if epochs == "default" or resolved.values["steps"] is None:
        return
    if steps == epochs:
        raise UsageError(f"--steps and --epochs are both given{'' if steps == 'flag' else f', by the {steps}'}; "
                         "allowed: one of them")
    if steps not in layers or layers.index(epochs) > layers.index(steps):
        resolved.set("steps", None, epochs)


def read(item: Setting, name: str, value: Any) -> Any:
    """``value`` checked, or parsed when it is text for something else; messages carry the dotted name."""
    named = replace(item, name=name)
    if isinstance(value, str) and (item.many or item.type != "str"):
        return named.parse(value)
    if isinstance(value, str) and item.optional and not item.kind:
        return named.parse(value)
    return named.check(value)


def plain_value(value: Any) -> Any:
    """A checked value as it is kept: parts by their names."""
    if isinstance(value, tuple):
        return tuple(plain_value(item) for item in value)
    return value.name if isinstance(value, Part) else value


def option(value: Any, origin: str) -> Any:
    """An option of an environment's constructor, which any value may be: as a file, and as a resumed run, has it."""
    value = literal(value) if origin == "flag" and isinstance(value, str) else unboxed(value)
    return tuple(value) if isinstance(value, list) else value


def literal(text: str) -> Any:
    """A flag's text as TOML would read it (numbers, true, false, lists), else as it is; so are dates, which JSON cannot hold."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    if isinstance(value, list):
        return tuple(value)  # as a file's, and as a resumed run has it
    return text if isinstance(value, (date, time)) else value


def read_file(path: str | Path) -> dict[str, Any]:
    """A TOML config file under dotted names. Raises ConfigError naming the file."""
    if not isinstance(path, (str, Path)):
        raise ConfigError(f"config: got {path!r}, allowed: the path of a TOML file. Settings are arguments of their own: "
                          "toolkit.train('dqn', env='CartPole-v1', learning_rate=1e-3), or **settings")
    try:
        return flatten(tomllib.loads(Path(path).read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise ConfigError(f"--config {path}: it cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"--config {path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--config {path}: it is not valid TOML: {error}") from error


def options_of(entry: Entry, config: Resolved, prefix: str = "", source: Registry = registry) -> dict[str, Any]:
    """The options for `Registry.make` of a component, its parts nested as `Part` values."""
    return {item.name: option_of(item, config, prefix, source) for item in entry.settings}


def option_of(item: Setting, config: Resolved, prefix: str = "", source: Registry = registry) -> Any:
    """The value of one setting; a part, or several, with their options."""
    value = config.values[prefix + item.name]
    if not item.kind or value is None:
        return value
    made = tuple(Part(part.name, options_of(source.get(item.kind, part.name), config, place + ".", source))
                 for place, part in chosen_parts(item, prefix + item.name, value))
    return made if item.many else made[0]


def plan_of(facts: Mapping[str, Any]) -> Plan:
    """The plan of a run on the disk; settings that its components have gained since are as they are by default.

    Warns of those that somebody chose and no component has any more.
    """
    entry, config, known = saved_settings(facts)
    for name, item in known.items():
        if name not in config.values:
            config.set(name, plain_value(item.default), "default")
    for name, origin in config.origins.items():
        free = entry.kind == "agent" and name.startswith(ENV_PREFIX)
        if name not in known and origin != "default" and not free:
            warn_of_lost(entry, name, config, known)
    return Plan(entry, config, facts["preset"])


def saved_settings(facts: Mapping[str, Any]) -> tuple[Entry, Resolved, dict[str, Setting]]:
    """Of a run on the disk: its component, what its settings are, and every knob that there is now."""
    with made_with(facts):
        entry = registry.get(("agent", "task"), facts["component"])
        config = with_same_parts(entry, Resolved.from_json(facts["config"]))
        return entry, config, all_settings(entry, config.values)


def with_later(plan: Plan, settings: Mapping[str, Any]) -> Plan:
    """The plan of a trained run with other ``settings``, as text or as values.

    Raises ConfigError for one that does not exist, that training has settled, or whose value is not allowed.
    """
    config = Resolved(dict(plan.config.values), dict(plan.config.origins))
    before = all_settings(plan.entry, config.values)
    known = all_settings(plan.entry, {**config.values, **{name: value for name, value in settings.items() if name in before}})
    for name in known.keys() - config.values.keys():  # options of what is chosen now
        config.set(name, plain_value(known[name].default), "default")
    for name, value in settings.items():
        if name not in known:
            refuse(plan.entry, name, known, registry)
        if not known[name].later:
            allowed = ", ".join(flag_of(other) for other, item in known.items() if item.later)
            raise ConfigError(f"{name}: a trained run of {plan.entry.name} keeps it as it is; it can be given "
                              f"{allowed or 'no other settings'}")
        config.set(name, plain_value(read(known[name], name, value)), "flag")
    return replace(plan, config=config)


def with_same_parts(entry: Entry, saved: Resolved) -> Resolved:
    """The config of a run, with those parts replaced, and without their options, that `SAME_THERE` names."""
    for item in base_settings(entry):
        same = SAME_THERE.get((saved.values.get(item.name), item.fits))
        if same is not None:
            saved.set(item.name, same, saved.origins[item.name])
            for name in [name for name in saved.values if name.startswith(item.name + ".")]:
                del saved.values[name], saved.origins[name]
    return saved


def warn_of_lost(entry: Entry, name: str, config: Resolved, known: Mapping[str, Setting]) -> None:
    """Warn of a saved setting that no component knows any more: its plugin has renamed or removed it."""
    owner = Plan(entry, config, NONE).parts().get(name.rpartition(".")[0], entry)
    warnings.warn(f"the run was made with {name} = {config.values[name]!r}, which {owner.kind} {owner.id} has no more: it is "
                  f"passed over. What it has: toolkit info {owner.kind} {owner.id}", stacklevel=2)
