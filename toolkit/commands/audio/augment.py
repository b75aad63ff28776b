"""``toolkit audio augment FILES --transforms TEXT --out DIR``: changed copies, reproducibly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.audio import manifests
from toolkit.audio.store import LONG_SECONDS
from toolkit.audio.transforms import pipeline
from toolkit.commands import _output as output
from toolkit.commands._settings import naming_flags
from toolkit.commands.audio._files import RATE, Batch, Source, files_argument, finished, sources_of, through
from toolkit.commands.audio._outputs import Outputs, outputs_of, overwrite_option
from toolkit.errors import UsageError
from toolkit.registry import registry

if TYPE_CHECKING:
    from toolkit.audio.transforms.blocks import Sound

MANIFEST = "manifest.jsonl"
TIMES = "segments"  # the column of a manifest that says when somebody speaks


@click.command("augment")
@files_argument
@click.option("--transforms", required=True, metavar="TEXT", help='A pipeline, "noise(snr=10..30) | speed(0.9,1.1)", or a .toml. '
                                                                  "Names: toolkit list transform")
@click.option("--out", required=True, metavar="DIR", help=f"A folder for the copies and their {MANIFEST}, or one file's name.")
@click.option("--copies", default=1, show_default=True, type=click.IntRange(min=1), help="Copies of each clip.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of all random choices.")
@click.option("--sample-rate", type=RATE, metavar="HZ", help="Resample first; each file's own rate without it.")
@overwrite_option
@output.json_option
def augment_command(files: tuple[str, ...], transforms: str, out: str, copies: int, seed: int, sample_rate: int | None,
                    overwrite: bool, as_json: bool) -> int:
    """Write changed copies of FILES (mono), and a manifest that keeps their labels and texts.

    What is done to a clip depends on the seed, its place and the copy's number alone. Long files are read in blocks, in
    constant memory, except where a transform needs the whole clip: trim, vad, stretch, pitch, codec, coloured noise,
    normalize to a loudness.
    """
    with naming_flags(["transforms"], []):
        steps = pipeline.parse(transforms)
    if not steps:
        raise UsageError("--transforms: it names no transform. Names: toolkit list transform")
    refuse_mixing(steps)
    batch = Batch(keeps="normalize as the last of --transforms avoids it")
    sources = sources_of(files, batch)
    outputs = outputs_of(sources, batch, out, overwrite)
    refuse_manifest(out, overwrite)
    places = {source: place for place, source in enumerate(sources)}
    made: dict[int, pipeline.Pipeline] = {}  # by rate
    clips: list[manifests.Clip] = []

    def work(source: Source) -> dict[str, Any]:
        rate = sample_rate or source.facts.sample_rate
        if rate not in made:
            made[rate] = on_waveforms(steps, rate)
        if made[rate].moving and TIMES in source.clip.more:
            raise UsageError(f"--transforms: after {made[rate].moving[0]} sound is elsewhere in time, and the column {TIMES!r} "
                             f"of {source.clip.path} says when something is heard. Leave out that transform, or that column")
        sound = long_sound(source, rate, batch, copies, made[rate]) if source.seconds > LONG_SECONDS else None
        names = []
        for copy in range(copies):
            blocks = changed_blocks(made[rate], source, rate, sound, generator_of(seed, places[source], copy))
            with outputs.writing(source, rate, 1, mark=f"-{copy + 1}" if copies > 1 else "") as (target, writer):
                for block in blocks:
                    writer.write(block[None])
            clips.append(replace(source.clip, path=str(target.resolve()), start=0.0, duration=round(writer.samples / rate, 6)))
            names.append(str(target))
        return {"path": source.clip.path, "outputs": names, "duration": source.seconds}

    through(sources, batch, work, "augmenting")
    write_manifest(outputs, out, clips)
    return finished(batch, as_json, ("path", "outputs"), "augmented")


def long_sound(source: Source, rate: int, batch: Batch, copies: int, made: pipeline.Pipeline) -> Sound:
    """A long clip, mono, to be read anew for every copy; ``batch`` shows each reading. Raises AudioError."""
    import torch

    from toolkit.audio.transforms.blocks import Sound

    seconds = source.seconds
    share = 1 / (1 + copies * made.readings(round(seconds * rate)))

    def read() -> Iterator[Any]:
        return (torch.from_numpy(block[0]) for block in batch.heard(source.blocks(rate, mono=True), rate, seconds, share))

    # Decoded and resampled, a file may hold fewer samples than its header says.
    return Sound(read, sum(len(block) for block in read()))


def changed_blocks(made: pipeline.Pipeline, source: Source, rate: int, sound: Sound | None, generator: Any) -> Iterable[Any]:
    """A clip, mono, after the pipeline, in blocks [T]: of its ``sound`` where it is long, else at once. Raises AudioError."""
    if sound is not None:
        return made.in_blocks(sound, generator).read()
    return [made(source.clip.load(rate)[0][0], generator=generator)[0]]


def on_waveforms(steps: list[pipeline.Step], rate: int) -> pipeline.Pipeline:
    """The pipeline at a rate. Raises UsageError when a transform is for features, which files do not hold."""
    with naming_flags(["transforms"], []):
        made = pipeline.Pipeline(steps, rate)
    if made.on_features:
        late = made.steps[len(made.on_waveforms)].name
        raise UsageError(f"--transforms: {late} changes features, not sound. It belongs into a training run")
    return made


def generator_of(seed: int, place: int, copy: int) -> Any:
    """The generator of one copy of one clip."""
    import hashlib

    import torch

    digest = hashlib.sha256(f"{seed}/{place}/{copy}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))


def refuse_mixing(steps: list[pipeline.Step]) -> None:
    """Raise UsageError for a transform that a clip alone passes through unchanged."""
    for step in steps:
        why = registry.get("transform", step.name).cannot.get("one by one")
        if why:
            raise UsageError(f"--transforms: {step.name} does nothing here, where files are changed one by one: {why}. It "
                             "belongs into a training run: toolkit run TASK --transforms ...")


def refuse_manifest(out: str, overwrite: bool) -> None:
    """Raise UsageError where the copies' manifest would replace one, perhaps that of other sound."""
    target = Path(out) / MANIFEST
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists, and the manifest of the copies would replace it. Name another --out, or add "
                         "--overwrite")


def write_manifest(outputs: Outputs, out: str, clips: list[manifests.Clip]) -> None:
    """Beside the copies, where they are in a folder."""
    if clips and Path(out).is_dir():
        manifests.write(Path(out) / MANIFEST, clips, overwrite=True)
