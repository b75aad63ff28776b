"""``toolkit info [KIND] NAME``: one component, with its settings and presets."""

from __future__ import annotations

import textwrap
from typing import Any

import click

from toolkit.commands import _output as output
from toolkit.commands._definition import definition
from toolkit.commands._settings import flag_text, help_text
from toolkit.entries import KINDS, Entry, describe, kind_of, spelled_target
from toolkit.errors import UsageError
from toolkit.registry import UnknownComponent, registry
from toolkit.training.presets import load_presets


@click.command("info")
@click.argument("words", nargs=-1, required=True, metavar="[KIND] NAME")
@output.json_option
def info_command(words: tuple[str, ...], as_json: bool) -> None:
    """Describe the component NAME: what it does, its settings with their bounds, its presets."""
    if len(words) > 2:
        raise UsageError(f"info takes one component, as NAME or KIND NAME; got {' '.join(words)!r}")
    kinds = [kind_of(words[0]).singular] if len(words) == 2 else [kind.singular for kind in KINDS]
    entry = found(kinds, words[-1])
    presets = load_presets(entry)
    if as_json:
        output.emit({**describe(entry), "id": entry.id, "presets": presets, "definition": definition(entry)})
        return
    print(text_of(entry, presets))


def found(kinds: list[str], name: str) -> Entry:
    """The component. Raises UnknownComponent, which says what knows of environments where ``name`` looks like one's id."""
    try:
        return registry.get(kinds, name)
    except UnknownComponent as error:
        for kind in KINDS:
            if kind.spelled(name):
                raise UsageError(f"{name!r} is a kind of component. See its members: toolkit list {kind.singular}") from error
        if name == name.lower():
            raise
        raise UnknownComponent(f"{error}. Of an environment: toolkit check {name}") from error


def text_of(entry: Entry, presets: dict[str, Any]) -> str:
    facts = [("kind", entry.kind), ("from", entry.distribution), ("code", spelled_target(entry.target))]
    facts += [("also", ", ".join(entry.aliases))] if entry.aliases else []
    facts += [("takes", ", ".join(entry.accepts))] if entry.accepts else []
    facts += [("needs", f"{module} ({command})") for module, command in entry.extras.items()]
    facts += [("cannot", f"{what}: {how}") for what, how in entry.cannot.items()]
    blocks = [f"{entry.name}: {entry.summary}", output.table(facts, 2)]
    text = definition(entry)
    blocks += ["Definition\n" + textwrap.indent(text, "  ")] if text else []
    if entry.settings:
        blocks.append("Settings\n" + output.table([(flag_text(item.name, item), help_text(item)) for item in entry.settings], 2))
    if presets:
        blocks.append("Presets\n" + output.table([(name, ", ".join(subjects)) for name, subjects in presets.items()], 2))
    return "\n\n".join(blocks)
