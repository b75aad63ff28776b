"""``toolkit audio denoise FILES --out PATH``: noise taken out, at the files' own rate and channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from toolkit.audio.store import LONG_SECONDS
from toolkit.commands import _output as output
from toolkit.commands.audio._files import Batch, Source, files_argument, finished, sources_of, through
from toolkit.commands.audio._outputs import out_option, outputs_of, overwrite_option
from toolkit.commands.audio._parts import Chosen, Part, chosen_part, parts
from toolkit.errors import UsageError

METHOD = "spectral-gate"


@click.command("denoise", cls=parts(method=Part("transform", "--method", METHOD)))
@files_argument
@out_option
@click.option("--method", default=METHOD, show_default=True, metavar="TRANSFORM", help="spectral-gate, wiener, or a plugin's.")
@overwrite_option
@output.json_option
def denoise_command(files: tuple[str, ...], out: str, method: str, overwrite: bool, as_json: bool) -> int:
    """Take the noise out of FILES; rates and channels stay. Long files are read in blocks, in constant memory.

    \b
    toolkit audio denoise noisy.wav --out clean.wav
    toolkit audio denoise recordings --out cleaned --method wiener --method.reduction 12
    """
    chosen = chosen_part("method")
    refuse_drawn(chosen)
    batch = Batch(keeps="Made a .wav first (toolkit audio convert --subtype FLOAT), FILES keep them")
    sources = sources_of(files, batch)
    outputs = outputs_of(sources, batch, out, overwrite)
    has_rate = any(item.name == "sample_rate" for item in chosen.entry.settings)
    made: dict[int, Any] = {}  # by rate

    def work(source: Source) -> dict[str, Any]:
        facts = source.facts
        rate = facts.sample_rate
        if rate not in made:
            made[rate] = chosen.make(**({"sample_rate": rate} if has_rate else {}))
            refuse_moving(chosen, made[rate])
        with outputs.writing(source, rate, facts.channels) as (target, writer):
            for block in cleaned(made[rate], source, rate, batch):
                writer.write(block)
        return {"path": source.clip.path, "output": str(target), "duration": writer.samples / rate}

    through(sources, batch, work, "denoising")
    return finished(batch, as_json, ("path", "output", "duration"), "denoised")


def refuse_drawn(chosen: Chosen) -> None:
    """Raise UsageError for a transform that draws: each channel would be changed in another way."""
    if any(item.name == "seed" for item in chosen.entry.settings):
        raise not_a_method(chosen, "draws at random, and would change each channel in another way")


def refuse_moving(chosen: Chosen, transform: Any) -> None:
    """Raise UsageError for one that changes features, or may give a channel another length."""
    if getattr(transform, "domain", "waveform") != "waveform":
        raise not_a_method(chosen, "changes features, not sound")
    if not getattr(transform, "keeps_length", False):
        raise not_a_method(chosen, "may change how long sound is, of each channel in another way")


def not_a_method(chosen: Chosen, why: str) -> UsageError:
    return UsageError(f"--method: {chosen.name} {why}. Allowed: spectral-gate, wiener, and others that keep lengths and draw "
                      f"nothing. Other changes: toolkit audio augment FILES --transforms {chosen.name} --out DIR")


def cleaned(transform: Any, source: Source, rate: int, batch: Batch) -> Iterator[Any]:
    """The clip without its noise, in blocks [channels, T]; ``batch`` shows how far it is. Raises AudioError."""
    import torch

    from toolkit.audio.transforms.denoise import Denoise
    from toolkit.audio.transforms.recording import denoised, readings

    seconds = source.seconds
    if seconds <= LONG_SECONDS or not isinstance(transform, Denoise):
        yield transform(source.clip.load(mono=False)[0])[0]
        return
    share = 1 / (1 + readings(transform, round(seconds * rate)))

    def read() -> Iterator[Any]:
        return (torch.from_numpy(block) for block in batch.heard(source.blocks(), rate, seconds, share))

    samples = sum(block.shape[1] for block in read())
    yield from denoised(transform, read, samples)
