"""``toolkit audio classify RUN FILES``: what sounds are, whole or stretch by stretch."""

from __future__ import annotations

from typing import Any

import click

from toolkit.audio import io
from toolkit.commands import _output as output
from toolkit.commands.audio._files import Batch, Source, finished, through
from toolkit.commands.audio._runs import heard_run, pieces, sample_rate_option, sources_or_stdin


@click.command("classify")
@click.argument("run")
@click.argument("files", nargs=-1, required=True, metavar="FILES...")
@click.option("--every", type=float, metavar="SECONDS", help="An answer for each stretch of so many seconds, in constant memory; "
                                                             "without it one for the whole file.")
@sample_rate_option
@output.json_option
def classify_command(run: str, files: tuple[str, ...], every: float | None, sample_rate: int, as_json: bool) -> int:
    """Tell what FILES are, by RUN, the run of a task that tells clips apart; - means raw samples from stdin."""
    loaded = heard_run(run, "audio-classification")
    batch = Batch()
    sources = sources_or_stdin(files, batch)

    def work(source: Source) -> dict[str, Any]:
        answers = loaded.classify(*pieces(source, loaded.learner.problem.spec.sample_rate, sample_rate, batch), every)
        if not answers:
            raise io.AudioError(f"{source.clip.path}: no sound came")
        if every is None:
            return {"path": source.clip.path, **answers[0]}
        return {"path": source.clip.path, "stretches": answers}

    through(sources, batch, work, "listening")
    if every is not None and not as_json:
        rows = [[row["path"], f"{item['start']:.2f}", f"{item['end']:.2f}", answer_of(item)]
                for row in batch.rows for item in row["stretches"]]
        print(output.table(rows))
        batch.say("heard")
        return batch.exit_code
    return finished(batch, as_json, ("path", *columns(batch)), "heard")


def columns(batch: Batch) -> list[str]:
    """What there is to show of the answers: numbers and words, not tables."""
    usual = ("path", "start", "end")
    return [name for name, value in (batch.rows[0] if batch.rows else {}).items()
            if name not in usual and isinstance(value, (str, float, int))]


def answer_of(item: dict[str, Any]) -> str:
    if "label" in item:
        return f"{item['label']}  {item['probability']:.4f}"
    return "  ".join(f"{name} {value:.4g}" for name, value in item.items()
                     if isinstance(value, float) and name not in ("start", "end"))
