"""The registry: names for everything a user may want to swap.

Registry   entries by kind and name; answers lookups, and explains the ones that fail
Declarer   what a distribution's ``declare(registry)`` writes to

Entries are data (`toolkit.entries`). The code behind one is imported when the component is made, never when it is listed,
described or misspelled. Built-ins and third parties use the same ``declare``; third parties are read by `toolkit.plugins`.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from toolkit import config as configs
from toolkit.config import Part, Setting
from toolkit.entries import (
    BUILTIN,
    KINDS,
    LOCAL,
    Broken,
    Entry,
    Kind,
    check_entry,
    first_line,
    kind_of,
    matches,
    meant,
    several,
    suits,
)
from toolkit.errors import ToolkitError, UsageError, did_you_mean, nearest

__all__ = ["KINDS", "AmbiguousComponent", "Broken", "Declarer", "DuplicateComponent", "Entry", "Kind", "Registry",
           "UnknownComponent", "kind_of", "registry"]

PROTOCOL_VERSION = 1
ROOMS = ("core", "nlp", "audio", "envs", "agents", "bridges", "training", "commands")
ORDER = {item.singular: index for index, item in enumerate(KINDS)}
RUN_FLAGS = {"env": "--env", "dataset": "--data",  # how a run takes a component of that kind
             **{kind: f"--{kind}" for kind in ("model", "tokenizer", "frontend", "network", "loss", "optimizer", "scheduler")}}
CONTEXT = {  # what a kind's context may be, as an example in Python
    "observation_space": "gymnasium.make('CartPole-v1').observation_space",
    "action_space": "gymnasium.make('CartPole-v1').action_space", "n_envs": "1", "streams": "toolkit.core.seeding.Streams(0)",
    "clock": "toolkit.core.clock.Clock(1000)", "device": "torch.device('cpu')", "render_mode": "'rgb_array'", "capacity": "1000",
    "generator": "numpy.random.default_rng(0)", "inputs": "80", "outputs": "10", "spec": "None",
    "parameters": "model.parameters()", "learning_rate": "1e-3", "directory": "pathlib.Path('.')"}

Target = TypeVar("Target")


class UnknownComponent(UsageError, LookupError):
    """No component has that name; the message holds the nearest names and the listing command."""


class AmbiguousComponent(UsageError, LookupError):
    """Two plugins offer the same bare name; the message lists both full ids."""


class DuplicateComponent(ToolkitError, ValueError):
    """One distribution declared a name twice, for different targets."""


class Declarer:
    """What ``declare(registry)`` receives: `add` writes one component of one distribution."""

    def __init__(self, registry: Registry, distribution: str) -> None:
        self._registry = registry
        self.distribution = distribution

    def add(self, kind: str, name: str, target: Any, *, summary: str, config: Any = None,
            aliases: Sequence[str] = (), extras: Mapping[str, str] | None = None, accepts: Sequence[str] = (),
            cannot: Mapping[str, str] | None = None, presets: str = "") -> None:
        """Declare one component; see `Entry` for the meaning of each argument."""
        frame = sys._getframe(1)
        self._registry.insert(Entry(
            kind_of(kind).singular, name, self.distribution, target, summary, config, None, several("aliases", aliases),
            dict(extras or {}), several("accepts", accepts), dict(cannot or {}), presets,
            f"{frame.f_code.co_filename}:{frame.f_lineno}",
        ))


class Registry:
    """Entries by kind and name. Built-in rooms and plugins are read when first needed."""

    def __init__(self, rooms: Iterable[str] = ROOMS, plugins: bool = True) -> None:
        self._entries: dict[tuple[str, str, str], Entry] = {}
        self._words: dict[tuple[str, str, str], tuple[str, str, str]] = {}  # names and aliases -> the key that they stand for
        self._rooms = tuple(rooms)
        self._wants_plugins = plugins
        self._rooms_read = self._plugins_read = False
        self.broken: list[Broken] = []

    # -- writing

    def insert(self, entry: Entry) -> None:
        """Add an entry. The same target and config again are silent; others under its name raise."""
        check_entry(entry)
        namespace = kind_of(entry.kind).namespace or entry.kind
        key = (namespace, entry.distribution, entry.name)
        before = self._entries.get(key)
        if before and meant(before) != meant(entry):
            raise DuplicateComponent(f"{entry.kind} {entry.id!r} is declared twice: at {before.origin} for {meant(before)} "
                                     f"and at {entry.origin} for {meant(entry)}. Rename one of them.")
        for word in (entry.name, *entry.aliases):
            other = self._entries.get(self._words.get((namespace, entry.distribution, word), key))
            if other is not None and other.name != entry.name and word in (other.name, *other.aliases):
                raise DuplicateComponent(f"{entry.kind} {entry.id!r} goes by {word!r}, and so does {other.id!r}: declared at "
                                         f"{entry.origin} and at {other.origin}. Rename one of them.")
        self._words.update({(namespace, entry.distribution, word): key for word in (entry.name, *entry.aliases)})
        self._entries[key] = entry

    def register(self, kind: str, name: str, *, config: type | None = None, summary: str = "",
                 **facts: Any) -> Callable[[Target], Target]:
        """Decorator that registers a live class or function, for notebooks, scripts and tests."""

        def remember(target: Target) -> Target:
            text = summary or first_line(getattr(target, "__doc__", None)) or f"A {kind} defined in this process."
            origin = f"{getattr(target, '__module__', '?')}.{getattr(target, '__qualname__', target)}"
            for name_of in ("aliases", "accepts"):
                facts[name_of] = several(name_of, facts.get(name_of, ()))
            entry = Entry(kind_of(kind).singular, name, LOCAL, target, text, config, origin=origin, **facts)
            self.insert(entry)
            for other in self._known((entry.kind,), name, plugins=False):
                if other.distribution == BUILTIN:
                    warnings.warn(f"{entry.kind} {name!r} goes on to mean the toolkit's own; this one is {entry.id!r}",
                                  stacklevel=2)
            return target

        return remember

    # -- reading

    def entries(self, kind: str | None = None, pattern: str = "", plugins: bool = True) -> list[Entry]:
        """Entries sorted by kind, name and distribution; ``pattern`` is a part of a name or a glob."""
        self._read(plugins)
        chosen = [entry for entry in self._entries.values() if kind is None or entry.kind == kind]
        if pattern:
            chosen = [entry for entry in chosen if matches(entry, pattern)]
        return sorted(chosen, key=order_of)

    def get(self, kind: str | Sequence[str], name: str) -> Entry:
        """The entry called ``name`` (bare, an alias, or ``distribution/name``) among the kinds given.

        Raises UnknownComponent or AmbiguousComponent.
        """
        found = self.find(kind, name)
        if found is None:
            raise self._unknown(singulars(kind), name)
        return found

    def find(self, kind: str | Sequence[str], name: str) -> Entry | None:
        """As `get`, but None where there is none: what an error would say, the nearest names, takes longer than the search."""
        kinds = singulars(kind)
        found = self._find(kinds, name)
        if len(found) > 1:
            ids = " or ".join(sorted(entry.id for entry in found))
            raise AmbiguousComponent(f"{kinds[0]} {name!r} is offered by more than one distribution. Write {ids}.")
        return found[0] if found else None

    def part(self, place: Setting, name: str) -> Entry:
        """The entry called ``name`` for the part ``place`` of another component.

        Raises UnknownComponent, also for one that is for other places, with the names that may stand there.
        """
        found = self._find((place.kind,), name)
        if found and suits(found[0], place):
            return self.get(place.kind, name)
        fitting = self.fitting(place)
        listing = f"See them all: toolkit list {place.kind}"
        if place.fits:
            listing = f"Allowed here: {', '.join(entry.name for entry in fitting)}. See: toolkit info {place.kind} NAME"
        if not found:
            near = did_you_mean(name.rpartition("/")[2], [word for entry in fitting for word in (entry.name, *entry.aliases)])
            raise UnknownComponent(f"unknown {place.kind} {name!r}.{near} {listing}{self.of_unread()}")
        why = found[0].cannot.get(place.fits, f"it is for {', '.join(found[0].places) or 'other places'}")
        raise UnknownComponent(f"{place.name}: the {place.kind} {name!r} is not one for {place.fits}: {why}. {listing}")

    def fitting(self, place: Setting) -> list[Entry]:
        """The entries that may stand in the part ``place``."""
        return [entry for entry in self.entries(place.kind) if suits(entry, place)]

    def _find(self, kinds: tuple[str, ...], name: str) -> list[Entry]:
        """What goes by ``name``; plugins are read only for what is not built in."""
        return self._known(kinds, name, plugins=False) or self._known(kinds, name, plugins=True)

    def _known(self, kinds: tuple[str, ...], name: str, plugins: bool) -> list[Entry]:
        self._read(plugins)
        distribution, _, bare = name.rpartition("/")
        bare = bare.replace("_", "-")
        fitting = [entry for entry in self._entries.values() if entry.kind in kinds
                   and bare in (entry.name, *entry.aliases) and distribution in ("", entry.distribution)]
        found: dict[str, Entry] = {}
        # Within a distribution a name goes before an alias.
        for entry in sorted(fitting, key=lambda entry: (entry.name != bare, order_of(entry))):
            found.setdefault(entry.distribution, entry)
        # A plugin never shadows a built-in, not even an alias of one, and a live object never does either.
        ours = [found[first] for first in (BUILTIN, LOCAL) if first in found]
        return ours[:1] or list(found.values())

    def taken(self) -> dict[tuple[str, str], tuple[str, str]]:
        """The plugins' components with a bare name or alias that does not mean them alone.

        Kind and id of each -> why, and what to write instead.
        """
        entries = self.entries()
        guests = [entry for entry in entries if entry.distribution not in (BUILTIN, LOCAL)]
        namespaces = {kind.singular: kind.namespace or kind.singular for kind in KINDS}
        claims: dict[tuple[str, str], dict[str, Entry]] = {}
        for entry in entries if guests else ():
            for word in (entry.name, *entry.aliases):
                claims.setdefault((namespaces[entry.kind], word), {}).setdefault(entry.distribution, entry)
        found = {}
        for entry in guests:
            namespace = namespaces[entry.kind]
            others = {word: [other for name, other in claims[namespace, word].items() if name != entry.distribution]
                      for word in (entry.name, *entry.aliases)}
            if any(others.values()):
                free = not others[entry.name]
                found[entry.kind, entry.id] = (
                    "; ".join(whose(word, claimed) for word, claimed in others.items() if claimed),
                    f"write {entry.name if free else entry.id}, or ask the authors of {entry.distribution} to rename it")
        return found

    def _unknown(self, kinds: tuple[str, ...], name: str) -> UnknownComponent:
        # `info` asks for any kind: their names would hide the answer.
        words, listing = "component", "toolkit list"
        if len(kinds) < 3:
            words, listing = " or ".join(kinds), ", ".join(f"toolkit list {kind}" for kind in kinds)
        everything = self.entries()
        names: dict[str, list[str]] = {}  # and aliases -> the kinds that have them
        for entry in (entry for entry in everything if entry.kind in kinds):
            for word in dict.fromkeys((entry.name, *entry.aliases)):
                names.setdefault(word, []).append(entry.kind)
        message, bare = f"unknown {words} {name!r}.", name.rpartition("/")[2]
        elsewhere = [entry for entry in everything if entry.kind not in kinds and name in (entry.name, *entry.aliases)]
        if elsewhere:
            message += f" {name!r} is a {elsewhere[0].kind}."
            flag = RUN_FLAGS.get(elsewhere[0].kind)
            if flag and "task" in kinds:
                message += f" A run takes it as {flag} {name}: toolkit run NAME {flag} {name}."
        elif nearest(bare, names):
            several = len(kinds) > 1
            message += did_you_mean(bare, names, lambda word: f"{word!r} ({', '.join(names[word])})" if several else repr(word))
        else:
            others = {entry.name: entry.kind for entry in everything if entry.kind not in kinds}
            for match in nearest(bare, others, 1, least=0.8):
                message += f" There is one of kind {others[match]}: {match!r}."
        return UnknownComponent(message + f" See them all: {listing}{self.of_unread()}")

    def of_unread(self) -> str:
        """That there are plugins which could not be read, or were not to be: what was not found may be theirs."""
        from toolkit import plugins as guests

        message = ""
        if self._wants_plugins and (names := guests.left_out()):
            message = f". TOOLKIT_PLUGINS={os.environ['TOOLKIT_PLUGINS']} leaves out {' and '.join(names)}"
        if names := sorted({item.distribution for item in self.broken}):
            message += f". {' and '.join(names)} {'is' if len(names) == 1 else 'are'} broken; see: toolkit plugins"
        return message

    def _read(self, plugins: bool) -> None:
        if not self._rooms_read:
            self._rooms_read = True
            for room in self._rooms:
                importlib.import_module(f"toolkit.{room}").declare(Declarer(self, BUILTIN))
        if plugins and self._wants_plugins and not self._plugins_read:
            self._plugins_read = True
            from toolkit import plugins as guests

            for entry in guests.discover(self.broken):
                self._insert_guest(entry)

    def _insert_guest(self, entry: Entry) -> None:
        try:
            self.insert(entry)
        except ToolkitError as error:
            self.broken.append(Broken(entry.distribution, "", str(error), "tell the authors of the plugin"))

    # -- making

    def make(self, kind: str, chosen: str | Part, /, **options: Any) -> Any:
        """A component by name, or as a `Part` of another one's config says, with the part's options.

        ``options`` are the fields of its config and its kind's context.
        Raises UnknownComponent, ConfigError or MissingExtra before anything heavy is imported.
        """
        part = Part(chosen) if isinstance(chosen, str) else chosen
        options = {**part.options, **options}
        entry = self.get(kind, part.name)
        context_names = kind_of(entry.kind).context
        context = {key: value for key, value in options.items() if key in context_names}
        values = {key: value for key, value in options.items() if key not in context_names}
        known = {item.name: item for item in entry.settings}
        checked = {key: self._checked_part(configs.lookup(known, key).check(value), known[key])
                   for key, value in values.items()}
        target = entry.load()
        if kind_of(entry.kind).functional:
            return functools.partial(target, **checked) if checked else target
        config = entry.config_class()
        made = () if config is None else (configs.build(config, checked),)
        try:
            return target(*made, **context)
        except TypeError as error:
            require_context(entry, context, str(error))
            raise

    def _checked_part(self, value: Any, setting: Setting) -> Any:
        if isinstance(value, Part):
            known = {item.name: item for item in self.part(setting, value.name).settings}
            return Part(value.name, {key: configs.lookup(known, key).check(item) for key, item in value.options.items()})
        return value


def singulars(kind: str | Sequence[str]) -> tuple[str, ...]:
    """The kinds that are asked for, by the words of `KINDS`."""
    return tuple(kind_of(word).singular for word in ((kind,) if isinstance(kind, str) else kind))


def order_of(entry: Entry) -> tuple[int, str, str]:
    """What entries are sorted by."""
    return ORDER[entry.kind], entry.name, entry.distribution


def require_context(entry: Entry, given: Mapping[str, Any], reason: str) -> None:
    """Raise UsageError where Python's ``reason`` is that context was not ``given``; it may name the first of what is missing."""
    missing = [name for name in kind_of(entry.kind).context if name not in given]
    if "missing" in reason and any(f"'{name}'" in reason for name in missing):
        call = ", ".join([repr(entry.kind), repr(entry.name), *(f"{name}={CONTEXT[name]}" for name in missing), "..."])
        whole = f". For a whole run: toolkit.train({entry.name!r}, env='CartPole-v1')" if entry.kind == "agent" else ""
        verb = "is" if len(missing) == 1 else "are"
        raise UsageError(f"{entry.kind} {entry.name!r} is made for {', '.join(missing)}, which {verb} not given. "
                         f"Allowed: toolkit.make({call}){whole}")


def whose(word: str, others: Sequence[Entry]) -> str:
    """Why ``word`` does not mean a component of a plugin, when ``others`` go by it too."""
    for owner in (BUILTIN, LOCAL):
        for other in others:
            if other.distribution == owner:
                return f"{word} means the {'built-in' if owner == BUILTIN else 'one of this process'} {other.id}, not this"
    return f"{word} alone is refused: {' and '.join(other.id for other in others)} has it too"


registry: Registry = Registry()
