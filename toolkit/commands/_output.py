"""How commands speak: results to stdout, as text or as one JSON object; talk to stderr."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

import click

from toolkit.core.summaries import finite, interval_of, numbers_of
from toolkit.entries import installed
from toolkit.errors import MissingExtra, UsageError
from toolkit.files import occupied

# When Python began: until here it has had nothing to wait for. The kernel's start of the process may be that of a shell, which
# became this program after an installation.
STARTED = time.monotonic() - time.process_time()

results: TextIO | None = None  # where `emit` writes while `alone` keeps all else from standard output


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep standard output for `emit`: what an environment, a library or a worker process prints goes to standard error."""
    global results
    shown = sys.stdout
    if shown is None or results is not None:
        yield
        return
    with contextlib.ExitStack() as stack:
        results = shown
        # The process of a command: C libraries write to its output beside Python, and so do its children.
        if shown is sys.__stdout__ and isinstance(shown, TextIOWrapper) and shown.fileno() == 1:
            shown.flush()
            results = stack.enter_context(open(os.dup(1), "w", encoding=shown.encoding, errors=shown.errors))
            stack.callback(os.dup2, results.fileno(), 1)
            os.dup2(2, 1)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        finally:
            results = None


def keep_alone(context: click.Context, _: click.Parameter, wanted: bool) -> bool:
    """Where JSON is ``wanted``, `alone` until the command has ended."""
    if wanted:
        context.with_resource(alone())
    return wanted


json_option = click.option("--json", "as_json", is_flag=True, callback=keep_alone, help="Print one JSON object to stdout.")


def emit(value: Any) -> None:
    """Print ``value`` as JSON; infinities and NaN become null, which JSON can hold, and complex numbers text."""
    print(json.dumps(finite(value)), file=results, flush=results is not None)


def printable(text: str) -> str:
    """Text as any output takes it: half of a pair (``\\ud83d``), which no encoding has, as JSON writes it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def talk(text: str) -> None:
    """A remark for the person at the terminal."""
    print(text, file=sys.stderr)


def require_new(flag: str, path: str | None) -> None:
    """Raise UsageError where ``flag`` names what is there already, be it a file or a folder that holds something."""
    if path and occupied(Path(path)):
        kind = "folder" if Path(path).is_dir() else "file"
        raise UsageError(f"{flag} {path}: it exists, and nothing is overwritten. Name another {kind}")


def require_matplotlib(flag: str) -> None:
    """Raise MissingExtra where ``flag`` asks for a picture and nothing can draw it: before the work, not after it."""
    if not installed("matplotlib"):
        raise MissingExtra(f"{flag} needs 'matplotlib', which is not installed. Install it: pip install matplotlib, or leave "
                           f"out {flag}")


def table(rows: Iterable[Sequence[str]], indent: int = 0) -> str:
    """Rows as aligned columns; the last column is not padded."""
    rows = [tuple(printable(str(cell)) for cell in row) for row in rows]
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = ("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows)
    return "\n".join(" " * indent + line.rstrip() for line in lines)


def session_json(session: Any, wall_seconds: float) -> dict[str, Any]:
    """The JSON object of ``run`` and ``resume``; the speed is null where this process has trained nothing."""
    outcome = session.outcome
    taken = outcome.steps - session.start
    speed = round(taken / outcome.train_seconds, 3) if taken and outcome.train_seconds else None
    return {
        "run": str(session.directory.path), "steps": outcome.steps, "resumed_from": session.resumed_from,
        "wall_seconds": round(wall_seconds, 3), "train_seconds": round(outcome.train_seconds, 3),
        "steps_per_second": speed, "parameters_sha256": outcome.parameters_sha256,
        "evaluation": dict(outcome.evaluation.summary),
    }


def session_text(facts: dict[str, Any]) -> str:
    """The same for a person."""
    (first, text), *others = evaluation_rows(facts["evaluation"])
    speed = facts["steps_per_second"]
    steps, took = f"{facts['steps']:,}", f"{facts['wall_seconds']:.1f} s"
    if speed is not None:
        steps, took = f"{steps} ({speed_text(speed)} a second)", f"{took}, of which {facts['train_seconds']:.1f} s training"
    rows = [("run", facts["run"]), ("steps", steps),
            ("evaluation", f"on {first}: {text}" if first else text), *((f"  {split}", more) for split, more in others),
            ("time", took), ("next", f"toolkit evaluate {shlex.quote(facts['run'])}")]
    return table(rows)


def speed_text(speed: float) -> str:
    """Steps a second: whole ones, of few two digits."""
    return f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"


def evaluation_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """What an evaluation found: a row without a name for an agent; for a task one for each split under the split's name."""
    if "mean_return" in summary:
        return [("", f"mean return {summary['mean_return']:.1f}, standard deviation {summary['std_return']:.1f}, "
                     f"over {summary['episodes']} episodes{measures_text(summary)}")]
    main = str(summary.get("split", ""))
    splits: dict[str, list[str]] = {main: []}
    for name, value in numbers_of(summary).items():
        metric, _, split = name.partition("/")
        splits.setdefault(split or main, []).append(f"{metric} {value:.4g}{interval_text(name, summary)}")
    return [(split, ", ".join(texts)) for split, texts in splits.items()]


def interval_text(name: str, summary: dict[str, Any]) -> str:
    """`` [0.95, 0.98]`` where the metric has an interval."""
    ends = interval_of(name, summary)
    return "" if ends is None else f" [{ends[0]:.4g}, {ends[1]:.4g}]"


def measures_text(summary: dict[str, Any]) -> str:
    """What the environment measures itself: ``; success 0.97``."""
    usual = {"mean_return", "std_return", "episodes", "returns"}
    found = [f"{name.replace('_', ' ')} {value:.3g}" for name, value in summary.items() if name not in usual]
    return "; " + ", ".join(found) if found else ""


def process_seconds() -> float:
    """Seconds since Python began in this process."""
    return time.monotonic() - STARTED
