"""Kinds and entries: what the registry holds, as data.

Kind       a sort of component (agent, buffer, front end, ...), with the words it goes by
Entry      one component: its name, where its code is, its settings, its one-sentence summary
Broken     a plugin that could not be read, and why

The code behind an entry (``"module:Attribute"``) is imported by `Entry.load` alone.
"""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from toolkit import config as configs
from toolkit.config import Setting
from toolkit.errors import MissingExtra, ToolkitError, UsageError, did_you_mean

BUILTIN = "toolkit"
LOCAL = "local"
NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True)
class Kind:
    """A sort of component.

    ``protocol`` and ``suite`` say where its promise and its conformance tests are written.
    ``context`` names the arguments that `make` hands to the target beside its config.
    ``namespace`` is shared by kinds whose names must not collide.
    ``functional`` kinds have plain functions as members: making one gives the function, with the
    options bound to it.
    """

    singular: str
    plural: str
    protocol: str
    suite: str = ""
    context: tuple[str, ...] = ()
    namespace: str = ""
    functional: bool = False

    def spelled(self, word: str) -> bool:
        return word in (self.singular, self.plural)


KINDS = (
    Kind("agent", "agents", "toolkit.agents.base:Agent", "toolkit.testing:AgentSuite",
         ("observation_space", "action_space", "n_envs", "streams", "clock", "device"), "runnable"),
    Kind("task", "tasks", "toolkit.core.problem:Problem", "toolkit.testing:TaskSuite", namespace="runnable"),
    Kind("env", "envs", "gymnasium:Env", "toolkit.testing:EnvSuite", ("render_mode",)),
    Kind("network", "networks", "toolkit.agents.base:Network", "toolkit.testing:NetworkSuite", ("observation_space",)),
    Kind("buffer", "buffers", "toolkit.agents.base:Buffer", "toolkit.testing:BufferSuite",
         ("capacity", "n_envs", "observation_space", "action_space", "generator")),
    Kind("frontend", "frontends", "toolkit.audio.base:Frontend", "toolkit.testing:FrontendSuite"),
    Kind("transform", "transforms", "toolkit.audio.base:Transform", "toolkit.testing:TransformSuite"),
    Kind("model", "models", "toolkit.core.base:SequenceModel", "toolkit.testing:ModelSuite", ("inputs", "outputs", "spec")),
    Kind("vocoder", "vocoders", "toolkit.audio.base:Vocoder", "toolkit.testing:VocoderSuite"),
    Kind("tokenizer", "tokenizers", "toolkit.nlp.base:Tokenizer", "toolkit.testing:TokenizerSuite"),
    Kind("dataset", "datasets", "toolkit.core.base:Dataset", "toolkit.testing:DatasetSuite"),
    Kind("op", "ops", "toolkit.core.base:Op", "toolkit.testing:OpSuite", functional=True),
    Kind("layer", "layers", "toolkit.core.base:Layer", "toolkit.testing:LayerSuite"),
    Kind("loss", "losses", "toolkit.core.base:Loss", "toolkit.testing:LossSuite"),
    Kind("optimizer", "optimizers", "toolkit.core.base:OptimizerMaker", "toolkit.testing:OptimizerSuite",
         ("parameters", "learning_rate")),
    Kind("scheduler", "schedulers", "toolkit.core.schedules:Schedule", "toolkit.testing:SchedulerSuite", functional=True),
    Kind("metric", "metrics", "toolkit.core.base:Metric", "toolkit.testing:MetricSuite", functional=True),
    Kind("tracker", "trackers", "toolkit.training.recorder:Tracker", "toolkit.testing:TrackerSuite", ("directory",)),
    Kind("command", "commands", "click:Command", "toolkit.testing:CommandSuite"),
)


def kind_of(word: str) -> Kind:
    """The kind spelled ``word``, singular or plural; raises UsageError with the nearest."""
    for kind in KINDS:
        if kind.spelled(word):
            return kind
    words = [kind.singular for kind in KINDS]
    raise UsageError(f"unknown kind {word!r}.{did_you_mean(word, words)} Allowed: {', '.join(words)}.")


@dataclass(frozen=True)
class Entry:
    """One component, as data.

    target     ``"module:Attribute"``, or the live object when registered by the decorator
    config     its config dataclass, ``"module:Attribute"`` or a class, or None
    known      its settings, when they were read elsewhere (a guest's, from the cache)
    aliases    other names it answers to
    extras     optional dependencies: module name -> install command
    accepts    what it takes, for an agent the names of action spaces (``Discrete``, ``Box``), for a part
               of other components the places it is for (``clip``), which their settings name in ``fits``; for a
               data set also the endings of the files that it reads, ``/`` for folders
    cannot     what it cannot do, e.g. ``{"resume": "approximate"}``
    presets    ``"package:path/to/file.toml"``
    origin     where it was declared, for messages
    """

    kind: str
    name: str
    distribution: str
    target: Any
    summary: str = ""
    config: Any = None
    known: tuple[Setting, ...] | None = None
    aliases: tuple[str, ...] = ()
    extras: Mapping[str, str] = field(default_factory=dict)
    accepts: tuple[str, ...] = ()
    cannot: Mapping[str, str] = field(default_factory=dict)
    presets: str = ""
    origin: str = ""

    @property
    def places(self) -> tuple[str, ...]:
        """What it ``accepts`` but for the endings of files."""
        return tuple(word for word in self.accepts if not word.startswith((".", "/")))

    @property
    def id(self) -> str:
        return f"{self.distribution}/{self.name}"

    @property
    def written(self) -> str:
        """What stands for it in records: its name where it is built in, else its id, since plugins may share a name."""
        return self.name if self.distribution == BUILTIN else self.id

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The component's knobs, without importing its code (configs are torch-free)."""
        return self.known if self.known is not None else configs.settings_of(self.config_class())

    def config_class(self) -> type | None:
        if not isinstance(self.config, str):
            found: type | None = self.config
            return found
        try:
            found = resolve(self.config)
        except Misnamed as error:
            raise Misnamed(f"{self.kind} {self.name!r}, config={error}") from error
        return found

    @property
    def missing(self) -> dict[str, str]:
        """The extras that are not installed: module -> install command."""
        return {module: command for module, command in self.extras.items() if not installed(module)}

    def load(self) -> Any:
        """The object behind the entry; imports its module.

        Raises MissingExtra naming the install command, or ToolkitError naming the plugin at fault.
        """
        for module, command in self.missing.items():
            raise MissingExtra(f"{self.kind} {self.name!r} needs {module!r}, which is not installed. Install it: {command}")
        if not isinstance(self.target, str):
            return self.target
        try:
            return resolve(self.target)
        except Exception as error:
            if self.distribution == BUILTIN:
                raise
            why = str(error).partition(": ")[2] if isinstance(error, Misnamed) else f"{type(error).__name__}: {error}."
            raise ToolkitError(
                f"{self.kind} {self.id!r} could not be imported from {self.target!r}: {why} Everything else still works. "
                f"Tell the authors of {self.distribution}; once it is mended: toolkit check {self.kind} {self.id}"
            ) from error


def installed(module: str) -> bool:
    """Whether ``module`` can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):
        return False


class Misnamed(ToolkitError):
    """A ``"module:Attribute"`` that names what is not there."""


def resolve(target: str) -> Any:
    """The object that ``"module:Attribute"`` names; imports its module. Raises Misnamed where there is none."""
    name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise  # it is there, and imports one that is not
        raise Misnamed(f"{target!r}: there is no module {error.name!r}.{did_you_mean(str(error.name), beside(str(error.name)))}"
                       ) from error
    if not hasattr(module, attribute):
        raise Misnamed(f"{target!r}: the module {name!r} has no attribute {attribute!r}.{did_you_mean(attribute, vars(module))}")
    return getattr(module, attribute)


def beside(name: str) -> list[str]:
    """The modules of the package that the module ``name`` would be in."""
    package = name.rpartition(".")[0]
    places = getattr(sys.modules.get(package), "__path__", ())
    return [f"{package}.{found.name}" for found in pkgutil.iter_modules(places)] if package else []


@dataclass(frozen=True)
class Broken:
    """A plugin that could not be read: its distribution, the reason, and what to do."""

    distribution: str
    version: str
    reason: str
    remedy: str


def suits(entry: Entry, place: Setting) -> bool:
    """Whether ``entry`` may stand in the part ``place``; a guest that does not say what it is for is taken at its word."""
    silent = not entry.places and entry.distribution != BUILTIN and place.fits not in entry.cannot
    return not place.fits or silent or place.fits in entry.accepts


def several(what: str, words: Sequence[str]) -> tuple[str, ...]:
    """``words`` as a tuple. Raises ToolkitError for one text, whose letters would be taken for words."""
    if isinstance(words, str):
        raise ToolkitError(f"{what}={words!r} is one text; allowed is a tuple of them: {what}=({words!r},)")
    return tuple(words)


def matches(entry: Entry, pattern: str) -> bool:
    """Whether a name, an alias or the full id of ``entry`` holds ``pattern`` (or matches it as a glob)."""
    names = (entry.name, entry.id, *entry.aliases)
    return any(pattern in name or fnmatch.fnmatch(name, pattern) for name in names)


def check_entry(entry: Entry) -> None:
    """Raise ToolkitError when an entry could not be listed or made."""
    for name in (entry.name, *entry.aliases):
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ToolkitError(
                f"{entry.kind} name {name!r} (declared at {entry.origin}) is not allowed: "
                "lower-case letters, digits, '-' and '.' only, beginning with a letter or digit"
            )
    if isinstance(entry.target, str) and ":" not in entry.target:
        raise ToolkitError(f"{entry.kind} {entry.name!r}: target {entry.target!r} is not of the form 'module:Attribute'")
    if not isinstance(entry.target, str) and not callable(entry.target):
        raise ToolkitError(f"{entry.kind} {entry.name!r}: target {entry.target!r} is neither 'module:Attribute' nor callable")
    if not entry.summary or not isinstance(entry.summary, str):
        raise ToolkitError(f"{entry.kind} {entry.name!r} (declared at {entry.origin}) has no summary")


def spelled_target(target: Any) -> str:
    if isinstance(target, str):
        return target
    return f"{getattr(target, '__module__', '?')}:{getattr(target, '__qualname__', repr(target))}"


def meant(entry: Entry) -> str:
    """What must be the same where an entry is declared again; a cell of a notebook may give its class another config."""
    if entry.config is None or entry.distribution == LOCAL:
        return spelled_target(entry.target)
    return f"{spelled_target(entry.target)} with the config {spelled_target(entry.config)}"


def first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]


def describe(entry: Entry) -> dict[str, Any]:
    """An entry as JSON values (for the plugin cache and for ``--json``)."""
    return {
        "kind": entry.kind, "name": entry.name, "target": spelled_target(entry.target), "summary": entry.summary,
        "config": spelled_target(entry.config) if entry.config is not None else None,
        "settings": configs.to_json(entry.settings), "aliases": list(entry.aliases), "extras": dict(entry.extras),
        "accepts": list(entry.accepts), "cannot": dict(entry.cannot), "presets": entry.presets, "origin": entry.origin,
    }


def undescribe(row: Mapping[str, Any], distribution: str) -> Entry:
    """The inverse of `describe`."""
    facts = dict(row)
    known = configs.from_json(facts.pop("settings"))
    facts["aliases"], facts["accepts"] = tuple(facts["aliases"]), tuple(facts["accepts"])
    return replace(Entry(distribution=distribution, **facts), known=known)
