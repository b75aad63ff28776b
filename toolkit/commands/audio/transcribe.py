"""``toolkit audio transcribe RUN FILES``: what is said, with the times of the words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from toolkit.commands import _output as output
from toolkit.commands.audio._files import Batch, Source, through
from toolkit.commands.audio._runs import heard_run, pieces, sample_rate_option, sources_or_stdin
from toolkit.errors import UsageError


@click.command("transcribe")
@click.argument("run")
@click.argument("files", nargs=-1, required=True, metavar="FILES...")
@click.option("--stream", is_flag=True, help="Print each stretch with its times as soon as it is "
              "understood; word by word as it is said, where the run's model streams (streaming-conformer).")
@click.option("--window", type=float, default=20.0, show_default=True,
              help="Seconds that are heard at a time; at least 3. Less is answered sooner, more is heard with more around it.")
@click.option("--beam", type=click.IntRange(min=1), help="Texts kept in decoding; without it the run's own.")
@click.option("--language-model", metavar="FILE.arpa", help="Word n-grams that the beam also listens to.")
@click.option("--language-model-weight", type=click.FloatRange(min=0), help="What their log-probabilities count; without it as "
              "the run has it.")
@click.option("--word-bonus", type=float, help="Added for each word; without it as the run has it.")
@sample_rate_option
@output.json_option
def transcribe_command(run: str, files: tuple[str, ...], stream: bool, window: float, beam: int | None,
                       language_model: str | None, language_model_weight: float | None, word_bonus: float | None,
                       sample_rate: int, as_json: bool) -> int:
    """Write down what is said in FILES, by RUN, the run of the task speech-recognition.

    Files may be of any format, rate, number of channels and length: they are heard a window at a time, in constant memory.
    FILES may be - for raw samples from stdin:

    \b
    arecord -q -f S16_LE -r 16000 -t raw | toolkit audio transcribe RUN - --stream --window 4
    """
    if stream and as_json:
        raise UsageError("--stream prints as it goes and --json at the end; allowed: one of them")
    given = {"beam": beam, "language_model": language_model, "language_model_weight": language_model_weight,
             "word_bonus": word_bonus}
    loaded = heard_run(run, "speech-recognition", {name: value for name, value in given.items() if value is not None})
    problem = loaded.learner.problem
    batch = Batch()
    sources = sources_or_stdin(files, batch)

    def work(source: Source) -> dict[str, Any]:
        stretches = []
        for stretch in loaded.transcribe(*pieces(source, problem.spec.sample_rate, sample_rate, batch), window, stream):
            stretches.append(stretch)
            if stream and stretch.words:
                print(f"{stretch.words[0].start:9.2f} {stretch.words[-1].end:9.2f}  {stretch.text}", flush=True)
        words = [word for stretch in stretches for word in stretch.words]
        return {"path": source.clip.path, "text": " ".join(word.text for word in words),
                "duration": stretches[-1].end if stretches else 0.0,
                "words": [{"text": word.text, "start": word.start, "end": word.end} for word in words]}

    through(sources, batch, work, "listening")
    if as_json:
        output.emit({"files": batch.rows, "skipped": batch.problems})
    elif not stream:
        for line in lines(batch):
            print(output.printable(line))
    batch.say("heard")
    return batch.exit_code


def lines(batch: Batch) -> Iterator[str]:
    """The text alone of one file; with the file's name before it where there are several."""
    for row in batch.rows:
        yield row["text"] if len(batch.rows) == 1 else f"{row['path']}\t{row['text']}"
