"""``toolkit audio convert FILES --out PATH``: other formats, rates, channels and encodings."""

from __future__ import annotations

from typing import Any

import click

from toolkit.audio import io
from toolkit.commands import _output as output
from toolkit.commands.audio._files import RATE, Batch, Source, files_argument, finished, sources_of, through
from toolkit.commands.audio._outputs import out_option, outputs_of, overwrite_option
from toolkit.errors import UsageError, did_you_mean

FORMATS = tuple(suffix[1:] for suffix in io.SUFFIXES)


@click.command("convert")
@files_argument
@out_option
@click.option("--format", "form", metavar="FORMAT", help=f"One of {', '.join(FORMATS)}; the file's own without it.")
@click.option("--sample-rate", type=RATE, metavar="HZ", help="Resample to this rate (soxr).")
@click.option("--mono", is_flag=True, help="Average the channels into one.")
@click.option("--subtype", metavar="CODE", help="Encoding of the samples: PCM_16, PCM_24, FLOAT, VORBIS, OPUS, ...")
@overwrite_option
@output.json_option
def convert_command(files: tuple[str, ...], out: str, form: str | None, sample_rate: int | None, mono: bool,
                    subtype: str | None, overwrite: bool, as_json: bool) -> int:
    """Write FILES in another format, at another rate, with other channels; files of any length in constant memory.

    \b
    toolkit audio convert talk.mp3 --out talk.wav --sample-rate 16000 --mono
    toolkit audio convert recordings --out flac --format flac
    """
    batch = Batch(keeps="A .wav with --subtype FLOAT keeps them")
    sources = sources_of(files, batch)
    outputs = outputs_of(sources, batch, out, overwrite, suffix_of(form))

    def work(source: Source) -> dict[str, Any]:
        facts = source.facts
        rate, channels = sample_rate or facts.sample_rate, 1 if mono else facts.channels
        with outputs.writing(source, rate, channels, subtype) as (target, writer):
            for block in batch.heard(source.blocks(sample_rate, mono), rate, source.seconds):
                writer.write(block)
        return {"path": source.clip.path, "output": str(target), "sample_rate": rate, "channels": channels,
                "duration": writer.samples / rate}

    through(sources, batch, work, "converting")
    return finished(batch, as_json, ("path", "output", "sample_rate", "channels", "duration"), "converted")


def suffix_of(form: str | None) -> str:
    """The ending of a format's files. Raises UsageError for an unknown one."""
    if form is None:
        return ""
    if form.lower().lstrip(".") not in FORMATS:
        raise UsageError(f"--format: got {form!r}, allowed: {', '.join(FORMATS)}.{did_you_mean(form, FORMATS)}")
    return "." + form.lower().lstrip(".")
