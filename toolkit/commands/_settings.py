"""A component's settings as flags: parsing, and the help that shows them.

``--learning-rate 1e-3``, ``--network.hidden-sizes 64,64``, ``--double`` or ``--no-double``;
hyphens are canonical and underscores accepted. Errors call a setting by its name, ``learning_rate``; where a flag
gave it, `naming_flags` puts the flag there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from toolkit.config import Setting, flag_of, value_text
from toolkit.entries import Entry
from toolkit.errors import UsageError, did_you_mean
from toolkit.registry import registry
from toolkit.training.presets import load_presets
from toolkit.training.resolve import ENV_PREFIX, all_settings, having, literal, saved_settings, with_data_file
from toolkit.training.run_directory import find_run

# What people write after the wrong half of what `run` takes, and what to write instead.
MISPLACED = {
    ("agent", "data"): "an agent and learns in an environment: --env ID. --data is for tasks: toolkit list task",
    ("task", "env"): "a task and learns from data: --data NAME or FILE. --env is for agents: toolkit list agent",
}
# How errors about a setting begin, and a word that may be a setting's name.
ABOUT = re.compile(r"(?P<unknown>unknown setting ')?(?P<name>[a-z][\w.]*)(?P<ending>:|' |'\.)?")
WORD = re.compile(r"(?<![\w./-])[a-z][\w.]*\w(?![\w/-])")
SHORT = re.compile(r"-[a-z]{2}")  # one hyphen before a word
METAVARS = {"int": "N", "float": "X", "bool": "", "str": "TEXT"}


class ComponentCommand(click.Command):
    """A command whose first argument NAME decides which further flags there are.

    Those flags are taken out before click parses the rest, and reach the function as ``flags``.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        statics = static_options(self)
        name = first_name(args, statics)
        entry = registry.get(("agent", "task"), name) if name else None
        ctx.meta["entry"] = entry
        ctx.meta["known"] = {} if entry is None else known_settings(entry, args)
        rest, flags = (args, {}) if entry is None else take_flags(entry, args, statics, ctx.meta["known"])
        more = list(positionals(rest, statics))[1:]
        if entry and more:
            flag = "--env" if entry.kind == "agent" else "--data"
            raise UsageError(f"run takes one NAME, here {entry.name}, and everything else as a flag; got {' '.join(more)!r}. "
                             f"Did you mean {flag} {more[0]}?")
        ctx.meta["flags"] = flags
        return super().parse_args(ctx, rest)

    def invoke(self, ctx: click.Context) -> Any:
        with naming_flags(ctx.meta["flags"], ctx.meta["known"]):
            return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        entry = ctx.meta.get("entry")
        if entry is None:
            with formatter.section("Settings"):
                formatter.write_text("Each component has its own: toolkit run dqn --help")
        else:
            write_settings(entry, ctx.meta["flags"], formatter)


class TrainedCommand(click.Command):
    """A command whose first argument RUN decides which of its settings may be others than in training.

    Those flags are taken out before click parses the rest, and are found as text in ``meta["settings"]``; options for an
    environment's constructor, ``--env.NAME VALUE``, in ``meta["env_options"]``.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        statics = static_options(self)
        run = first_name(args, statics)
        words = {token.partition("=")[0] for token in args if token.startswith("-")}
        wanted = run and words - (statics.keys() - {"--help", "-h"})
        known = settings_of_run(run, spelled(args)) if run and wanted else {}  # read where it is asked for
        rest, tokens = [], list(args)
        options: dict[str, Any] = {}
        settings: dict[str, str] = {}
        ctx.meta.update(env_options=options, settings=settings, known=known)
        while tokens:
            token = tokens.pop(0)
            word, equals, value = token.partition("=")
            name = setting_name(word)
            free = word.startswith(f"--{ENV_PREFIX}")
            ours = free or (word.startswith("--") and name in known)
            if word.startswith("--") and word not in ("--", *statics) and not ours:
                offered = [*statics, *(flag_of(other) for other, item in known.items() if item.later)]
                raise UsageError(f"no such option {word!r}.{did_you_mean(word, offered)} See: {ctx.command_path} --help")
            if token == "--" or word in statics or not ours:
                rest += [token, *tokens] if token == "--" else [token]
                tokens = [] if token == "--" else tokens
                continue
            if not equals:
                if not tokens or tokens[0].startswith("--"):
                    allowed = "any that the environment's constructor takes" if free else known[name].allowed
                    raise UsageError(f"{word} needs a value: {allowed}")
                value = tokens.pop(0)
            if free:
                options[name[len(ENV_PREFIX):]] = literal(value)
            else:
                settings[name] = value
        return super().parse_args(ctx, rest)

    def invoke(self, ctx: click.Context) -> Any:
        with naming_flags(ctx.meta["settings"], ctx.meta["known"]):
            return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        rows = [(flag_text(name, item), help_text(item)) for name, item in ctx.meta["known"].items() if item.later]
        if rows:
            with formatter.section("Settings of this run that may be others than in training"):
                formatter.write_dl(rows)


def settings_of_run(run: str, chosen: Mapping[str, str]) -> dict[str, Setting]:
    """Every setting of a run, with the parts that are ``chosen`` for it now.

    Where there is no such run, which the command itself says, what any may be given.
    """
    try:
        facts = find_run(run)[0].read()
    except UsageError:
        return {item.name: item for entry in registry.entries("task") for item in entry.settings if item.later}
    entry, config, known = saved_settings(facts)
    anew = {name: value for name, value in chosen.items() if name in known and known[name].later and known[name].kind}
    return all_settings(entry, {**config.values, **anew}) if anew else known


def static_options(command: click.Command) -> dict[str, bool]:
    """The command's own options -> whether they take a value."""
    options = {"--help": False, "-h": False}
    for item in command.params:
        if isinstance(item, click.Option):
            options.update(dict.fromkeys((*item.opts, *item.secondary_opts), not item.is_flag))
    return options


def first_name(args: Sequence[str], statics: Mapping[str, bool]) -> str | None:
    """The first argument that is neither a flag nor the value of one."""
    return next(positionals(args, statics), None)


def positionals(args: Sequence[str], statics: Mapping[str, bool]) -> Iterator[str]:
    """The arguments that are neither flags nor values of flags."""
    index = 0
    while index < len(args):
        token = args[index]
        if not token.startswith("-"):
            yield token
            index += 1
            continue
        bare = "=" not in token and not token.startswith("--no-")
        takes = statics.get(token, bare)
        index += 2 if takes and bare else 1


def take_flags(entry: Entry, args: Sequence[str], statics: Mapping[str, bool],
               known: Mapping[str, Setting]) -> tuple[list[str], dict[str, str]]:
    """Split the arguments into what click parses and the settings given, by dotted name.

    Raises UsageError for a flag that exists nowhere, with the nearest.
    """
    rest: list[str] = []
    flags: dict[str, str] = {}
    tokens = list(args)
    while tokens:
        token = tokens.pop(0)
        word, equals, value = token.partition("=")
        if SHORT.match(token) and word not in statics:
            raise unknown_flag(entry, word, [*statics, *map(flag_of, known)])
        if not token.startswith("--") or word in statics:
            rest.append(token)
            if statics.get(word) and not equals and tokens:
                rest.append(tokens.pop(0))
            continue
        name = setting_name(word)
        if name not in known and name.startswith("no_") and is_bool(known.get(name[3:])):
            if equals:
                raise UsageError(f"{token}: {word} takes no value. Allowed: {word}, or {flag_of(name[3:])} {value}")
            flags[name[3:]] = "false"
        elif name not in known and not is_free(name, known):
            if (entry.kind, name) in MISPLACED:
                raise UsageError(f"{entry.name} is {MISPLACED[entry.kind, name]}")
            raise unknown_flag(entry, word, [*statics, *map(flag_of, known)])
        elif equals:
            flags[name] = value
        elif is_bool(known.get(name)):
            # A word after a flag is its value, right or wrong, as `first_name` reads them.
            flags[name] = tokens.pop(0) if tokens and not tokens[0].startswith("-") else "true"
        elif tokens and (not tokens[0].startswith("--")):
            flags[name] = tokens.pop(0)
        elif "--help" in tokens:
            continue
        else:
            raise UsageError(f"{word} needs a value: {known[name].allowed if name in known else 'any'}")
    return rest, flags


def unknown_flag(entry: Entry, word: str, allowed: Sequence[str]) -> UsageError:
    """The error about a flag that does not exist: whose it is, else what it abbreviates, as in ``--lr``, or the nearest."""
    owners = having(registry.entries(entry.kind), setting_name(word)) if word.startswith("--") else []
    if owners:
        own = ", ".join(flag_of(item.name) for item in entry.settings) or "none of its own"
        return UsageError(f"{word} is an option of {', '.join(owners)}; {entry.name} has {own}. See: toolkit info {entry.name}")
    letters = word.strip("-")
    meant = [flag for flag in allowed if len(letters) > 1 and "." not in flag and letters == initials(flag)]
    near = f" Did you mean {' or '.join(map(repr, meant))}?" if meant else did_you_mean(word.replace("_", "-"), allowed)
    return UsageError(f"{entry.name} has no option {word!r}.{near} See them all: toolkit run {entry.name} --help")


def initials(flag: str) -> str:
    return "".join(part[:1] for part in flag.strip("-").split("-"))


def spelled(args: Sequence[str]) -> dict[str, str]:
    """What follows each word that begins with two hyphens, which may be a setting and its value."""
    found: dict[str, str] = {}
    for token, following in zip(args, [*args[1:], ""], strict=True):
        word, equals, value = token.partition("=")
        value = value if equals or following.startswith("--") else following
        if value and word.startswith("--"):
            found[setting_name(word)] = value
    return found


def known_settings(entry: Entry, args: Sequence[str]) -> dict[str, Setting]:
    """The entry's settings, with the parts that the arguments choose."""
    chosen = spelled(args)
    with naming_flags(chosen, ()):
        return all_settings(entry, with_data_file(chosen, entry))


@contextmanager
def naming_flags(given: Collection[str], known: Collection[str]) -> Iterator[None]:
    """Let a UsageError about a setting that a flag gave name the flag; ``given`` and ``known`` are dotted names."""
    try:
        yield
    except UsageError as error:
        error.args = (in_flags(str(error), given, known), *error.args[1:])
        raise


def in_flags(message: str, given: Collection[str], known: Collection[str]) -> str:
    """``learning_rate: got 0, ...`` as ``--learning-rate: got 0, ...`` where that is in ``given``; else as it is.

    A component knows nothing of its place: its ``f_max`` may be ``frontend.f_max``. Settings of the same place become flags
    with it.
    """
    found = ABOUT.match(message)
    name = found["name"] if found and (found["ending"] or "_" in found["name"]) else ""
    places = [item[:-len(name)] for item in given if name and (item == name or item.endswith("." + name))]
    if found is None or len(places) != 1:
        return message

    def flag(match: re.Match[str]) -> str:
        word = match[0]
        fits = [item for item in (places[0] + word, word) if item in known]
        # "mode" may be a word of the sentence, but not in the list of settings that follows an unknown one.
        listed = found["unknown"] and message[end:][match.end():][:1] in (",", ".", "'")
        return flag_of(fits[0]) if fits and ("_" in word or "." in word or listed) else word

    start, end = found.span("name")
    return message[:start] + flag_of(places[0] + name) + WORD.sub(flag, message[end:])


def setting_name(word: str) -> str:
    return word[2:].replace("-", "_")


def is_bool(item: Setting | None) -> bool:
    return item is not None and item.type == "bool" and not item.many


def is_free(name: str, known: Mapping[str, Setting]) -> bool:
    """Whether a dotted name may be known later: an environment's option, or that of a part, or of a part's part, which a
    preset or a file chooses."""
    words = name.split(".")
    heads = [".".join(words[:count]) for count in range(1, len(words))]
    return name.startswith(ENV_PREFIX) or any(head in known and known[head].kind for head in heads)


# -- help


def write_settings(entry: Entry, flags: Mapping[str, str], formatter: click.HelpFormatter) -> None:
    """The entry's settings in sections: its own, its parts', the run's."""
    own = {item.name for item in entry.settings}
    sections: dict[str, list[tuple[str, str]]] = {f"Settings of {entry.name}": []}
    common: list[tuple[str, str]] = []
    flags = with_data_file(flags, entry)
    known = all_settings(entry, flags)
    for name, item in known.items():
        row = (flag_text(name, item), help_text(item))
        head = name.rpartition(".")[0]
        if head:
            chosen = f" {flags.get(head) or known[head].default.name}" if head in known else ""  # of several, its head says which
            sections.setdefault(f"Settings of {head}{chosen}", []).append(row)
        elif name in own:
            sections[f"Settings of {entry.name}"].append(row)
        else:
            common.append(row)
    sections["Settings of the run"] = common
    for title, rows in sections.items():
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)
    write_presets(entry, formatter)


def write_presets(entry: Entry, formatter: click.HelpFormatter) -> None:
    presets = load_presets(entry)
    if presets:
        with formatter.section("Presets"):
            formatter.write_dl([(name, ", ".join(subjects)) for name, subjects in presets.items()])


def flag_text(name: str, item: Setting) -> str:
    flag = flag_of(name)
    if is_bool(item):
        return f"{flag} / --no-{name.replace('_', '-')}"
    metavar = "|".join(item.choices) if item.choices else item.kind.upper() if item.kind else METAVARS[item.type]
    return f"{flag} {metavar}{',...' if item.many else ''}"


def help_text(item: Setting) -> str:
    """``Adam's step size [above 0; default 0.0005]``."""
    facts = [item.unit] if item.unit else []
    facts += [f"one of {', '.join(entry.name for entry in registry.fitting(item))}"] if item.fits else []
    bounds = item._bounds()
    facts += [" and ".join(bounds)] if bounds else []
    facts.append(f"default {value_text(item.default)}")
    return f"{item.help} [{'; '.join(facts)}]".strip()
