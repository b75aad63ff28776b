"""``toolkit audio export --frontend NAME --out FILE``: a front end that runs without toolkit."""

from __future__ import annotations

from pathlib import Path

import click

from toolkit.commands import _output as output
from toolkit.commands.audio._parts import Part, chosen_part, parts
from toolkit.commands.audio.features import FRONTEND
from toolkit.errors import UsageError

FORMS = (".onnx", ".pt")


@click.command("export", cls=parts(frontend=Part("frontend", "--frontend", FRONTEND)))
@click.option("--frontend", default=FRONTEND, show_default=True, metavar="NAME", help="See: toolkit list frontend")
@click.option("--out", required=True, metavar="FILE", help="NAME.onnx for ONNX, NAME.pt for TorchScript.")
@output.json_option
def export_command(frontend: str, out: str, as_json: bool) -> int:
    """Write a front end as a file for ONNX Runtime or TorchScript: waveform [batch, time] to features [batch, frames, bins].

    A clip is at least as long as one frame takes: what is printed says how many samples that is.

    \b
    toolkit audio export --frontend whisper-log-mel --frontend.n-mels 128 --out whisper.onnx
    """
    path = Path(out)
    if path.suffix not in FORMS:
        raise UsageError(f"--out {out}: allowed are files ending in {' or '.join(FORMS)}")
    output.require_new("--out", out)
    from toolkit.audio import export

    made = chosen_part("frontend").make()
    (export.to_onnx if path.suffix == ".onnx" else export.to_script)(made, path)
    shortest = made.spec.shortest
    facts = {"file": str(path.resolve()), "bytes": path.stat().st_size, "shortest": shortest, "spec": made.spec.json()}
    output.emit(facts) if as_json else print(f"{out}  {facts['bytes']:,} bytes, for clips of at least {shortest:,} samples")
    return 0
