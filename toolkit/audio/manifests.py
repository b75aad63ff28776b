"""Manifests: which clips there are and what is known of each, as JSONL or CSV.

Clip      one row: path, start, duration, text, label, speaker, and whatever else the row holds
read      the clips of a manifest file, every row checked; errors name the file and the row
tried     each row with its clip, or with what is wrong with it
write     clips to a file that appears complete or not at all
scan      the clips of a folder tree, labelled by folder; files that cannot be used are reported

Relative paths count from the manifest's folder. No NumPy, no torch.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.audio import io
from toolkit.core.rows import Row, csv_rows, json_rows, not_utf8, refuse_broken, refuse_unread, require_columns
from toolkit.errors import UsageError, did_you_mean

COLUMNS = ("path", "start", "duration", "text", "label", "speaker")
NUMBERS = ("start", "duration")
# What manifests of other systems call where a clip begins and ends.
OTHER_WORDS = {"offset": "start", "start_time": "start", "end": "duration", "end_time": "duration", "stop": "duration"}
FORMS = (".jsonl", ".csv")
PADDING = 0.05  # seconds by which a duration may be too long: of one compressed file two libraries tell lengths so far apart


class ManifestError(UsageError, ValueError):
    """A manifest that cannot be used; the message names the file, the row and the column."""


@dataclass(frozen=True)
class Clip:
    """A stretch of a sound file. Seconds; ``duration`` None reaches to the file's end."""

    path: str
    start: float = 0.0
    duration: float | None = None
    text: str | None = None
    label: str | None = None
    speaker: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def load(self, sample_rate: int | None = None, mono: bool = True) -> tuple[Any, int]:
        """`toolkit.audio.load` of the stretch. Raises AudioError naming the file."""
        return io.load(self.path, sample_rate, mono, offset=self.start, duration=self.duration)

    def row(self, folder: Path | None = None) -> dict[str, Any]:
        """The clip as a manifest row, its path relative to ``folder`` where it lies inside."""
        path = Path(self.path)
        if folder is not None and path.is_absolute() and path.is_relative_to(folder):
            path = path.relative_to(folder)
        known = {"path": path.as_posix(), "start": self.start or None, "duration": self.duration, "text": self.text,
                 "label": self.label, "speaker": self.speaker}
        return {name: value for name, value in {**known, **self.more}.items() if value is not None}


def read(path: str | os.PathLike[str], check_files: bool = False) -> list[Clip]:
    """The clips of a JSONL or CSV manifest, with absolute paths.

    ``check_files`` also opens every file's header. Raises ManifestError naming the rows.
    """
    source, found = Path(path), tried(path)
    refuse_broken({row.number: clip for row, clip in found if isinstance(clip, str)}, source, ManifestError)
    clips = [clip for _, clip in found if isinstance(clip, Clip)]
    if check_files:
        for (row, _), clip in zip(found, clips, strict=True):
            check_clip(clip, f"{source}, row {row.number}")
    return clips


def tried(path: str | os.PathLike[str]) -> list[tuple[Row, Clip | str]]:
    """Each row of a manifest with its clip, or why it has none.

    Raises ManifestError for a file that holds no rows, no paths, or a column that is meant for another.
    """
    source = Path(path)
    rows = rows_of(source)
    if not rows:
        raise ManifestError(f"{source}: it holds no rows. Write one: toolkit audio manifest FOLDER --out {source}")
    refuse_columns(source, rows)
    return [(row, clip_or_fault(row, source.resolve().parent)) for row in rows]


def write(path: str | os.PathLike[str], clips: Iterable[Clip], overwrite: bool = False) -> None:
    """Write a manifest, JSONL or CSV by its suffix. Raises UsageError when the file exists."""
    target = Path(path)
    form = form_of(target)
    rows = [clip.row(target.resolve().parent) for clip in clips]
    with io.appearing(target, overwrite) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        if form == ".jsonl":
            file.writelines(json_line(row) for row in rows)
        else:
            refuse_undecoded(target, rows)
            write_csv(file, rows)


def scan(folder: str | os.PathLike[str], labels: bool = True, texts: bool = True,
         damaged: bool = False) -> tuple[list[Clip], list[str]]:
    """The sound files under ``folder`` in a fixed order, and a message for each that cannot be used.

    ``labels`` takes each file's folder as its label; ``texts`` reads ``NAME.txt`` beside ``NAME.wav``; ``damaged`` lists also
    the files that cannot be used, for whoever looks at each. Links are files and folders under their own names, wherever they
    lead. Raises UsageError when it is no folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder")
    clips, problems = [], []
    for path in sound_files(root):
        label = path.parent.name if labels and path.parent != root else None
        place = str(root.resolve() / path.relative_to(root))
        try:
            duration = round(io.info(path).duration, 6)
            clips.append(Clip(place, 0.0, duration, text_beside(path) if texts else None, label))
        except io.AudioError as error:
            problems.append(str(error))
            clips += [Clip(place, label=label)] if damaged else []
    return clips, problems


def sound_files(root: Path) -> Iterator[Path]:
    """The sound files under a folder in a fixed order, by their names; hidden ones are none, nor what is in hidden folders.

    With them is what may have been one or have held some: folders that may not be read, and links that lead nowhere, unless
    they end as other files do.
    """
    for path in sorted(files_under(root)):
        sound = path.suffix.lower() in io.SUFFIXES and path.is_file()
        lost = not path.exists() and path.suffix.lower() in ("", *io.SUFFIXES)
        if sound or lost or path.is_dir():
            yield path


def files_under(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """All but folders under a folder, in linked ones too, and folders that may not be read; nothing hidden.

    A link back to a folder that it is in, one of ``above``, holds nothing more.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        found = list(folder.iterdir())
    except PermissionError:
        yield folder
        return
    for path in found:
        if path.name.startswith("."):  # .Trash-1000, .ipynb_checkpoints
            continue
        yield from files_under(path, above | {real}) if path.is_dir() else (path,)


def text_beside(path: Path) -> str | None:
    """What ``NAME.txt`` beside the sound file ``path`` says, if it is there. Raises AudioError when it cannot be read."""
    beside = path.with_suffix(".txt")
    if beside.is_symlink() and not beside.exists():
        raise io.AudioError(f"{path}: its text {beside} is a link to {beside.readlink()}, which is not there")
    try:
        return beside.read_text(encoding="utf-8-sig").strip() if beside.is_file() else None
    except UnicodeDecodeError as error:
        raise io.AudioError(f"{path}: its text {beside} is not UTF-8 ({error.reason} at byte {error.start})") from error


# -- rows


def form_of(path: Path) -> str:
    if path.suffix.lower() not in FORMS:
        raise UsageError(f"{path}: a manifest ends in {' or '.join(FORMS)}.{did_you_mean(path.suffix, FORMS)}")
    return path.suffix.lower()


def rows_of(path: Path) -> list[Row]:
    """The rows, without their empty cells. Raises ManifestError."""
    form = form_of(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            if form == ".jsonl":
                return list(json_rows(file))
            return [Row({name: cell for name, cell in row.items() if cell != ""}, row.number, row.fault)
                    for row in csv_rows(file, path, strict=True, nameless=True)]
    except OSError as error:
        cause = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise ManifestError(f"{path}: {cause}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: {not_utf8(path, error)}") from error


def refuse_columns(path: Path, rows: Collection[Mapping[str, Any]]) -> None:
    """Raise ManifestError where no row has a path, or a start or duration is one but for its spelling: a whole file is heard.

    A label or text of another name is missed where it is needed, or may be a target of its own.
    """
    require_columns(rows, ["path"], path, "which names the sound file of each row", "Rename the column that does to path, or "
                    "write a manifest: toolkit audio manifest FOLDER --out FILE.csv", ManifestError)
    names = {name for row in rows for name in row}
    refuse_unread(names, NUMBERS, f"{path}: its", error=ManifestError)
    for name in sorted(names):
        meant = OTHER_WORDS.get(name.strip().lower())
        if meant is not None and meant not in names:
            else_heard = "begin with its file" if meant == "start" else "reach to the end of its file"
            raise ManifestError(f"{path}: its column {name!r} is not read, and none is called {meant!r}: each clip would "
                                f"{else_heard}. What is heard is told by start and duration, in seconds: write the column "
                                f"{meant}, or give {name!r} another name")


def refuse_undecoded(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Raise ManifestError for a file's name that is not UTF-8, which CSV has no escapes for."""
    for row in rows:
        if not encodable(row["path"]):
            raise ManifestError(f"{path}: the file's name {os.fsencode(row['path'])!r} is not UTF-8, which CSV cannot hold. "
                                f"Write {path.with_suffix('.jsonl')}, or rename the file")


def json_line(row: Mapping[str, Any]) -> str:
    """A row as a line of JSONL; a file's name that is not UTF-8 in escapes, which bring it back."""
    line = json.dumps(row, ensure_ascii=False)
    return (line if encodable(line) else json.dumps(row)) + "\n"


def encodable(text: str) -> bool:
    """Whether UTF-8 can hold a text: it has no place for the bytes of a file's name in another encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def write_csv(file: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    names = [name for name in COLUMNS if any(name in row for row in rows)]
    names += sorted({name for row in rows for name in row} - set(names))
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def clip_or_fault(row: Row, folder: Path) -> Clip | str:
    """A row's clip, or why it has none."""
    if row.fault:
        return row.fault
    try:
        return made_clip(row, folder)
    except ManifestError as error:
        return str(error)


def clip_of(row: Mapping[str, Any], where: str, folder: Path) -> Clip:
    """A row's clip. Raises ManifestError beginning with ``where``."""
    try:
        return made_clip(row, folder)
    except ManifestError as error:
        raise ManifestError(f"{where}: {error}") from error


def made_clip(row: Mapping[str, Any], folder: Path) -> Clip:
    path = row.get("path")
    if not isinstance(path, str) or not path.strip():
        near = did_you_mean("path", row) if "path" not in row else ""
        raise ManifestError(f"path: got {path!r}, allowed: a file's name{near and '.' + near}")
    start = seconds_in(row, "start", 0.0)
    duration = seconds_in(row, "duration", None)
    if start is None or start < 0:
        raise ManifestError(f"start: got {row.get('start')!r}, allowed: seconds, at least 0")
    if duration is not None and duration <= 0:
        raise ManifestError(f"duration: got {row.get('duration')!r}, allowed: seconds above 0")
    words = {name: word_of(row, name) for name in ("text", "label", "speaker")}
    more = {name: value for name, value in row.items() if name not in COLUMNS}
    return Clip(str(folder / path), start, duration, **words, more=more)


def seconds_in(row: Mapping[str, Any], name: str, default: float | None) -> float | None:
    value = row.get(name)
    if value is None or value == "":  # an empty cell
        return default
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ManifestError(f"{name}: got {value!r}, allowed: a number of seconds")
    return number


def word_of(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise ManifestError(f"{name}: got {value!r}, allowed: text")


def seconds_of(clip: Clip) -> float:
    """How long the clip's stretch is, by its file's header. Raises AudioError for a file that is unusable, or ends before it."""
    whole = io.info(clip.path).duration
    end = whole if clip.duration is None else clip.start + clip.duration
    if end > whole + PADDING or clip.start > end or 0 < clip.start >= whole:
        to = "" if clip.duration is None else f" to {end:g} s"
        raise io.AudioError(f"{clip.path}: the stretch from {clip.start:g} s{to} reaches past its end at {whole:g} s")
    return min(end, whole) - clip.start


def check_clip(clip: Clip, where: str) -> None:
    """Open the clip's file; raise ManifestError when it is unusable, holds no sound or the stretch lies outside."""
    fault = sound_fault(clip)
    if fault:
        raise ManifestError(f"{where}: {fault}")


def sound_fault(clip: Clip) -> str | None:
    """Why nothing can be heard of a clip by its file's header, or None."""
    try:
        return None if seconds_of(clip) > 0 else f"{clip.path}: its sound has length zero"
    except io.AudioError as error:
        return str(error)


def asked_clip(row: Mapping[str, Any], folder: Path) -> Clip:
    """The clip of a row that is asked about, in a file in ``folder``. Raises ManifestError where it cannot be heard."""
    clip = made_clip(row, folder)
    if not Path(clip.path).exists() and Path(row["path"]).exists():
        raise ManifestError(f"{row['path']}: there is no such file in {folder}, the manifest's folder, from where its "
                            "paths count; there is one from this folder. Write whole paths, or move the manifest here")
    fault = sound_fault(clip)
    if fault:
        raise ManifestError(fault)
    return clip
