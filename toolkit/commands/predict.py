"""``toolkit predict RUN [TEXT]``: what a trained model answers, for one text or a file of them."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from toolkit.commands import _output as output
from toolkit.errors import UsageError
from toolkit.training.run_directory import find_run

COLUMN = re.compile(r"\w[\w .()/%-]*")  # a column's name before "=": petal length (cm)


@click.command("predict")
@click.argument("run")
@click.argument("values", nargs=-1, metavar="[TEXT | FILE | COLUMN=VALUE]...")
@click.option("--input", "source", metavar="FILE", help="Ask about every row of a .csv, .tsv, .jsonl or .parquet file, or every "
                                                       "line of a .txt file; names of sound files in it count from its folder.")
@click.option("--output", "sink", metavar="FILE", help="Write the answers to this new .jsonl file instead of stdout.")
@output.json_option
def predict_command(run: str, values: tuple[str, ...], source: str | None, sink: str | None, as_json: bool) -> None:
    """Ask the model of RUN, the run of a task on data: about texts, sound files or one row, each an argument, or about the
    lines that come from stdin where the only one is -.

    \b
    toolkit predict latest "What a wonderful film!"
    toolkit predict latest age=40 town=Ulm
    toolkit predict latest --input reviews.csv --output answers.jsonl
    ls *.wav | toolkit predict latest -
    """
    require_task(run)
    if values == ("-",) and not source:
        values, source = (), "-"
    if bool(values) == bool(source):
        raise UsageError('predict takes texts, sound files or COLUMN=VALUE pairs, - for the lines of stdin, or --input FILE, one '
                         'of them: toolkit predict RUN "some text"')
    output.require_new("--output", sink)
    from toolkit.training.api import load

    if sink:
        Path(sink).parent.mkdir(parents=True, exist_ok=True)
    loaded: Any = load(run)
    asked = rows_of(source) if source else parsed(values)
    wanted = loaded.learner.problem.asked(asked, Path(source)) if source and source != "-" else asked
    with progress_bar(len(asked)) as progress:
        answers = loaded.predict(wanted, progress)
    if sink:
        Path(sink).write_text("".join(json.dumps({"input": one, **answer}, ensure_ascii=False) + "\n"
                                      for one, answer in zip(asked, answers, strict=True)), encoding="utf-8")
        output.talk(f"wrote {len(answers):,} answers to {sink}")
    elif as_json:
        output.emit({"run": run, "answers": answers})
    else:
        for answer in answers:
            print(answer_text(answer))


def require_task(run: str) -> None:
    """Raise UsageError unless RUN is a task's, before anything heavy is imported."""
    directory, _ = find_run(run)
    if directory.read().get("kind") != "task":
        raise UsageError(f"{run} is the run of an agent, which acts and does not answer. "
                         f"Judge it: toolkit evaluate {shlex.quote(run)}")


def parsed(values: tuple[str, ...]) -> list[Any]:
    """Texts as they are; words that are all COLUMN=VALUE are one row."""
    pairs = [value.partition("=") for value in values]
    if all(equals and COLUMN.fullmatch(name) for name, equals, _ in pairs):
        return [{name: text for name, _, text in pairs}]
    return list(values)


def rows_of(source: str) -> list[Any]:
    """The rows of a file, or the lines of a text."""
    if source == "-":
        try:
            lines = [line.rstrip("\r\n") for line in sys.stdin if line.strip()]
        except UnicodeDecodeError as error:
            raise UsageError("what comes from stdin is not UTF-8") from error
        if not lines:
            raise UsageError("stdin holds no lines; allowed: a text, or the name of a file, in each")
        return list(lines)
    from toolkit.registry import registry

    path = Path(source)
    if not path.exists():
        raise UsageError(f"--input {source}: there is no such file")
    readers: dict[str, str] = {}
    for entry in registry.entries("dataset", plugins=False):
        for ending in entry.accepts:
            readers.setdefault(ending, entry.name)  # plain rows; what a row holds is for the task to say
    if path.suffix.lower() in (".txt", ".md"):
        return [row["text"] for row in registry.make("dataset", "text", path=str(path), by="line").read()]
    if path.suffix.lower() not in readers:
        endings = ", ".join(sorted(ending for ending in readers if ending.startswith(".")))  # "/" is a folder's
        raise UsageError(f"--input {source}: allowed are files ending in {endings}")
    rows: list[Any] = registry.make("dataset", readers[path.suffix.lower()], path=str(path)).read()
    return rows


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[int], None] | None]:
    """A bar on stderr where that is a terminal; else None."""
    if not sys.stderr.isatty() or total < 2:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("asking", total=total)
        yield lambda count: bar.advance(task, count)


def answer_text(answer: Any) -> str:
    """One line for a person."""
    if "label" in answer:
        return f"{answer['label']}\t{answer['probability']:.4f}"
    if "tags" in answer:
        return " ".join(answer["tags"])
    if "masks" in answer:
        return "\t".join([answer["text"], *(f"{mask[0]['token']} {mask[0]['probability']:.4f}" for mask in answer["masks"])])
    if len(answer) == 1:
        value = next(iter(answer.values()))
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    return json.dumps(answer, ensure_ascii=False)
