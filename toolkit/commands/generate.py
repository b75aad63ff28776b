"""``toolkit generate RUN --prompt TEXT``: what a language model goes on with."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from toolkit.commands import _output as output
from toolkit.commands.predict import require_task
from toolkit.config import flag_of
from toolkit.errors import UsageError

DRAWN = ("top_k", "top_p", "seed", "count")  # options that matter where tokens are drawn by chance


@click.command("generate")
@click.argument("run")
@click.option("--prompt", default="", help="What to go on from.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=200, show_default=True, help="New tokens at most.")
@click.option("--temperature", type=click.FloatRange(min=0), default=1.0, show_default=True,
              help="0 takes the likeliest; 1 samples as the model says; higher is wilder.")
@click.option("--top-k", type=click.IntRange(min=0), default=0, show_default=True, help="Only the k likeliest; 0 is all.")
@click.option("--top-p", type=click.FloatRange(min=0, max=1, min_open=True), default=1.0, show_default=True,
              help="Only the likeliest that together have this probability.")
@click.option("--beams", type=click.IntRange(min=1), default=1, show_default=True, help="Above 1: beam search.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed gives the same text.")
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="How many texts, one seed apart.")
@click.option("--cache/--no-cache", default=True, help="Keep keys and values of earlier tokens, or read all again.")
@output.json_option
@click.pass_context
def generate_command(ctx: click.Context, run: str, prompt: str, seed: int, count: int, cache: bool, as_json: bool,
                     **options: Any) -> None:
    """Let the language model of RUN go on from a prompt.

    \b
    toolkit generate latest --prompt "The return value" --temperature 0.8 --top-p 0.95
    """
    require_use(ctx, options["beams"])
    require_task(run)
    from toolkit.training.api import load

    loaded: Any = load(run)
    texts = [loaded.generate(prompt, seed=seed + index, cached=cache, **options) for index in range(count)]
    if as_json:
        output.emit({"run": run, "prompt": prompt, "texts": texts})
        return
    for text in texts:
        print(output.printable(text))


def require_use(ctx: click.Context, beams: int) -> None:
    """Raise UsageError for options about what is drawn where nothing is: in beam search, and at temperature 0."""
    if beams == 1 and ctx.params["temperature"] > 0:
        return
    cause, useless = ("beams", ("temperature", *DRAWN)) if beams > 1 else ("temperature", DRAWN)
    given = [name for name in useless if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if given:
        words = {name: f"{flag_of(name)} {ctx.params[name]:g}" for name in (cause, *given)}
        raise UsageError(f"{words.pop(cause)} takes the likeliest text and draws nothing, so {' and '.join(words.values())} "
                         f"would do nothing. Leave out {' and '.join(map(flag_of, given))}, or {flag_of(cause)}")
