"""Typed configs: one frozen dataclass is the flags, the file, the JSON and the constructor.

Setting   one knob: name, type, default, help, unit, bounds, choices (plain data, so that a
          plugin's knobs can be kept as JSON and shown without importing the plugin)
setting() declares a knob inside a frozen dataclass
part()    declares a knob whose value is another component (``network``, ``buffer``)
parts()   declares one whose value is any number of them (``metrics``, ``trackers``)
Part      the value of such a knob: the component's name and its options
Resolved  all values of a run under dotted names, each with its origin

A dataclass written without ``setting()`` works too: its fields become knobs without bounds.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import math
import shlex
import types
import typing
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from toolkit.errors import UsageError, did_you_mean

Config = TypeVar("Config")

SCALARS: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
NONE = ("none", "null")
BOUNDS = ("minimum", "maximum", "above", "below")


class ConfigError(UsageError, ValueError):
    """A setting that does not exist, or a value outside what it allows."""


@dataclass(frozen=True)
class Part:
    """A chosen component: its name and the options given to it (fields of its config)."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """One knob of a config, as plain data.

    ``type`` is ``int``, ``float``, ``bool`` or ``str``; ``many`` makes it a tuple of them and
    ``optional`` also allows None. ``kind`` names the component kind when the value is a part (or with
    ``many`` any number of them), and ``fits`` which of its kind may stand there: those that accept that word; all when it is
    empty.
    ``later``: a trained run can be given another value, since only its answers depend on it.
    ``needs`` names another setting of the same config without which it does nothing, or with ``!`` before it, beside which.
    """

    name: str
    type: str
    default: Any = None
    help: str = ""
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    kind: str = ""
    fits: str = ""
    many: bool = False
    optional: bool = False
    later: bool = False
    needs: str = ""

    @property
    def allowed(self) -> str:
        """What a value may be, in words: ``a number above 0 and at most 1``."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind and self.many:
            return (f"names of the kind {self.kind}{self.fits and f' for {self.fits}'}, separated by commas, or none "
                    f"(see: toolkit list {self.kind})")
        if self.kind:
            return f"the name of a {self.kind}{self.fits and f' for {self.fits}'} (see: toolkit list {self.kind})"
        nouns = {"int": "whole numbers", "float": "numbers", "bool": "truth values", "str": "words"} if self.many else {
            "int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}
        bounds = " and ".join(self._bounds())
        return (f"{nouns[self.type]} {bounds}".rstrip() + (", separated by commas" if self.many else "")
                + (", or none" if self.optional else ""))

    def _bounds(self) -> list[str]:
        pairs = (("at least", self.minimum), ("above", self.above), ("at most", self.maximum), ("below", self.below))
        return [f"{word} {bound:g}" for word, bound in pairs if bound is not None]

    def parse(self, text: str) -> Any:
        """The value that ``text`` spells; raises ConfigError naming what is allowed."""
        if self.optional and text.lower() in NONE:
            return None
        if self.kind and self.many and text.lower() in NONE:
            return ()
        try:
            if self.many:
                return self.check(tuple(self._scalar(item.strip()) for item in cells(text) if item.strip()))
            return self.check(self._scalar(text))
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
            raise self._refusal(text) from None

    def _scalar(self, text: str) -> Any:
        if self.type == "bool":
            if text.lower() in TRUE + FALSE:
                return text.lower() in TRUE
            raise ValueError(text)
        if self.type == "int" and set("eE.") & set(text):
            number = float(text)  # 1e6; plain ones are read as such, since 10**19 and above would lose digits as a float
            if not number.is_integer():
                raise ValueError(text)
            return int(number)
        return SCALARS[self.type](text)

    def check(self, value: Any) -> Any:
        """``value`` in its proper type; raises ConfigError when it is not allowed."""
        value = unboxed(value)
        if value is None and (self.optional or self.default is None):
            return None
        if self.many:
            if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
                raise self._refusal(value)
            return tuple(self._check_part(item) if self.kind else self._check_scalar(unboxed(item)) for item in value)
        if self.kind:
            return self._check_part(value)
        return self._check_scalar(value)

    def _check_part(self, value: Any) -> Part:
        if isinstance(value, Part):
            return value
        if isinstance(value, str):
            return Part(value)
        if isinstance(value, Mapping) and isinstance(value.get("name"), str):
            return Part(value["name"], {key: item for key, item in value.items() if key != "name"})
        raise self._refusal(value)

    def _check_scalar(self, value: Any) -> Any:
        if self.type == "float" and isinstance(value, int) and not isinstance(value, bool):
            with contextlib.suppress(OverflowError):  # what is too large for a float is refused below
                value = float(value)
        if self.type == "int" and isinstance(value, float) and value.is_integer():
            value = int(value)
        wrong_type = not isinstance(value, SCALARS[self.type]) or (self.type != "bool" and isinstance(value, bool))
        if wrong_type or (self.choices and value not in self.choices) or not self._within(value):
            raise self._refusal(value)
        return value

    def _within(self, value: Any) -> bool:
        if self.type not in ("int", "float"):
            return True
        return not (
            (isinstance(value, float) and not math.isfinite(value))
            or (self.minimum is not None and value < self.minimum)
            or (self.maximum is not None and value > self.maximum)
            or (self.above is not None and value <= self.above)
            or (self.below is not None and value >= self.below)
        )

    def _refusal(self, value: Any) -> ConfigError:
        near = did_you_mean(value, self.choices) if isinstance(value, str) else ""
        if callable(value):
            near = " A run keeps no functions; how a value changes over it has a name: toolkit list scheduler"
        return ConfigError(f"{self.name}: got {value!r}, allowed: {self.allowed}.{near}")


def unboxed(value: Any) -> Any:
    """A number or an array of NumPy, or of a library like it, as Python's own: np.float64 is a float, but turns tensors into its
    kind; and what is kept as JSON has to be plain."""
    tolist = getattr(value, "tolist", None)
    return value if tolist is None else tolist()


def setting(default: Any, help: str, *, unit: str = "", **limits: Any) -> Any:
    """A dataclass field that is a knob; ``limits`` are minimum, maximum, above, below, choices, and of `Setting` later and needs.

    Raises TypeError for others.
    """
    unknown = sorted(limits.keys() - {*BOUNDS, "choices", "later", "needs"})
    if unknown:
        raise TypeError(f"setting {help!r} has the limit {unknown[0]!r}; allowed: {', '.join(BOUNDS)}, choices, later, needs")
    return field(default=default, metadata={"help": help, "unit": unit, **limits})


def part(kind: str, default: str | None, help: str, options: Mapping[str, Any] | None = None, fits: str = "") -> Any:
    """A dataclass field that holds another component of ``kind``, ``default`` unless chosen; see `Setting` for ``fits``."""
    value = None if default is None else Part(default, options or {})
    return field(default_factory=lambda: value, metadata={"help": help, "kind": kind, "fits": fits})


def parts(kind: str, default: Sequence[str], help: str, fits: str = "", later: bool = False) -> Any:
    """A dataclass field of type ``tuple[Part, ...]``: any number of components of ``kind``; see `Setting` for the rest."""
    metadata = {"help": help, "kind": kind, "fits": fits, "later": later}
    return field(default=tuple(Part(name) for name in default), metadata=metadata)


def settings_of(config: type | None) -> tuple[Setting, ...]:
    """The knobs of a config dataclass, in the order of its fields."""
    return () if config is None else _settings_of(config)


@functools.cache  # a run asks many times, and reading the types takes a millisecond
def _settings_of(config: Any) -> tuple[Setting, ...]:
    hints = typing.get_type_hints(config)
    return tuple(_setting_of(item, hints[item.name]) for item in dataclasses.fields(config))


def _setting_of(item: dataclasses.Field[Any], hint: Any) -> Setting:
    facts, declared = dict(item.metadata), hint
    kind, many, optional = facts.get("kind", ""), False, False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        optional, hint = len(members) < len(typing.get_args(hint)), members[0] if len(members) == 1 else hint
    if typing.get_origin(hint) is typing.Literal and all(isinstance(word, str) for word in typing.get_args(hint)):
        facts.setdefault("choices", typing.get_args(hint))
        hint = str
    if typing.get_origin(hint) is tuple and len({*typing.get_args(hint)} - {...}) == 1:
        many, hint = True, typing.get_args(hint)[0]
    spelled = "str" if kind else getattr(hint, "__name__", str(hint))
    if spelled not in SCALARS:
        raise TypeError(
            f"setting {item.name!r} has type {declared!r}; allowed: int, float, bool, str, tuples of one of them, "
            "a Literal of texts, each optionally with None, or a part"
        )
    default = item.default if item.default_factory is dataclasses.MISSING else item.default_factory()
    if default is dataclasses.MISSING:
        raise TypeError(f"setting {item.name!r} has no default; allowed: one for each setting, or None and a type with None")
    limits = {key: facts[key] for key in BOUNDS if key in facts}
    return Setting(
        item.name, spelled, default, facts.get("help", ""), facts.get("unit", ""),
        choices=tuple(facts.get("choices", ())), kind=kind, fits=facts.get("fits", ""), many=many, optional=optional,
        later=facts.get("later", False), needs=facts.get("needs", ""), **limits,
    )


def flag_of(name: str) -> str:
    """The flag of a setting by its dotted name: ``--network.hidden-sizes``."""
    return "--" + name.replace("_", "-")


def flag_with(name: str, value: Any) -> str:
    """A setting and its value as they are typed in a shell."""
    return f"{flag_of(name)} {shlex.quote(value_text(value, str))}"


def cells(text: str) -> list[str]:
    """What commas separate; what holds one stands in double quotes, as in CSV. Raises ValueError for a quote that stays open."""
    try:
        return next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise ValueError(text) from error


def quoted(item: str) -> str:
    """One of `cells`."""
    return '"' + item.replace('"', '""') + '"' if "," in item or item.startswith('"') else item


def value_text(value: Any, number: Callable[[float], str] = "{:g}".format) -> str:
    """A value as its flag spells it; ``number`` spells floats."""
    if isinstance(value, Part):
        return value.name
    if isinstance(value, (tuple, list)):
        return ",".join(quoted(value_text(item, number)) for item in value) or "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "none" if value is None else number(value) if isinstance(value, float) else str(value)


def build(config: type[Config], values: Mapping[str, Any]) -> Config:
    """An instance of ``config`` from plain values, each checked; unknown names raise ConfigError."""
    known = {item.name: item for item in settings_of(config)}
    return config(**{name: lookup(known, name).check(value) for name, value in values.items()})


def lookup(known: Mapping[str, Setting], name: str) -> Setting:
    """The setting called ``name``, dotted or not; an unknown one is answered with the nearest and those of its place."""
    if name in known:
        return known[name]
    place, own = place_of(name, known)
    if place and known[place].many:  # of several parts: which of them it is an option of
        place, own = ".".join([place, *own.split(".")[:1]]), own.partition(".")[2] or own
    beside = {other.rpartition(".")[2]: other for other in known if other.rpartition(".")[0] == place}
    namesakes = [other for other in known if other.rpartition(".")[2] == own]  # such as network.hidden_sizes for hidden_sizes
    near = did_you_mean(own, beside, lambda word: repr(beside[word])) or did_you_mean(name, namesakes)
    raise ConfigError(f"unknown setting {name!r}.{near} Allowed: {', '.join(sorted(beside.values())) or 'none'}.")


def place_of(name: str, known: Container[str]) -> tuple[str, str]:
    """The part that a dotted name is about, the innermost that is ``known``, and the rest of the name."""
    words = name.split(".")
    for count in range(len(words) - 1, 0, -1):
        if ".".join(words[:count]) in known:
            return ".".join(words[:count]), ".".join(words[count:])
    return "", name


def to_json(settings: Iterable[Setting]) -> list[dict[str, Any]]:
    """Settings as JSON values, without the fields that hold their default."""
    blank = Setting("", "str")
    rows = []
    for item in settings:
        row = {key: value for key, value in vars(item).items() if value != getattr(blank, key) or key in ("name", "type")}
        if isinstance(item.default, Part):
            row["default"] = {"name": item.default.name, **item.default.options}
        elif item.kind and item.many:
            row["default"] = [part.name for part in item.default]
        rows.append(row)
    return rows


def from_json(rows: Iterable[Mapping[str, Any]]) -> tuple[Setting, ...]:
    """The inverse of `to_json`."""
    return tuple(_from_row(dict(row)) for row in rows)


def _from_row(row: dict[str, Any]) -> Setting:
    row["choices"] = tuple(row.get("choices", ()))
    if row.get("many") and row.get("default") is not None:
        row["default"] = tuple(Part(name) if row.get("kind") else name for name in row["default"])
    elif row.get("kind") and row.get("default") is not None:
        options = dict(row["default"])
        row["default"] = Part(options.pop("name"), options)
    return Setting(**row)


@dataclass
class Resolved:
    """Every value of a run under its dotted name (``network.hidden_sizes``) and where it came from.

    Origins are ``default``, ``preset``, ``file`` and ``flag``; a later layer replaces an earlier one.
    """

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def set(self, name: str, value: Any, origin: str) -> None:
        self.values[name] = value
        self.origins[name] = origin

    def section(self, prefix: str) -> dict[str, Any]:
        """The values under ``prefix.``, without it."""
        start = prefix + "."
        return {name[len(start):]: value for name, value in self.values.items() if name.startswith(start)}

    def json(self) -> dict[str, dict[str, Any]]:
        """``{name: {"value": ..., "origin": ...}}``, the form kept in ``run.json``."""
        return {name: {"value": value, "origin": self.origins[name]} for name, value in self.values.items()}

    @classmethod
    def from_json(cls, rows: Mapping[str, Mapping[str, Any]]) -> Resolved:
        resolved = cls()
        for name, row in rows.items():
            value = row["value"]
            resolved.set(name, tuple(value) if isinstance(value, list) else value, row["origin"])
        return resolved


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested table (a TOML file) under dotted names with underscores.

    Inside a table the key ``name`` chooses the part itself: ``[network] name = "mlp"`` is
    ``network = "mlp"``. Raises ConfigError for a setting that is there twice, once with hyphens.
    """
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = prefix + key.replace("-", "_")
        found = {name: tuple(value) if isinstance(value, list) else value}
        if prefix and key == "name":
            found = {prefix[:-1]: value}
        elif isinstance(value, Mapping):
            found = flatten(value, name + ".")
        for twice in flat.keys() & found.keys():
            raise ConfigError(f"{twice}: got {flat[twice]!r} and {found[twice]!r}, allowed: one of them")
        flat.update(found)
    return flat
