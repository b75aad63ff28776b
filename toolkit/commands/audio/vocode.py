"""``toolkit audio vocode MODEL IN OUT``: analysis and synthesis of a sound file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.audio.vocoder_configs import PRECISIONS
from toolkit.commands import _output as output
from toolkit.errors import UsageError, did_you_mean
from toolkit.registry import registry

if TYPE_CHECKING:
    from torch import Tensor


@click.command("vocode")
@click.argument("model", metavar="RUN|VOCODER")
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option("--plot", is_flag=True, help="Also draw both spectrograms side by side, into OUT with the ending .png.")
@click.option("--precision", type=click.Choice(PRECISIONS), default="float32", show_default=True,
              help="Numbers of the products. bfloat16 is faster on processors with its tiles (AMX), slower on others.")
@click.option("--overwrite", is_flag=True, help="Replace OUT where it exists.")
@output.json_option
def vocode_command(model: str, source: str, target: str, plot: bool, precision: str, overwrite: bool, as_json: bool) -> int:
    """Turn the sound file IN into mel frames and back into sound, OUT, by a run of the task vocoder.

    A vocoder that needs no training goes by its name: griffin-lim.
    """
    if plot:
        output.require_matplotlib("--plot")
    from toolkit.audio import io
    from toolkit.audio.vocoders.base import turn
    from toolkit.audio.vocoders.task import distances, synthesised

    picture = Path(target).with_suffix(".png")
    for path in (Path(target), *([picture] if plot else [])):
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists. Choose another name, or add --overwrite")
    vocoder = vocoder_of(model)
    if precision != "float32":  # which loading a run has turned it into
        turn(vocoder, precision, model)
    rate = vocoder.spec.sample_rate
    sound = io.load(source, rate, mono=True)[0][0]
    try:
        made, mel, factor = synthesised(vocoder, sound)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error
    io.save(target, made.clamp(-1, 1), rate, overwrite=overwrite)
    facts: dict[str, Any] = {"out": target, "sample_rate": rate, "duration": round(len(made) / rate, 6),
                             "real_time_factor": round(factor, 6), **distances(made, sound, vocoder.frontend)}
    if plot:
        draw(picture, mel, vocoder.frontend(made)[0], vocoder.spec)
        facts["plot"] = str(picture)
    if as_json:
        output.emit(facts)
    else:
        print(output.table([[name, f"{value:.6g}" if isinstance(value, float) else str(value)] for name, value in facts.items()]))
    return 0


def vocoder_of(model: str) -> Any:
    """The vocoder of a run, or one by name that has nothing to learn. Raises UsageError."""
    known = {name for entry in registry.entries("vocoder") for name in (entry.name, entry.id)}
    if model in known and not Path(model).exists():
        made = registry.make("vocoder", model)
        if any(True for _ in made.parameters()):
            raise UsageError(f"{model} has not learned anything yet. Train it: "
                             f"toolkit run vocoder --model {model} --data FOLDER, and name the run")
        return made
    from toolkit.training.run_directory import find_run

    if model != "latest" and not Path(model).exists():
        raise UsageError(f"{model} is neither a run nor a vocoder.{did_you_mean(model, known)} Vocoders: toolkit list vocoder. "
                         "Train one: toolkit run vocoder --data FOLDER, and name the run")
    from toolkit.training.learners import load_learner

    directory, step = find_run(model)
    vocoder = getattr(load_learner(directory, step).model, "vocoder", None)
    if vocoder is None:
        raise UsageError(f"{directory.path} is not a run of the task vocoder. Train one: toolkit run vocoder --data FOLDER")
    return vocoder


def draw(path: Path, original: Tensor, made: Tensor, spec: Any) -> None:
    """Log mel frames of the original and the made sound side by side, as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, sharey=True)
    low, high = float(original.min()), float(original.max())
    for axis, frames, title in zip(axes, (original, made), ("original", "synthesised"), strict=True):
        image = axis.imshow(frames.T.numpy(), origin="lower", aspect="auto", vmin=low, vmax=high, cmap="magma",
                            extent=(0, len(frames) / spec.frame_rate, 0, spec.bins))
        axis.set(title=title, xlabel="seconds", ylabel="mel band")
    figure.colorbar(image, ax=list(axes), label="log mel")
    figure.savefig(path, dpi=110)
