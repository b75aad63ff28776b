"""``toolkit audio features FILES``: what a front end makes of sound, as numbers, a picture or a folder of arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from toolkit.audio import store
from toolkit.commands import _output as output
from toolkit.commands.audio._files import Batch, Source, bar, files_argument, finished, sources_of, through
from toolkit.commands.audio._parts import Chosen, Part, chosen_part, parts
from toolkit.errors import UsageError

FRONTEND = "log-mel"
COLUMNS = ("path", "frames", "bins", "least", "mean", "most")
MOST_PANELS = 6


@click.command("features", cls=parts(frontend=Part("frontend", "--frontend", FRONTEND)))
@files_argument
@click.option("--frontend", default=FRONTEND, show_default=True, metavar="NAME", help="See: toolkit list frontend")
@click.option("--plot", metavar="FILE", help="Draw them: a .png, .svg or .pdf; at most "
                                             f"{MOST_PANELS} clips, under one another.")
@click.option("--out", metavar="DIR", help="Keep them: memory-mapped arrays and a manifest; what is there already, by content "
                                           "and settings, is not computed again.")
@click.option("--workers", default=0, show_default=True, type=click.IntRange(min=0), help="Processes for --out; 0 is this one.")
@click.option("--overwrite", is_flag=True, help="Replace the picture, or a list in DIR that names other clips.")
@output.json_option
def features_command(files: tuple[str, ...], frontend: str, plot: str | None, out: str | None, workers: int, overwrite: bool,
                     as_json: bool) -> int:
    """Features of FILES (mono, resampled to the front end's rate).

    \b
    toolkit audio features speech.wav --frontend mfcc --frontend.n-mfcc 13 --plot mfcc.png
    toolkit audio features recordings --frontend log-mel --out features --workers 2
    """
    if plot and out:
        raise UsageError("--plot and --out are two jobs: give one of them")
    if plot:
        check_picture(plot, overwrite)
    if workers and not out:
        raise UsageError("--workers is for --out DIR")
    if overwrite and not (plot or out):
        raise UsageError("--overwrite is for --plot FILE and --out DIR")
    batch = Batch()
    chosen = chosen_part("frontend")
    sources = sources_of(files, batch)
    if plot and len(sources) > MOST_PANELS:
        raise UsageError(f"--plot draws at most {MOST_PANELS} clips; got {len(sources)}. Name fewer FILES")
    if out:
        return keep(sources, chosen, out, workers, overwrite, batch, as_json)
    return show(sources, chosen, plot, batch, as_json)


def check_picture(plot: str, overwrite: bool) -> None:
    """Raise MissingExtra or UsageError where the picture could not or may not be drawn, before anything is computed."""
    output.require_matplotlib("--plot")
    from toolkit.audio.plots import check_suffix

    check_suffix(plot)
    if Path(plot).exists() and not overwrite:
        raise UsageError(f"{plot} exists. Choose another name, or add --overwrite")


def show(sources: list[Source], chosen: Chosen, plot: str | None, batch: Batch, as_json: bool) -> int:
    """Numbers about each clip's features and, where asked, their picture."""
    made = chosen.make()
    panels: list[Any] = []

    def work(source: Source) -> dict[str, Any]:
        values = values_of(made, source, batch)
        if plot:
            from toolkit.audio.plots import Panel

            panels.append(Panel(output.printable(f"{source.name}: {chosen.name}"), values, made.spec))
        return {"path": source.clip.path, "frames": len(values), "bins": values.shape[1], **numbers(values)}

    through(sources, batch, work, "computing")
    if plot and panels:
        from toolkit.audio.plots import save_figure

        save_figure(panels, plot)
        output.talk(f"drew {plot}")
    return finished(batch, as_json, COLUMNS, "computed features of")


def values_of(frontend: Any, source: Source, batch: Batch) -> Any:
    """The features [frames, bins] of a clip as an array; ``batch`` shows how far it is.

    Raises AudioError; also where the clip gives no frame.
    """
    import numpy as np

    values = np.concatenate(list(store.blocks_of(frontend, source.clip, batch.heard)))
    if not len(values):
        raise store.too_short(frontend, source.clip)
    return values


def numbers(values: Any) -> dict[str, float]:
    return {"least": float(values.min()), "mean": float(values.mean()), "most": float(values.max())}


def keep(sources: list[Source], chosen: Chosen, out: str, workers: int, overwrite: bool, batch: Batch,
         as_json: bool) -> int:
    """The features of every clip in a folder."""
    with bar("computing", len(sources)) as batch.bar:
        found = store.extract([source.clip for source in sources], chosen.name, chosen.options, out, workers,
                              lambda done: batch.bar.done(), batch.heard, overwrite)
    for problem in found.problems:
        batch.skip(problem)
    frames = sum(clip.more["frames"] for clip in found.clips)
    facts = {"out": out, "clips": len(found.clips), "reused": found.reused, "frames": frames, "skipped": batch.problems}
    if as_json:
        output.emit(facts)
    else:
        rows = [("folder", out), ("clips", f"{len(found.clips):,} ({found.reused:,} were there already)"),
                ("frames", f"{frames:,}"), ("skipped", str(len(batch.problems)))]
        print(output.table(rows))
    return batch.exit_code
