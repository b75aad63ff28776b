"""``toolkit audio compare FILE --frontends A B``: how two definitions differ, in numbers and a picture."""

from __future__ import annotations

from typing import Any

import click

from toolkit.commands import _output as output
from toolkit.commands.audio._files import Batch, expanded
from toolkit.commands.audio._parts import Part, chosen_part, parts
from toolkit.commands.audio.features import check_picture, numbers, values_of
from toolkit.errors import UsageError


@click.command("compare", cls=parts(a=Part("frontend", "--frontends", place=0), b=Part("frontend", "--frontends", place=1)))
@click.argument("file")
@click.option("--frontends", nargs=2, required=True, metavar="A B", help="Two front ends; settings: --a.NAME, --b.NAME.")
@click.option("--plot", metavar="FILE", help="Draw both, and their difference where they have the same bins (.png, .svg, .pdf).")
@click.option("--overwrite", is_flag=True, help="Replace the picture where it exists.")
@output.json_option
def compare_command(file: str, frontends: tuple[str, str], plot: str | None, overwrite: bool, as_json: bool) -> int:
    """Compare two front ends on FILE: their settings, and their values where they have as many bins.

    \b
    toolkit audio compare speech.wav --frontends log-mel whisper-log-mel --plot difference.png
    toolkit audio compare speech.wav --frontends hifigan-mel tacotron2-mel
    """
    if plot:
        check_picture(plot, overwrite)
    elif overwrite:
        raise UsageError("--overwrite is for --plot FILE")
    batch = Batch()
    sources = list(expanded(file, batch))
    if len(sources) != 1:
        raise UsageError(f"compare takes one file; {file} holds {len(sources)} clips")
    chosen = [chosen_part("a"), chosen_part("b")]
    made = [part.make() for part in chosen]
    values = [values_of(frontend, sources[0], batch) for frontend in made]
    facts = {
        "file": file, "frontends": list(frontends),
        "settings": {name: {"a": one, "b": other} for name, (one, other) in made[0].spec.differences(made[1].spec).items()},
        "a": {"frames": len(values[0]), "bins": values[0].shape[1], **numbers(values[0])},
        "b": {"frames": len(values[1]), "bins": values[1].shape[1], **numbers(values[1])},
        "difference": difference(made, values)}
    if plot:
        draw(plot, frontends, made, values)
    output.emit(facts) if as_json else print(text_of(facts))
    return 0


def on_times_of(made: list[Any], values: list[Any]) -> Any:
    """The second's values [frames of the first, bins] at the first's frame centres, linearly between its frames."""
    import numpy as np

    times, own = (np.array(frontend.spec.times(len(rows))) for frontend, rows in zip(made, values))
    return np.stack([np.interp(times, own, column) for column in values[1].T], axis=1)


def difference(made: list[Any], values: list[Any]) -> dict[str, float | None] | None:
    """How the second's values differ from the first's; None where they have not as many bins.

    ``scale`` and ``shift`` are the line that fits them best, and ``left`` the mean absolute difference after it.
    """
    import numpy as np

    if values[0].shape[1] != values[1].shape[1]:
        return None
    one, other = values[0].astype(np.float64), on_times_of(made, values)
    gap = np.abs(other - one)
    spread = one.std() * other.std()
    correlation = float(((one - one.mean()) * (other - other.mean())).mean() / spread) if spread > 0 else None
    scale = correlation * other.std() / one.std() if correlation is not None else 0.0
    shift = float(other.mean() - scale * one.mean())
    return {"mean": float(gap.mean()), "largest": float(gap.max()), "correlation": correlation, "scale": float(scale),
            "shift": shift, "left": float(np.abs(other - scale * one - shift).mean())}


def draw(plot: str, names: tuple[str, str], made: list[Any], values: list[Any]) -> None:
    from toolkit.audio.plots import Panel, save_figure

    panels = [Panel(name, rows, frontend.spec) for name, rows, frontend in zip(names, values, made)]
    if values[0].shape[1] == values[1].shape[1]:
        gap = on_times_of(made, values) - values[0]
        panels.append(Panel(f"{names[1]} minus {names[0]}", gap, made[0].spec, centred=True))
    save_figure(panels, plot)
    output.talk(f"drew {plot}")


def text_of(facts: dict[str, Any]) -> str:
    a, b = facts["frontends"]
    rows = [("", a, b), *((name, str(pair["a"]), str(pair["b"])) for name, pair in facts["settings"].items())]
    rows += [(name, f"{facts['a'][name]:.6g}", f"{facts['b'][name]:.6g}") for name in ("frames", "bins", "least", "mean", "most")]
    blocks = [output.table(rows)]
    gap = facts["difference"]
    if gap is None:
        return blocks[0] + "\n\nvalues are not subtracted: the front ends have not as many bins"
    fit = f"{b} = {gap['scale']:.6g} x {a} + {gap['shift']:.6g}, mean absolute difference {gap['left']:.6g} from it"
    known = "none (one is constant)" if gap["correlation"] is None else f"{gap['correlation']:.6f}"
    blocks.append(output.table([("mean absolute difference", f"{gap['mean']:.6g}"), ("largest", f"{gap['largest']:.6g}"),
                                ("correlation", known), ("best line", fit)]))
    return "\n\n".join(blocks)
