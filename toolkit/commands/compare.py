"""``toolkit compare RUN RUN ...``: runs side by side, in numbers and as learning curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.commands import _output as output
from toolkit.entries import installed
from toolkit.errors import UsageError
from toolkit.training.run_directory import find_run

if TYPE_CHECKING:
    from toolkit.training.comparison import Compared


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN ...")
@click.option("--plot", metavar="FILE.png", help="Where the learning curves go; without it compare.png, or a free name like it.")
@click.option("--no-plot", is_flag=True, help="Draw nothing.")
@output.json_option
def compare_command(runs: tuple[str, ...], plot: str | None, no_plot: bool, as_json: bool) -> None:
    """Put RUNs side by side: evaluations with 95 % intervals, steps, time, steps a second; and draw their learning curves."""
    if plot and no_plot:
        raise UsageError("--plot and --no-plot are both given; allowed: one of them")
    if plot:
        output.require_matplotlib("--plot")
    output.require_new("--plot", plot)
    directories = [find_run(run)[0] for run in runs]
    from toolkit.files import unused
    from toolkit.training import comparison

    rows = [comparison.compared(directory) for directory in directories]
    drawn: Path | None = None
    if not no_plot and (plot or installed("matplotlib")):
        drawn = comparison.draw(directories, Path(plot) if plot else unused(Path("compare.png")))
    if as_json:
        output.emit({"runs": [row.json() for row in rows], "plot": str(drawn) if drawn else None})
        return
    print(table(rows))
    if drawn:
        output.talk(f"wrote {drawn}")
    elif not no_plot:
        output.talk("no learning curves: matplotlib is not installed. Install it: pip install matplotlib")


def table(rows: list[Compared]) -> str:
    """One column a run."""
    def line(title: str, values: list[Any]) -> list[str]:
        return [title, *("-" if value is None else str(value) for value in values)]

    metrics = list(dict.fromkeys(row.metric for row in rows if row.metric))
    lines = [line("", [Path(row.run).name for row in rows]), line("component", [row.name for row in rows]),
             line("on", [row.subject for row in rows]), line("preset", [row.preset for row in rows]),
             line("seed", [row.seed for row in rows]), line("status", [row.status for row in rows])]
    for metric in metrics:
        lines.append(line(metric.replace("_", " "), [score_text(row) if row.metric == metric else None for row in rows]))
    for name in dict.fromkeys(name for row in rows for name in row.others):
        values = [row.others.get(name) for row in rows]
        lines.append(line(name.replace("_", " "), [None if value is None else f"{value:.4g}" for value in values]))
    speeds = [None if row.steps_per_second is None else output.speed_text(row.steps_per_second) for row in rows]
    lines += [line("steps", [f"{row.steps:,} {row.unit}" for row in rows]),
              line("training time", [None if row.train_seconds is None else f"{row.train_seconds:.1f} s" for row in rows]),
              line("steps a second", speeds)]
    return output.table(lines)


def score_text(row: Compared) -> str:
    assert row.score is not None
    if row.low is None or row.high is None:
        return f"{row.score:.4g}"
    return f"{row.score:.4g} [{row.low:.4g}, {row.high:.4g}]"
