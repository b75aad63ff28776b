"""Manifests: which clips there are and what is known of each, as JSONL or CSV.

Clip      one row: path, start, duration, text, label, speaker, and whatever else the row holds
read      the clips of a manifest file, every row checked; errors name the file and the row
write     clips to a file that appears complete or not at all
scan      the clips of a folder tree, labelled by folder; files that cannot be used are reported

Relative paths count from the manifest's folder. No NumPy, no torch.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from toolkit.audio import io
from toolkit.errors import ToolkitError, UsageError, did_you_mean

COLUMNS = ("path", "start", "duration", "text", "label", "speaker")
NUMBERS = ("start", "duration")
FORMS = (".jsonl", ".csv")
PADDING = 0.05  # seconds by which a duration may be too long: of one compressed file two libraries tell lengths so far apart


class ManifestError(ToolkitError, ValueError):
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

    ``check_files`` also opens every file's header. Raises ManifestError naming the row.
    """
    source = Path(path)
    rows = rows_of(source)
    refuse_unread_columns(source, {name for _, row in rows for name in row})
    clips = [clip_of(row, f"{source}, row {number}", source.resolve().parent) for number, row in rows]
    if not clips:
        raise ManifestError(f"{source}: it holds no rows. Write one: toolkit audio manifest FOLDER --out {source}")
    if check_files:
        for (number, _), clip in zip(rows, clips):
            check_clip(clip, f"{source}, row {number}")
    return clips


def write(path: str | os.PathLike[str], clips: Iterable[Clip], overwrite: bool = False) -> None:
    """Write a manifest, JSONL or CSV by its suffix. Raises UsageError when the file exists."""
    target = Path(path)
    form = form_of(target)
    rows = [clip.row(target.resolve().parent) for clip in clips]
    with io.appearing(target, overwrite) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        if form == ".jsonl":
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        else:
            write_csv(file, rows)


def scan(folder: str | os.PathLike[str], labels: bool = True, texts: bool = True,
         damaged: bool = False) -> tuple[list[Clip], list[str]]:
    """The sound files under ``folder`` in a fixed order, and a message for each that cannot be used.

    ``labels`` takes each file's folder as its label; ``texts`` reads ``NAME.txt`` beside ``NAME.wav``; ``damaged`` lists also
    the files that cannot be used, for whoever looks at each. Raises UsageError when it is no folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder")
    clips, problems = [], []
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() not in io.SUFFIXES or not path.is_file() or path.name.startswith("."):
            continue
        label = path.parent.name if labels and path.parent != root else None
        try:
            duration = round(io.info(path).duration, 6)
            clips.append(Clip(str(path.resolve()), 0.0, duration, text_beside(path) if texts else None, label))
        except io.AudioError as error:
            problems.append(str(error))
            clips += [Clip(str(path.resolve()), label=label)] if damaged else []
    return clips, problems


def text_beside(path: Path) -> str | None:
    """What ``NAME.txt`` beside the sound file ``path`` says, if it is there. Raises AudioError when it cannot be read."""
    beside = path.with_suffix(".txt")
    try:
        return beside.read_text(encoding="utf-8-sig").strip() if beside.is_file() else None
    except UnicodeDecodeError as error:
        raise io.AudioError(f"{path}: its text {beside} is not UTF-8 ({error.reason} at byte {error.start})") from error


# -- rows


def form_of(path: Path) -> str:
    if path.suffix.lower() not in FORMS:
        raise UsageError(f"{path}: a manifest ends in {' or '.join(FORMS)}.{did_you_mean(path.suffix, FORMS)}")
    return path.suffix.lower()


def rows_of(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The rows with their line numbers. Raises ManifestError."""
    form = form_of(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return json_rows(file, path) if form == ".jsonl" else csv_rows(file, path)
    except OSError as error:
        cause = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise ManifestError(f"{path}: {cause}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: it is not UTF-8 text ({error.reason} at byte {error.start})") from error


def refuse_unread_columns(path: Path, names: Collection[str]) -> None:
    """Raise ManifestError for a start or duration that is one but for its capitals: the whole file would be heard.

    A path, label or text of another name is missed where it is needed, or may be a target of its own.
    """
    for name in sorted(names):
        meant = name.strip().lower()
        if name not in NUMBERS and meant in NUMBERS and meant not in names:
            raise ManifestError(f"{path}: its column {name!r} is not read as {meant!r}. Rename it to {meant}")


def json_rows(file: TextIO, path: Path) -> list[tuple[int, dict[str, Any]]]:
    rows = []
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ManifestError(f"{path}, row {number}: it is not JSON: {error.msg} at column {error.colno}") from error
        if not isinstance(row, dict):
            raise ManifestError(f"{path}, row {number}: a row is an object with at least a path; got {type(row).__name__}")
        rows.append((number, row))
    return rows


def csv_rows(file: TextIO, path: Path) -> list[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(file, strict=True)
    columns = list(reader.fieldnames or ())
    if "path" not in columns:
        near = did_you_mean("path", columns)
        raise ManifestError(f"{path}, row 1: the header has no column 'path'; it has {', '.join(columns) or 'nothing'}.{near}")
    rows: list[tuple[int, dict[str, Any]]] = []
    try:
        for row in reader:
            if None in row or None in row.values():
                raise ManifestError(f"{path}, row {reader.line_num}: it has not {len(columns)} cells like the header")
            rows.append((reader.line_num, {name: cell for name, cell in row.items() if cell != ""}))
    except csv.Error as error:
        raise ManifestError(f"{path}, row {reader.line_num}: {error}") from error
    return rows


def write_csv(file: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    names = [name for name in COLUMNS if any(name in row for row in rows)]
    names += sorted({name for row in rows for name in row} - set(names))
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def clip_of(row: Mapping[str, Any], where: str, folder: Path) -> Clip:
    """A row's clip. Raises ManifestError beginning with ``where``."""
    path = row.get("path")
    if not isinstance(path, str) or not path.strip():
        near = did_you_mean("path", row) if "path" not in row else ""
        raise ManifestError(f"{where}: path: got {path!r}, allowed: a file's name.{near}")
    start = number_of(row, "start", where, 0.0)
    duration = number_of(row, "duration", where, None)
    if start is None or start < 0:
        raise ManifestError(f"{where}: start: got {row.get('start')!r}, allowed: seconds, at least 0")
    if duration is not None and duration <= 0:
        raise ManifestError(f"{where}: duration: got {row.get('duration')!r}, allowed: seconds above 0")
    words = {name: word_of(row, name, where) for name in ("text", "label", "speaker")}
    more = {name: value for name, value in row.items() if name not in COLUMNS}
    return Clip(str(folder / path), start, duration, **words, more=more)


def number_of(row: Mapping[str, Any], name: str, where: str, default: float | None) -> float | None:
    value = row.get(name)
    if value is None or value == "":  # an empty cell
        return default
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ManifestError(f"{where}: {name}: got {value!r}, allowed: a number of seconds")
    return number


def word_of(row: Mapping[str, Any], name: str, where: str) -> str | None:
    value = row.get(name)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise ManifestError(f"{where}: {name}: got {value!r}, allowed: text")


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
    try:
        seconds = seconds_of(clip)
    except io.AudioError as error:
        raise ManifestError(f"{where}: {error}") from error
    if seconds <= 0:
        raise ManifestError(f"{where}: {clip.path}: its sound has length zero")


def asked_clip(row: Mapping[str, Any], where: str, folder: Path) -> Clip:
    """The clip of a row that is asked about, in a file in ``folder``. Raises ManifestError where it cannot be heard."""
    clip = clip_of(row, where, folder)
    if not Path(clip.path).exists() and Path(row["path"]).exists():
        raise ManifestError(f"{where}: {row['path']}: there is no such file in {folder}, the manifest's folder, from where its "
                            "paths count; there is one from this folder. Write whole paths, or move the manifest here")
    check_clip(clip, where)
    return clip
