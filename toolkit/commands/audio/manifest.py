"""``toolkit audio manifest FOLDER --out FILE``: the sound files of a folder tree, with labels and texts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from toolkit.audio import manifests
from toolkit.commands import _output as output
from toolkit.commands.audio._files import Batch
from toolkit.errors import ToolkitError, UsageError


@click.command("manifest")
@click.argument("folder")
@click.option("--out", required=True, metavar="FILE", help="The manifest: NAME.jsonl or NAME.csv.")
@click.option("--labels/--no-labels", default=True, show_default=True, help="Each file's folder is its label.")
@click.option("--texts/--no-texts", default=True, show_default=True, help="NAME.txt beside NAME.wav is its text.")
@click.option("--overwrite", is_flag=True, help="Replace the manifest if it exists.")
@output.json_option
def manifest_command(folder: str, out: str, labels: bool, texts: bool, overwrite: bool, as_json: bool) -> int:
    """Write the sound files below FOLDER to a manifest: path, duration (s), label, text.

    Files that cannot be used are left out and reported.
    """
    manifests.form_of(Path(out))
    if Path(out).exists() and not overwrite:
        raise UsageError(f"{out} exists. Name another --out, or add --overwrite")
    if not Path(out).resolve().parent.is_dir():
        raise UsageError(f"{Path(out).parent} is not a folder: make it, or name another --out")
    batch = Batch()
    clips, problems = manifests.scan(folder, labels, texts)
    for problem in problems:
        batch.skip(problem)
    if not clips:
        raise ToolkitError(f"{folder} holds no sound file that can be used, so no manifest was written")
    manifests.write(out, clips, overwrite)
    seconds = sum(clip.duration or 0.0 for clip in clips)
    counts = Counter(clip.label for clip in clips if clip.label is not None)
    if as_json:
        output.emit({"manifest": str(Path(out).resolve()), "clips": len(clips), "seconds": seconds, "labels": dict(counts),
                     "skipped": problems})
    else:
        rows = [("manifest", out), ("clips", f"{len(clips):,}"), ("duration", f"{seconds:,.1f} s")]
        rows += [("labels", ", ".join(f"{label} {count}" for label, count in sorted(counts.items())))] if counts else []
        print(output.table(rows))
    return batch.exit_code
