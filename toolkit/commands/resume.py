"""``toolkit resume RUN``: continue a run exactly where its last checkpoint was."""

from __future__ import annotations

import shlex

import click

from toolkit.commands import _output as output
from toolkit.commands.run import report
from toolkit.errors import UsageError
from toolkit.training.run_directory import find_run


@click.command("resume")
@click.argument("run")
@click.option("--steps", type=click.IntRange(min=1), help="A new budget, in all; schedules follow the new curve.")
@click.option("--epochs", type=click.FloatRange(min=0, min_open=True), help="The same in epochs, for the run of a task on data.")
@click.option("--final-episodes", type=click.IntRange(min=1), help="Episodes of the evaluation at the end, for the run of an "
                                                                   "agent; without it as many as the run was begun with.")
@click.option("--from", "step", type=click.IntRange(min=0), help="Continue from this checkpoint instead of the last.")
@output.json_option
def resume_command(run: str, steps: int | None, epochs: float | None, final_episodes: int | None, step: int | None,
                   as_json: bool) -> None:
    """Continue RUN (a run folder, one of its checkpoints, or latest) to the end of its budget.

    The result equals that of a run that was never stopped. A finished run is left as it is unless
    --steps or --epochs extends it.
    """
    directory, named = find_run(run)
    begin = named if step is None else step
    facts = directory.read()
    if facts.get("status") == "finished" and begin is None and epochs is None and steps in (None, facts["steps"]):
        flag = "--epochs" if facts["kind"] == "task" else "--steps"
        if final_episodes is not None:
            episodes = f" --episodes {final_episodes}" if facts["kind"] == "agent" else ""
            raise UsageError(f"--final-episodes {final_episodes}: {run} is finished. Judge it again: toolkit evaluate "
                             f"{shlex.quote(run)}{episodes}, or extend it: toolkit resume {shlex.quote(run)} {flag} N")
        output.talk(f"{directory.path} is finished ({facts['steps']:,} {facts['unit']}). "
                    f"Extend it: toolkit resume {shlex.quote(run)} {flag} N")
        already = {"run": str(directory.path), "steps": facts["steps"], "resumed_from": facts["steps"],
                   "wall_seconds": round(output.process_seconds(), 3), "train_seconds": 0.0, "steps_per_second": None,
                   "parameters_sha256": facts["parameters_sha256"], "evaluation": facts["evaluation"]}
        if as_json:
            output.emit(already)
        return
    from toolkit.training import sessions

    report(sessions.resume(directory, begin, steps, epochs, final_episodes), as_json)
