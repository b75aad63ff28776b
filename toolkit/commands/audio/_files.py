"""FILES of the audio commands: which clips they mean, and going through them without stopping at a bad one.

clips_of   the clips of files, folders and manifests
through    the work done on each clip, failures reported and counted
Bar        how far it is, in clips and within a long recording
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from toolkit.audio import io, manifests
from toolkit.commands import _output as output
from toolkit.errors import UsageError

files_argument = click.argument("files", nargs=-1, required=True, metavar="FILES...")
MIN_FOR_BAR = 2  # clips from which a progress bar is worth showing
LONG_SECONDS = 60.0  # of sound, from which one within a recording is
RATE = click.IntRange(min=1, max=10_000_000)  # Hz; at more a block of sound would not fit into memory


class Bar:
    """A progress bar of rich's: clips and, below it, the seconds of sound of a long recording. Silent without ``progress``."""

    def __init__(self, doing: str = "", clips: int = 0, progress: Any = None) -> None:
        self._progress, self._doing, self._sound = progress, doing, None
        self._clips = progress.add_task(doing, total=clips, unit="clips") if progress and clips >= MIN_FOR_BAR else None

    def heard(self, seconds: float, total: float) -> None:
        """``seconds`` more are done of a recording of ``total`` seconds."""
        if self._progress is None or total < LONG_SECONDS:
            return
        if self._sound is None:
            self._sound = self._progress.add_task(self._doing, total=total, unit="s of sound")
        self._progress.advance(self._sound, seconds)

    def done(self) -> None:
        """A clip is done."""
        if self._sound is not None:
            self._progress.remove_task(self._sound)
            self._sound = None
        if self._clips is not None:
            self._progress.advance(self._clips)


@dataclass
class Batch:
    """What came of a batch: one row of facts for each clip done, one message for each skipped."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    cut: list[tuple[int, int, str]] = field(default_factory=list)  # of files that were cut: samples lost, of how many, its name
    keeps: str = ""  # advice: what keeps samples beyond full scale
    bar: Bar = field(default_factory=Bar)

    @property
    def exit_code(self) -> int:
        return int(bool(self.problems))

    def skip(self, problem: str) -> None:
        self.problems.append(problem)
        output.talk(f"skipped: {problem}")

    def heard(self, blocks: Iterable[Any], rate: int, total: float, share: float = 1.0) -> Iterator[Any]:
        """``blocks`` [..., T] of a recording of ``total`` seconds, shown as they are done; ``share`` of the work is in them."""
        for block in blocks:
            yield block
            self.bar.heard(block.shape[-1] / rate * share, total)

    def say(self, done: str) -> None:
        """The closing remark on stderr, and before it which files were cut at full scale."""
        if self.cut:
            lost, samples, name = max(self.cut)
            others = f", and so are some of {len(self.cut) - 1:,} other outputs" if len(self.cut) > 1 else ""
            output.talk(f"{name}: {io.lost_text(lost, samples)}{others}. {self.keeps}")
        skipped = f", {len(self.problems)} skipped" if self.problems else ""
        output.talk(f"{done} {len(self.rows)} {'clip' if len(self.rows) == 1 else 'clips'}{skipped}")


@dataclass(frozen=True, eq=False)
class Source:
    """A clip and its name below the folder it was found in, which outputs are named after."""

    clip: manifests.Clip
    name: Path

    @cached_property
    def facts(self) -> io.AudioInfo:
        """What the file's header says. Raises AudioError."""
        return io.info(self.clip.path)

    @cached_property
    def seconds(self) -> float:
        """The clip's length. Raises AudioError, also for a stretch that its file does not hold."""
        return manifests.seconds_of(self.clip)

    def blocks(self, sample_rate: int | None = None, mono: bool = False) -> Iterator[Any]:
        """The clip's waveform in arrays [channels, time], in constant memory. Raises AudioError."""
        return io.blocks(self.clip.path, sample_rate, mono, offset=self.clip.start, duration=self.clip.duration)


def sources_of(files: Sequence[str], batch: Batch) -> list[Source]:
    """The clips that FILES mean, in order; files of a folder and rows of a manifest that cannot be used go to ``batch``.

    Raises UsageError for a folder without sound files and ManifestError for a manifest that cannot be read.
    """
    return [source for name in files for source in expanded(name, batch)]


def expanded(name: str, batch: Batch) -> Iterator[Source]:
    path = Path(name)
    if path.is_dir():
        clips, problems = manifests.scan(path)
        for problem in problems:
            batch.skip(problem)
        if not clips and not problems:
            raise UsageError(f"{path} holds no sound files. Known endings: {', '.join(io.SUFFIXES)}")
        yield from (Source(clip, Path(clip.path).relative_to(path.resolve())) for clip in clips)
    elif path.suffix.lower() in manifests.FORMS:
        found = manifests.tried(path)
        clips = [clip for _, clip in found if isinstance(clip, manifests.Clip)]
        for row, clip in found:
            if isinstance(clip, str):
                batch.skip(f"{path}, row {row.number}: {clip}")
        yield from map(Source, clips, manifest_names(clips))
    else:
        yield Source(manifests.Clip(name), Path(path.name))


def manifest_names(clips: Sequence[manifests.Clip]) -> list[Path]:
    """Names for the stretches of a manifest: below the folder that holds all their files where files of two have one name."""
    names = list(map(manifest_name, clips))
    if len(set(names)) == len(names):
        return names
    folders = [os.path.dirname(os.path.abspath(clip.path)) for clip in clips]
    above = os.path.commonpath(folders)
    return [Path(os.path.relpath(folder, above)) / name for folder, name in zip(folders, names, strict=True)]


def manifest_name(clip: manifests.Clip) -> Path:
    """A name for a stretch: its file's, with the start where it does not begin at 0."""
    path = Path(clip.path)
    return Path(f"{path.stem}-{clip.start:.3f}{path.suffix}" if clip.start else path.name)


def through(sources: Sequence[Source], batch: Batch, work: Callable[[Source], dict[str, Any]], doing: str) -> Batch:
    """Do ``work`` on every source; one that raises AudioError is skipped."""
    with bar(doing, len(sources)) as batch.bar:
        for source in sources:
            try:
                batch.rows.append(work(source))
            except io.AudioError as error:
                batch.skip(str(error))
            batch.bar.done()
    return batch


def finished(batch: Batch, as_json: bool, columns: Iterable[str], done: str) -> int:
    """Print the batch's rows (JSON or a table), remark on it, and give the exit code."""
    if as_json:
        output.emit({"files": batch.rows, "skipped": batch.problems})
    elif batch.rows:
        names = list(columns)
        print(output.table([names, *([cell(row.get(name)) for name in names] for row in batch.rows)]))
    batch.say(done)
    return batch.exit_code


def cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return " ".join(map(cell, value))
    return "" if value is None else str(value)


@contextmanager
def bar(doing: str, clips: int) -> Iterator[Bar]:
    """A progress bar on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(),
               TextColumn("{task.completed:.0f} of {task.total:.0f} {task.fields[unit]}"), TimeRemainingColumn())
    # What is printed meanwhile goes above the bar, but never from a file or a pipe to the terminal.
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()) as progress:
        yield Bar(doing, clips, progress)
