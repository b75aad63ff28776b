"""``toolkit check NAME``: what a component promises, proven promise by promise."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from toolkit.commands import _output as output
from toolkit.config import lookup
from toolkit.entries import KINDS, Entry, kind_of
from toolkit.errors import UsageError, did_you_mean
from toolkit.registry import registry
from toolkit.training.resolve import all_settings, literal, read

if TYPE_CHECKING:
    from toolkit.testing.suite import Suite, Verdict

BROKEN_EXIT = 1
ENVIRONMENT = re.compile(r"-v\d+$|:|[A-Z]")  # in a name, it is meant for an environment: components have small letters
MARKS = {"kept": "kept   ", "broken": "BROKEN ", "not promised": "-      "}


@click.command("check")
@click.argument("words", nargs=-1, required=True, metavar="[KIND] NAME")
@click.option("--option", "-o", "options", multiple=True, metavar="NAME=VALUE", help="A setting of the component.")
@click.option("--suite", "facts", multiple=True, metavar="NAME=VALUE",
              help="What the suite is told: learning_steps=9000 (agent), data=iris (task), frontend=log-mel (model).")
@output.json_option
@click.pass_context
def check_command(ctx: click.Context, words: tuple[str, ...], options: tuple[str, ...], facts: tuple[str, ...],
                  as_json: bool) -> None:
    """Prove the promises of the component NAME, built-in or a plugin's; NAME may also be a plugin's distribution
    (all of its components) or the id of an environment. Exits with 1 when a promise is broken.

    \b
    toolkit check dqn
    toolkit check frontend log-mel --option n_mels=40
    """
    given, told = settings_of(options, "--option"), settings_of(facts, "--suite")
    reports = [report_of(suite, title, as_json) for title, suite in suites(words, given, told)]
    counts = {status: sum(row["status"] == status for report in reports for row in report["promises"]) for status in MARKS}
    if as_json:
        output.emit({"kept": counts["kept"], "broken": counts["broken"], "components": reports})
    else:
        print(f"{counts['kept']} promises kept, {counts['broken']} broken, {counts['not promised']} not made")
    if counts["broken"]:
        ctx.exit(BROKEN_EXIT)


def settings_of(pairs: Sequence[str], flag: str) -> dict[str, Any]:
    """The ``NAME=VALUE`` pairs that ``flag`` gave; values as TOML reads them, else as text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"{flag} {pair}: allowed is NAME=VALUE")
        found[name.replace("-", "_")] = literal(text)
    return found


def suites(words: Sequence[str], options: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[tuple[str, Suite]]:
    """A title and a suite for each component meant, told ``facts``."""
    from toolkit.testing.suite import suite_for

    for entry in entries_of(words):
        if entry.missing:
            raise UsageError(f"{entry.kind} {entry.id} cannot be checked: it needs {', '.join(entry.missing)}. "
                             f"Install: {'; '.join(entry.missing.values())}")
        suite = informed(suite_for(entry, checked(entry, options)), facts)
        yield f"{entry.kind} {entry.id}", suite


def informed(suite: Suite, facts: Mapping[str, Any]) -> Suite:
    """The suite as a subclass with ``facts`` would be. Raises UsageError for one that it has no use for."""
    from toolkit.testing.suite import Suite

    own = type(suite)
    allowed = [name for name in dir(own) if not name.startswith("_") and not hasattr(Suite, name)
               and not callable(getattr(own, name))]
    for name in facts:
        if name not in allowed:
            raise UsageError(f"--suite {name}: there is nothing of that name to tell the suite of kind {suite.kind}."
                             f"{did_you_mean(name, allowed)} Allowed: {', '.join(allowed) or 'none'}.")
    made: Suite = type(own.__name__, (own,), dict(facts))()
    made.name, made.options = suite.name, suite.options
    return made


def checked(entry: Entry, options: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` that the component has and allows. Raises ConfigError; without it every promise would be called broken."""
    from toolkit.testing.suite import GYMNASIUM

    if entry.distribution == GYMNASIUM:  # its constructor says what it takes
        from toolkit.envs import factory

        factory.require_options(entry.name, options, option_of)
        return dict(options)
    known = all_settings(entry, options) if entry.kind in ("agent", "task") else {item.name: item for item in entry.settings}
    return {name: read(lookup(known, name), name, value) for name, value in options.items()}


def option_of(name: str, value: Any = None) -> str:
    """An option's name, or with a ``value`` the flag that gives it."""
    return repr(name) if value is None else f"--option {name}={value}"


def entries_of(words: Sequence[str]) -> list[Entry]:
    """The components that NAME, KIND NAME or a distribution stands for; for an environment id, an entry of its own."""
    if len(words) > 2:
        raise UsageError(f"check takes one component, as NAME or KIND NAME; got {' '.join(words)!r}")
    name = words[-1]
    kinds = [kind_of(words[0])] if len(words) == 2 else list(KINDS)
    found = []
    for kind in kinds:
        if entry := registry.find(kind.singular, name):
            found.append(entry)
    found = found or [entry for entry in registry.entries() if entry.distribution == name and len(words) == 1]
    if not found and (len(words) == 1 or kinds[0].singular == "env"):
        found = environment(name, sure=len(words) == 2 or ENVIRONMENT.search(name) is not None)
    return found or [registry.get([kind.singular for kind in kinds], name)]


def environment(name: str, sure: bool) -> list[Entry]:
    """The environment ``name`` of gymnasium's, as an entry.

    Where gymnasium does not know it, none, or UsageError with the nearest ids if ``sure`` that an environment is meant.
    """
    from toolkit.envs import specs
    from toolkit.testing.suite import GYMNASIUM

    try:
        spec = specs.find(name)
    except UsageError:
        if sure:
            raise
        return []
    return [Entry("env", name, GYMNASIUM, str(spec.entry_point), summary=name)]


def report_of(suite: Suite, title: str, as_json: bool) -> dict[str, Any]:
    """Examine one suite, showing each promise as it is tried."""
    from toolkit.testing.suite import examine

    if not as_json:
        print(title)
    rows: list[dict[str, Any]] = []
    for verdict in examine(suite):
        if not as_json:
            print(line_of(verdict, again=bool(rows) and verdict.reason == rows[-1]["reason"]), flush=True)
        rows.append(vars(verdict) | {"seconds": round(verdict.seconds, 3)})
    return {"component": title.split()[1], "kind": suite.kind, "promises": rows}


def line_of(verdict: Verdict, again: bool) -> str:
    """The verdict with its reason; ``again`` where that is the reason of the promise before too."""
    reason = f"\n          {'as above' if again else verdict.reason}" if verdict.reason else ""
    return f"  {MARKS[verdict.status]} {verdict.promise}{reason}"
