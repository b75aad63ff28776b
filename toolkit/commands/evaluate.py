"""``toolkit evaluate RUN``: judge a run's policy on fresh episodes."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from toolkit.commands import _output as output
from toolkit.commands._settings import TrainedCommand
from toolkit.config import flag_of
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training.resolve import ENV_PREFIX
from toolkit.training.run_directory import find_run


@click.command("evaluate", cls=TrainedCommand)
@click.argument("run")
@click.option("--episodes", type=click.IntRange(min=1), default=100, show_default=True, help="Episodes to play.")
@click.option("--env", metavar="ID", help="Another environment than the run's.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the evaluation; without it the run's own.")
@click.option("--max-episode-steps", type=click.IntRange(min=1),
              help="Cut episodes after so many steps; without it the run's own.")
@click.option("--video", metavar="FILE", help="Film the first episode: .gif or .mp4.")
@click.option("--data", metavar="NAME_OR_FILE", help="For a task's run: other data than the run's held-out split.")
@click.option("--skip-bad", is_flag=True, help="Leave out what of --data cannot be used, and say how much, instead of stopping.")
@click.option("--plots", metavar="DIR", help="For a task's run: confusion matrix and ROC curves as PNG, into this folder.")
@output.json_option
@click.pass_context
def evaluate_command(ctx: click.Context, run: str, episodes: int, env: str | None, seed: int | None,
                     max_episode_steps: int | None, video: str | None, data: str | None, skip_bad: bool, plots: str | None,
                     as_json: bool) -> None:
    """Evaluate RUN (a run folder, one of its checkpoints, or latest): an agent with deterministic actions, a task's
    model on held-out data.

    --env.NAME VALUE makes the environment with another option than the run's, e.g. --env.deaf true. What the run of a task can
    be given anew (--beam 8 of speech-recognition), toolkit evaluate RUN --help lists.
    The result is printed and kept in RUN/evaluations; none is ever overwritten.
    """
    env_options: dict[str, Any] = ctx.meta["env_options"]
    directory, _ = find_run(run)
    facts = directory.read()
    kind = facts["kind"]
    others: dict[str, object] = {"--data": data, "--plots": plots, "--skip-bad": skip_bad or None}
    if kind == "task":
        chosen = ctx.get_parameter_source("episodes") is ParameterSource.COMMANDLINE
        others = {"--episodes": episodes if chosen else None, "--env": env, "--seed": seed, "--video": video,
                  "--max-episode-steps": max_episode_steps,
                  **{flag_of(ENV_PREFIX + name): value for name, value in env_options.items()}}
    for flag, value in others.items():
        if value is not None:
            raise UsageError(f"{flag} does not go with {run}, the run of {'an' if kind == 'agent' else 'a'} {kind}")
    if skip_bad and not any(item.name == "skip_bad" for item in registry.get("task", facts["name"]).settings):
        raise UsageError(f"--skip-bad does not go with {run}, the run of {facts['name']}, which has no such setting")
    output.require_new("--video", video)
    output.require_new("--plots", plots)
    if plots:
        output.require_matplotlib("--plots")
    from toolkit.training.api import load
    from toolkit.training.supervised_run import TaskRun

    loaded = load(run, **ctx.meta["settings"])
    if isinstance(loaded, TaskRun):
        evaluation = loaded.evaluate(data, skip_bad)
        if plots:
            from toolkit.training.supervised_plots import draw

            for path in draw(evaluation, plots):
                output.talk(f"wrote {path}")
        show(dict(evaluation.summary), as_json)
        return
    if video:
        from toolkit.training.video import check_format, film, stage

        check_format(video)  # before the work
        stage(loaded, env, seed, env_options, max_episode_steps).close()
    summary = dict(loaded.evaluate(episodes, env, seed, env_options, max_episode_steps).summary)
    if video:
        film(loaded, video, env, seed, env_options, max_episode_steps)
        output.talk(f"wrote {video}")
    show(summary, as_json)


def show(summary: dict[str, Any], as_json: bool) -> None:
    """Print what an evaluation found."""
    if as_json:
        output.emit(summary)
    else:
        rows = output.evaluation_rows(summary)
        print(output.table(rows) if rows[0][0] else rows[0][1])
