"""Parts of the audio commands and their settings as dotted flags: ``--frontend mfcc --frontend.n-mfcc 13``.

PartCommand   a click command some of whose options choose components
chosen_part   the component that such an option chose, its settings checked
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from toolkit.commands._settings import flag_text, help_text, is_bool, naming_flags
from toolkit.config import FALSE, TRUE, lookup
from toolkit.entries import Entry
from toolkit.errors import UsageError
from toolkit.registry import registry


@dataclass(frozen=True)
class Part:
    """``--PREFIX.setting`` belongs to the component of ``kind`` that is the ``place``-th value of ``option``."""

    kind: str
    option: str
    default: str = ""
    place: int = 0


@dataclass(frozen=True)
class Chosen:
    """A component's entry and the options given to it, checked."""

    entry: Entry
    options: dict[str, Any]

    @property
    def name(self) -> str:
        return self.entry.name if self.entry.distribution == "toolkit" else self.entry.id

    def make(self, **more: Any) -> Any:
        return registry.make(self.entry.kind, self.name, **{**more, **self.options})


class PartCommand(click.Command):
    """Takes the settings of its ``parts`` out of the arguments before click parses the rest."""

    parts: dict[str, Part] = {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["parts"] = {prefix: entry_of(part, args) for prefix, part in self.parts.items()}
        ctx.meta["known"] = [f"{prefix}.{item.name}" for prefix, entry in ctx.meta["parts"].items() if entry
                             for item in entry.settings]
        rest: list[str] = []
        given: dict[str, dict[str, Any]] = {prefix: {} for prefix in self.parts}
        tokens = list(args)
        while tokens:
            token = tokens.pop(0)
            prefix, dot, _ = token[2:].partition(".") if token.startswith("--") else ("", "", "")
            if not dot or prefix not in self.parts:
                rest.append(token)
            elif ctx.meta["parts"][prefix] is not None:
                with naming_flags([f"{prefix}.{setting_of(prefix, token)}"], ctx.meta["known"]):
                    name, value = taken(prefix, token, tokens, ctx.meta["parts"][prefix])
                given[prefix][name] = value
        ctx.meta["given"] = given
        return super().parse_args(ctx, rest)

    def invoke(self, ctx: click.Context) -> Any:
        given = [f"{prefix}.{name}" for prefix, options in ctx.meta["given"].items() for name in options]
        with naming_flags(given, ctx.meta["known"]):
            return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        for prefix, entry in ctx.meta.get("parts", {}).items():
            if entry is not None and entry.settings:
                with formatter.section(f"Settings of {entry.name}"):
                    formatter.write_dl([(flag_text(f"{prefix}.{item.name}", item), help_text(item)) for item in entry.settings])


def parts(**named: Part) -> type[PartCommand]:
    """A command class with these parts."""
    return type("PartsCommand", (PartCommand,), {"parts": named})


def chosen_part(prefix: str) -> Chosen:
    """The part of the command that runs. Raises UsageError when none is chosen."""
    meta = click.get_current_context().meta
    if meta["parts"][prefix] is None:
        raise UsageError(f"no component is chosen for {prefix}")
    return Chosen(meta["parts"][prefix], meta["given"][prefix])


def entry_of(part: Part, args: list[str]) -> Entry | None:
    """The component that the arguments choose. Raises UnknownComponent."""
    name = part.default
    for index, token in enumerate(args):
        word, equals, value = token.partition("=")
        if word == part.option:
            values = [value] if equals else args[index + 1:]
            name = values[part.place] if part.place < len(values) and not values[part.place].startswith("--") else name
    return registry.get(part.kind, name) if name else None


def setting_of(prefix: str, token: str) -> str:
    """``n_mels`` of ``--frontend.n-mels=40``."""
    return token.partition("=")[0][3 + len(prefix):].replace("-", "_")


def taken(prefix: str, token: str, tokens: list[str], entry: Entry) -> tuple[str, Any]:
    """One setting's name and value; takes the value from ``tokens``. Raises ConfigError or UsageError."""
    word, equals, value = token.partition("=")
    known = {item.name: item for item in entry.settings}
    name = setting_of(prefix, token)
    if name not in known and name.startswith("no_") and is_bool(known.get(name[3:])):
        return name[3:], False
    setting = lookup(known, name)
    if not equals:
        if is_bool(setting):
            value = tokens.pop(0) if tokens and tokens[0].lower() in TRUE + FALSE else "true"
        elif tokens and not tokens[0].startswith("--"):
            value = tokens.pop(0)
        else:
            raise UsageError(f"{word} needs a value: {setting.allowed}")
    return name, setting.parse(value)
