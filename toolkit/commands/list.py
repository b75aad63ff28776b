"""``toolkit list [KIND] [PATTERN]``: what there is."""

from __future__ import annotations

import os
from typing import Any

import click

from toolkit.commands import _output as output
from toolkit.entries import KINDS, Broken, Entry
from toolkit.errors import UsageError, did_you_mean
from toolkit.registry import registry


@click.command("list")
@click.argument("kind", required=False)
@click.argument("pattern", required=False)
@output.json_option
def list_command(kind: str | None, pattern: str | None, as_json: bool) -> None:
    """List components, the built-in ones and those of plugins.

    KIND is a kind (agent, network, ...); a word that is no kind is a PATTERN over names. A PATTERN that nothing matches is an
    error; with --json it is an empty list.
    """
    spelled = next((item.singular for item in KINDS if kind and item.spelled(kind)), None)
    if kind and spelled is None:
        kind, pattern = None, pattern or kind
    taken = registry.taken()
    rows = [row_of(entry, taken.get((entry.kind, entry.id))) for entry in registry.entries(spelled, pattern or "")]
    rows += [broken_row(item) for item in registry.broken if not kind and (not pattern or pattern in item.distribution)]
    if as_json:
        output.emit(rows)
        return
    if not rows:
        if not pattern and spelled:
            output.talk(f"there is no {spelled}: neither a built-in one nor one of a plugin. "
                        + ("Environments are gymnasium's, by their ids: toolkit run dqn --env CartPole-v1" if spelled == "env"
                           else "See everything: toolkit list"))
            return
        known = {word for item in KINDS for word in (item.singular, item.plural)} if not spelled else set()
        known.update(entry.name for entry in registry.entries(spelled))
        word = pattern or kind or ""
        raise UsageError(f"nothing matches {word!r}.{did_you_mean(word, known)} See everything: toolkit list")
    width = 200 if not os.isatty(1) else max(60, os.get_terminal_size().columns)
    text = output.table([(row["kind"], shown_name(row), status_text(row) + row["summary"]) for row in rows])
    print(text if width >= 200 else "\n".join(line[:width].rstrip() for line in text.split("\n")))


def row_of(entry: Entry, taken: tuple[str, str] | None = None) -> dict[str, Any]:
    """``taken``: why its name does not mean it, and the remedy."""
    missing = entry.missing
    notes = [] if taken is None else ["name taken: {}. Remedy: {}".format(*taken)]
    notes += ["missing: " + "; ".join(missing.values())] if missing else []
    status = "; ".join(notes) or "ok"
    return {"id": entry.id, "kind": entry.kind, "name": entry.name, "aliases": list(entry.aliases), "summary": entry.summary,
            "origin": entry.distribution, "status": status, "cannot": dict(entry.cannot)}


def broken_row(item: Broken) -> dict[str, Any]:
    return {"id": item.distribution, "kind": "plugin", "name": item.distribution, "aliases": [], "summary": "",
            "origin": item.distribution, "status": f"broken: {item.reason}. Remedy: {item.remedy}", "cannot": {}}


def shown_name(row: dict[str, Any]) -> str:
    name = row["name"] if row["origin"] == "toolkit" else row["id"]
    return f"{name} ({', '.join(row['aliases'])})" if row["aliases"] else str(name)


def status_text(row: dict[str, Any]) -> str:
    notes = [] if row["status"] == "ok" else [row["status"]]
    notes += [f"{what}: {how}" for what, how in row["cannot"].items()]
    return f"[{'; '.join(notes)}] " if notes else ""
