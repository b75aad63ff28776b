"""``toolkit run NAME``: train a component to the end of its budget and evaluate it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from toolkit.commands import _output as output
from toolkit.commands._settings import ComponentCommand
from toolkit.commands._toml import as_toml
from toolkit.training.presets import NONE
from toolkit.training.resolve import Plan, plan, read_file, too_short


@click.command("run", cls=ComponentCommand, options_metavar="[OPTIONS]")
@click.argument("name")
@click.option("--preset", metavar="NAME", help="A preset of NAME, or none; without it the tuned one where it exists.")
@click.option("--config", "config_file", metavar="FILE", help="A TOML file of settings; flags override it.")
@click.option("--out", metavar="DIR", help="Exactly this folder; it must not hold anything yet.")
@click.option("--init-from", metavar="RUN", help="Start from the parameters of another run.")
@click.option("--print-config", is_flag=True, help="Print every setting with its origin, as a file for --config, and stop.")
@output.json_option
@click.pass_context
def run_command(ctx: click.Context, name: str, preset: str | None, config_file: str | None, out: str | None,
                init_from: str | None, print_config: bool, as_json: bool) -> None:
    """Train the agent or task NAME, showing its progress, and leave a run that can be evaluated and resumed.

    \b
    toolkit run dqn --env CartPole-v1
    toolkit run dqn --env CartPole-v1 --seed 3 --learning-rate 1e-3 --network.hidden-sizes 64,64
    """
    entry = ctx.meta["entry"]
    resolved = plan(entry, ctx.meta["flags"], read_file(config_file) if config_file is not None else None, preset)
    if print_config:
        show_config(resolved, as_json)
        return
    check_environment(resolved)
    from toolkit.training import sessions

    def begun(facts: Sequence[str]) -> None:
        for text in (*notes(resolved), *facts):
            output.talk(text)

    report(sessions.start(resolved, out, init_from, begun), as_json)


def notes(resolved: Plan) -> Iterator[str]:
    """What a person should know of a run that begins: its preset, and whether it is too short."""
    if resolved.preset != NONE:
        yield f"preset {resolved.preset!r} of {resolved.entry.name} for {resolved.subject} (--preset none for the plain defaults)"
    if short := too_short(resolved):
        yield short


def show_config(resolved: Plan, as_json: bool) -> None:
    rows = resolved.config.json()
    if "epochs" in rows and resolved.config.values["steps"] is not None:
        del rows["epochs"]  # the budget is in steps; a file with both could not be read back
    if as_json:
        output.emit({"name": resolved.entry.name, "preset": resolved.preset, "config": rows})
        return
    print(as_toml(rows))


def check_environment(resolved: Plan) -> None:
    """Name an unknown environment before torch is imported: the answer comes at once."""
    if resolved.entry.kind == "agent":
        from toolkit.envs import specs

        specs.find(resolved.subject)


def report(session: Any, as_json: bool) -> None:
    """Print how a run ended."""
    facts = output.session_json(session, output.process_seconds())
    if as_json:
        output.emit(facts)
    else:
        print(output.session_text(facts))
