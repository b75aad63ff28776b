"""Runs of tasks on sound, and the sound that they are asked about."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from toolkit.audio import manifests
from toolkit.commands.audio._files import RATE, Batch, Source, sources_of
from toolkit.errors import UsageError
from toolkit.training.run_directory import find_run

sample_rate_option = click.option("--sample-rate", type=RATE, default=16000, show_default=True,
                                  help="Rate (Hz) of what comes from stdin: raw 16-bit little-endian mono samples.")
STDIN = "-"
BLOCK = 3200  # bytes read from stdin at a time: a tenth of a second at 16 kHz


def heard_run(run: str, task: str, settings: Mapping[str, Any] | None = None) -> Any:
    """The run of a task, with other ``settings`` than in training.

    Raises UsageError for an agent's, before anything heavy is imported.
    """
    directory, _ = find_run(run)
    facts = directory.read()
    if facts.get("kind") != "task":
        raise UsageError(f"{run} is the run of {facts.get('name')}, an agent. Train what this needs: "
                         f"toolkit run {task} --data ...")
    from toolkit.training.api import load

    return load(run, **(settings or {}))


def sources_or_stdin(files: Sequence[str], batch: Batch) -> list[Source]:
    """The clips that FILES mean; - alone is stdin."""
    return [Source(manifests.Clip(STDIN), Path(STDIN))] if tuple(files) == (STDIN,) else sources_of(files, batch)


def pieces(source: Source, rate: int, stdin_rate: int, batch: Batch) -> tuple[Iterator[Any], int]:
    """The sound of a source as mono pieces [T], and their rate (Hz); ``batch`` shows how far it is."""
    if source.clip.path == STDIN:
        return raw_samples(), stdin_rate
    return (block[0] for block in batch.heard(source.blocks(rate, mono=True), rate, source.seconds)), rate


def raw_samples() -> Iterator[Any]:
    """Signed 16-bit little-endian samples from stdin, as they come, in [-1, 1]."""
    import numpy as np

    rest = b""
    while data := os.read(sys.stdin.fileno(), BLOCK):
        data = rest + data
        whole = len(data) // 2 * 2
        rest = data[whole:]
        yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768
