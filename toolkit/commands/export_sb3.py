"""``toolkit export-sb3 RUN FILE.zip``: the policy of a run for Stable-Baselines3."""

from __future__ import annotations

import click

from toolkit.commands import _output as output
from toolkit.errors import UsageError
from toolkit.training.run_directory import find_run


@click.command("export-sb3")
@click.argument("run")
@click.argument("file", metavar="FILE.zip")
@output.json_option
def export_sb3_command(run: str, file: str, as_json: bool) -> None:
    """Write the policy of RUN as FILE.zip, which the library's PPO, A2C, DQN, SAC or TD3 loads.

    Of ppo, actor-critic, dqn, sac and td3 with an mlp, and of the agents sb3-*. Both choose the same actions on a thousand
    observations, or nothing is written.
    """
    directory, step = find_run(run)
    facts = directory.read()
    if facts["kind"] != "agent":
        raise UsageError(f"{run} is a run of the task {facts['name']}, which has no policy")
    from toolkit.registry import registry

    registry.get("agent", "sb3-ppo").load()  # or an error with the install command
    from toolkit.training.exchange import export_sb3

    target = export_sb3(directory, step, file)
    output.emit({"run": str(directory.path), "file": str(target)}) if as_json else print(target)
