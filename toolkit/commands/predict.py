"""``toolkit predict RUN [TEXT]``: what a trained model answers, for one text or a file of them."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click

from toolkit.commands import _output as output
from toolkit.commands._settings import TrainedCommand
from toolkit.core.summaries import finite
from toolkit.errors import ToolkitError, UsageError, did_you_mean
from toolkit.registry import registry
from toolkit.training.resolve import data_place
from toolkit.training.run_directory import find_run

ANSWERS = (".jsonl", ".ndjson", ".json")  # what a file of answers may end in
TEXTS = (".txt", ".md")  # of which lines are asked about
COLUMN = re.compile(r"\w[\w .()/%-]*")  # before "=", where a text may hold one: petal length (cm)


class Asked(NamedTuple):
    """What is asked about, and the number of its row, line or argument; ``value`` is None for a blank one."""

    number: int
    value: Any


@click.command("predict", cls=TrainedCommand)
@click.argument("run")
@click.argument("values", nargs=-1, metavar="[TEXT | FILE | COLUMN=VALUE]...")
@click.option("--input", "source", metavar="FILE", help="Ask about every row of a .csv, .tsv, .jsonl or .parquet file, or every "
                                                       "line of a .txt file; names of sound files in it count from its folder.")
@click.option("--output", "sink", metavar="FILE", help="Write the answers to this new .jsonl file instead of stdout.")
@output.json_option
@click.pass_context
def predict_command(ctx: click.Context, run: str, values: tuple[str, ...], source: str | None, sink: str | None,
                    as_json: bool) -> int:
    """Ask the model of RUN, the run of a task on data: about texts, sound files or one row, each an argument, or about what
    comes from stdin where the only one is -: lines, or for a table CSV with a header or JSON Lines.

    Each line or row has a line of output, so that paste puts them side by side; it is empty for a blank one, and for one that
    cannot be answered, which stderr names (exit code 1). With --json and --output every answer has its row: the line that an
    editor shows, the header of a CSV file being row 1; one that cannot be answered has an error, a blank line nothing.

    What RUN can be given anew (--beam 8 of speech-recognition), toolkit predict RUN --help lists.

    \b
    toolkit predict latest "What a wonderful film!"
    toolkit predict latest age=40 town=Ulm
    toolkit predict latest --input reviews.csv --output answers.jsonl
    ls *.wav | toolkit predict latest -
    """
    task = require_task(run)
    if values == ("-",) and not source:
        values, source = (), "-"
    if bool(values) == bool(source):
        example = "COLUMN=VALUE COLUMN=VALUE" if data_place(registry.get("task", task)).fits == "columns" else '"some text"'
        raise UsageError("predict takes texts, sound files or COLUMN=VALUE pairs, - for stdin, or --input FILE, one of them: "
                         f"toolkit predict {shlex.quote(run)} {example}")
    if "metrics" in ctx.meta["settings"]:
        raise UsageError("--metrics holds answers against what they should be, which predict does not know: "
                         f"toolkit evaluate {shlex.quote(run)} --metrics {ctx.meta['settings']['metrics']}")
    output.require_new("--output", sink)
    if sink and Path(sink).suffix.lower() not in ANSWERS:
        raise UsageError(f"--output {sink}: the answers are JSON Lines, an object in each line. Name a file that ends in "
                         f"{', '.join(ANSWERS)}: --output {Path(sink).with_suffix('.jsonl')}")
    from toolkit.training.api import load

    if sink:
        Path(sink).parent.mkdir(parents=True, exist_ok=True)
    loaded: Any = load(run, **ctx.meta["settings"])
    asked = rows_of(source, loaded.learner.problem.asked_by_rows) if source else parsed(values, loaded.learner.problem)
    answers = answers_of(loaded, asked, source)
    if values and len(answers) == 1 and isinstance(answers[0], ToolkitError):
        raise answers[0]
    kept = [numbered(*pair) for pair in zip(asked, answers, strict=True) if pair[1] is not None]
    whose = "argument" if values else f"{'stdin' if source == '-' else source}, row"
    failed = [f"{whose} {row['row']}: {row['error']}" for row in kept if "error" in row]
    if sink:
        inputs = {one.number: one.value for one in asked}
        lines = [json.dumps(finite({"input": inputs[row["row"]], **row}), ensure_ascii=False, default=str) + "\n" for row in kept]
        Path(sink).write_text("".join(lines), encoding="utf-8", errors="backslashreplace")  # half a pair, as JSON has it
        output.talk(f"wrote {len(kept) - len(failed):,} answers to {sink}{f', and {len(failed):,} errors' if failed else ''}")
    elif as_json:
        output.emit({"run": run, "answers": kept})
    else:
        for answer in answers:
            print("" if answer is None or isinstance(answer, ToolkitError) else output.printable(answer_text(answer)))
    for line in failed:
        output.talk(line)
    return int(bool(failed))


def answers_of(loaded: Any, asked: list[Asked], source: str | None) -> list[Any]:
    """For each an answer, the error that says why there is none, or None for a blank line."""
    problem = loaded.learner.problem
    wanted = [one.value for one in asked if one.value is not None]
    if source and (source != "-" or problem.asked_by_rows):
        wanted = problem.asked(wanted, Path(source if source != "-" else "stdin"))
    with progress_bar(len(wanted)) as progress:
        found = iter(loaded.answers(wanted, progress))
    return [None if one.value is None else next(found) for one in asked]


def numbered(one: Asked, answer: Any) -> dict[str, Any]:
    """The answer, or the error, with the number of its row."""
    if isinstance(answer, ToolkitError):
        return {"row": one.number, "error": str(answer).removeprefix(f"row {one.number}: ")}
    return {"row": one.number, **answer}


def require_task(run: str) -> str:
    """The name of RUN's task. Raises UsageError unless it has one, before anything heavy is imported."""
    directory, _ = find_run(run)
    facts = directory.read()
    if facts.get("kind") != "task":
        raise UsageError(f"{run} is the run of an agent, which acts and does not answer. "
                         f"Judge it: toolkit evaluate {shlex.quote(run)}")
    return str(facts["name"])


def parsed(values: tuple[str, ...], problem: Any) -> list[Asked]:
    """Texts as they are, blank ones as blank lines are; words that all give a column that the model looks at are one row.

    Raises UsageError for a column that the model does not look at, for one that is given twice, and for - beside others.
    """
    if "-" in values:
        raise UsageError("predict: - stands for stdin, and goes alone: toolkit predict RUN -")
    known, row = problem.asked_columns, dict[str, str]()
    pairs = [(name := column_in(value, known or ()), value.startswith(f"{name}="), value[len(name) + 1:]) for value in values]
    if problem.asked_by_rows:
        is_row = any(equals for _, equals, _ in pairs)
    else:  # a text may hold an equals sign
        is_row = all(equals and (COLUMN.fullmatch(name) if known is None else name in known) for name, equals, _ in pairs)
    if not is_row:
        blank = not problem.asked_by_rows  # for rows it is one more thing that is none
        return [Asked(number, None if blank and not value.strip() else value) for number, value in enumerate(values, 1)]
    for name, equals, text in pairs:
        if not equals:
            raise UsageError(f"predict: got {name!r} beside columns; allowed: COLUMN=VALUE")
        if known is not None and name not in known:
            raise UsageError(f"predict: {name}={text}: the model looks at no column {name!r}.{did_you_mean(name, known)} "
                             f"Allowed: {', '.join(known)}")
        if name in row:
            raise UsageError(f"predict: {name} is given twice, as {row[name]!r} and as {text!r}; allowed: one of them")
        row[name] = text
    return [Asked(1, row)]


def column_in(word: str, known: Sequence[str]) -> str:
    """The column that a word names before an equals sign, which names may hold too: the longest of those ``known``."""
    return max((name for name in known if word.startswith(f"{name}=")), key=len, default=word.partition("=")[0])


def rows_of(source: str, by_rows: bool) -> list[Asked]:
    """The rows of a file, or the lines of a text where it may be asked about other things than rows."""
    if source == "-":
        return from_stdin(by_rows)
    from toolkit.core.rows import number_of

    path = Path(source)
    if not path.exists():
        raise UsageError(f"--input {source}: there is no such file")
    readers: dict[str, str] = {}
    for entry in registry.entries("dataset", plugins=False):
        for ending in entry.accepts:
            readers.setdefault(ending, entry.name)  # plain rows; what a row holds is for the task to say
    if path.suffix.lower() in TEXTS and not by_rows:
        (whole,) = registry.make("dataset", "text", path=str(path), by="file").read()
        return lines_of(whole["text"])
    if path.suffix.lower() not in readers or path.suffix.lower() in TEXTS:
        endings = ", ".join(sorted(ending for ending in readers if ending.startswith(".") and not (by_rows and ending in TEXTS)))
        raise UsageError(f"--input {source}: allowed are files ending in {endings}")  # "/" is a folder's
    dataset = registry.make("dataset", readers[path.suffix.lower()], path=str(path))
    dataset.asked = True
    return [Asked(number_of(row, place), row) for place, row in enumerate(dataset.read())]


def from_stdin(by_rows: bool) -> list[Asked]:
    """The lines of stdin, or the rows of a table that comes from there."""
    from toolkit.core.rows import csv_rows, json_rows

    try:
        text = sys.stdin.buffer.read().decode("utf-8")  # what sys.stdin itself does with other bytes depends on the locale
    except UnicodeDecodeError as error:
        raise UsageError(f"stdin: byte {error.start} is not UTF-8; give it as UTF-8") from error
    text = io.StringIO(text.removeprefix("\ufeff"), newline=None).read()  # lines end as they do in a file
    if not by_rows:
        if not text.strip():
            raise UsageError("stdin holds no lines; allowed: a text, or the name of a file, in each")
        return lines_of(text)
    lines = io.StringIO(text, newline="")
    rows = list(json_rows(lines) if text.lstrip().startswith("{") else csv_rows(lines, Path("stdin"), nameless=True))
    if not rows:
        raise UsageError("stdin holds no rows; allowed: CSV with a header, or JSON Lines, an object in each")
    return [Asked(row.number, row) for row in rows]


def lines_of(text: str) -> list[Asked]:
    """The lines of a text, blank ones too."""
    return [Asked(number, line if line.strip() else None) for number, line in enumerate(text.removesuffix("\n").split("\n"), 1)]


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
    return words_of(answer).replace("\n", "\\n")


def words_of(answer: Any) -> str:
    if "label" in answer:
        return f"{answer['label']}\t{answer['probability']:.4f}"
    if "tags" in answer:
        return " ".join(answer["tags"])
    if "masks" in answer:
        return "\t".join([answer["text"], *(f"{mask[0]['token']} {mask[0]['probability']:.4f}" for mask in answer["masks"])])
    if len(answer) == 1:
        value = next(iter(answer.values()))
        return number_text(value) if isinstance(value, float) else str(value)
    return json.dumps(answer, ensure_ascii=False)


def number_text(value: float) -> str:
    """A number with as many digits as tell it from its neighbours in float32, in which models compute: six at least."""
    import numpy as np

    texts = (f"{value:.{digits}g}" for digits in (6, 7, 8, 9))
    with np.errstate(over="ignore"):
        return next((text for text in texts if np.float32(text) == np.float32(value)), repr(value))
