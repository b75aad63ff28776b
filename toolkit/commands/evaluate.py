"""``toolkit evaluate RUN``: judge a run's policy on fresh episodes."""

from __future__ import annotations

import click

from toolkit.commands import _output as output
from toolkit.training.run_directory import find_run


@click.command("evaluate")
@click.argument("run")
@click.option("--episodes", type=click.IntRange(min=1), default=100, show_default=True, help="Episodes to play.")
@click.option("--env", metavar="ID", help="Another environment than the run's.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the evaluation; without it the run's own.")
@click.option("--video", metavar="FILE", help="Film the first episode: .gif or .mp4.")
@output.json_option
def evaluate_command(run: str, episodes: int, env: str | None, seed: int | None, video: str | None, as_json: bool) -> None:
    """Evaluate RUN (a run folder, one of its checkpoints, or latest) with deterministic actions.

    The result is printed and kept in RUN/evaluations; none is ever overwritten.
    """
    find_run(run)
    from toolkit.training.api import load

    loaded = load(run)
    summary = dict(loaded.evaluate(episodes, env, seed).summary)
    if video:
        from toolkit.training.video import film

        film(loaded, video, env, seed)
        output.talk(f"wrote {video}")
    if as_json:
        output.emit(summary)
    else:
        print(output.evaluation_text(summary))
