"""``toolkit plugins``: third-party distributions, and what is wrong with the broken ones."""

from __future__ import annotations

import os
from typing import Any

import click

from toolkit import plugins as guests
from toolkit.commands import _output as output
from toolkit.entries import Broken, undescribe
from toolkit.errors import UsageError, did_you_mean
from toolkit.installed import Guest
from toolkit.registry import registry


@click.command("plugins")
@click.argument("names", nargs=-1, metavar="[DISTRIBUTION]...")
@click.option("--probe", is_flag=True, help=f"Read every plugin again, at most {guests.TIME_LIMIT:g} s each.")
@output.json_option
def plugins_command(names: tuple[str, ...], probe: bool, as_json: bool) -> None:
    """List the distributions that add components, all or those named, with the reason and the remedy for those that fail."""
    broken: list[Broken] = []
    installed = guests.installed_guests(broken)
    outcomes = guests.outcomes_of(installed, probe)
    taken = registry.taken()
    rows = [row_of(guest, outcome, taken) for guest, outcome in outcomes.items()]
    rows += [{"distribution": item.distribution, "version": item.version, "status": "broken", "components": [],
              "reason": item.reason, "remedy": item.remedy} for item in broken]
    known = [row["distribution"] for row in rows]
    for name in set(names) - set(known):
        raise UsageError(f"no plugin is called {name!r}.{did_you_mean(name, known)} Installed: {', '.join(known) or 'none'}")
    rows = [row for row in rows if not names or row["distribution"] in names]
    if as_json:
        output.emit(rows)
        return
    if not rows:
        output.talk(why_none())
    for row in rows:
        print(f"{row['distribution']} {row['version']}: {row['status']}, {counted(len(row['components']))}")
        for name in row["components"]:
            print(f"  {name}")
        if row["reason"]:
            print(f"  reason: {row['reason']}\n  remedy: {row['remedy']}")


def counted(components: int) -> str:
    return f"{components} component{'' if components == 1 else 's'}"


def why_none() -> str:
    """Why no plugin is shown."""
    names = guests.left_out()
    if not names:
        return f"no installed distribution has an entry point in the group {guests.GROUP!r}"
    return (f"TOOLKIT_PLUGINS={os.environ.get('TOOLKIT_PLUGINS', '')} leaves out what is installed: {', '.join(names)}. "
            "Unset it, or name some of them: TOOLKIT_PLUGINS=NAME,NAME")


def row_of(guest: Guest, outcome: dict[str, Any], taken: dict[tuple[str, str], tuple[str, str]]) -> dict[str, Any]:
    """A plugin that works and yet has names that others have keeps its status, with the reason and the remedy."""
    entries = [undescribe(row, guest.distribution) for row in outcome.get("entries", [])]
    clashes = [taken[key] for entry in entries if (key := (entry.kind, entry.id)) in taken]
    broken = outcome.get("broken") or {"reason": "; ".join(reason for reason, _ in clashes),
                                       "remedy": "; ".join(remedy for _, remedy in clashes)}
    return {"distribution": guest.distribution, "version": guest.version, "status": "broken" if outcome.get("broken") else "ok",
            "components": [f"{entry.kind} {entry.name}" for entry in entries], "reason": broken["reason"],
            "remedy": broken["remedy"]}
