"""``toolkit load-sb3 FILE.zip --env ID --trust``: a policy of Stable-Baselines3 as a run."""

from __future__ import annotations

import click

from toolkit.commands import _output as output


@click.command("load-sb3")
@click.argument("file", metavar="FILE.zip")
@click.option("--env", required=True, metavar="ID", help="The environment that the policy acts in.")
@click.option("--trust", is_flag=True, help="The file is a pickle, which executes what it holds: you know where it is from.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the evaluation.")
@click.option("--out", metavar="DIR", help="The run's folder; without it a new one under ./runs.")
@output.json_option
def load_sb3_command(file: str, env: str, trust: bool, seed: int, out: str | None, as_json: bool) -> None:
    """Turn a policy that Stable-Baselines3 has saved (ppo, a2c, dqn, sac, td3) into a run, and evaluate it.

    The run holds tensors and numbers alone; evaluating or resuming it reads no pickle. Of a policy that was trained under
    VecNormalize the file does not hold the statistics, and without them it plays badly: leave that wrapper out, or train here
    (toolkit run sb3-ppo, or ppo with --normalize-observations).
    """
    from toolkit.registry import registry

    registry.get("agent", "sb3-ppo").load()  # or an error with the install command
    from toolkit.training.exchange import load_sb3

    session = load_sb3(file, env, trust, out, seed)
    facts = output.session_json(session, output.process_seconds())
    output.emit(facts) if as_json else print(output.session_text(facts))
