"""``toolkit audio info FILES``: what sound files say of themselves."""

from __future__ import annotations

from typing import Any

import click

from toolkit.audio import io
from toolkit.commands import _output as output
from toolkit.commands.audio._files import Batch, Source, files_argument, finished, sources_of, through

COLUMNS = ("path", "sample_rate", "channels", "duration", "frames", "format", "subtype")


@click.command("info")
@files_argument
@click.option("--check", is_flag=True, help="Decode every file to its end instead of trusting the headers.")
@output.json_option
def info_command(files: tuple[str, ...], check: bool, as_json: bool) -> int:
    """Rate (Hz), channels, duration (s), samples and encoding of FILES."""
    batch = Batch()
    sources = sources_of(files, batch)
    through(sources, batch, lambda source: facts_of(source, check), "reading")
    return finished(batch, as_json, COLUMNS, "read")


def facts_of(source: Source, check: bool) -> dict[str, Any]:
    facts = source.facts
    if check:
        for _ in io.blocks(source.clip.path):
            pass
    return {"path": source.clip.path, "sample_rate": facts.sample_rate, "channels": facts.channels,
            "duration": round(facts.duration, 6), "frames": facts.frames, "format": facts.format, "subtype": facts.subtype}
