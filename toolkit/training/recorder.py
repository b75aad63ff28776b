"""Records: metrics on the disk, cut back to a checkpoint's position when a run is resumed.

Tracker   writes lines of metrics somewhere and can be cut back to an offset; it may also keep sounds
Recorder  the trackers of a run
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from toolkit.config import Part
from toolkit.core.summaries import finite
from toolkit.training.run_directory import METRICS


class Tracker(Protocol):
    """Writes metrics. ``offset`` and ``cut`` make a resumed run continue where its checkpoint was."""

    def write(self, step: int, seconds: float, metrics: Mapping[str, float]) -> None: ...

    def offset(self) -> int: ...

    def cut(self, offset: int) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """``metrics.jsonl``: ``{"step", "time", name: value, ...}`` a line; time is in seconds of the run."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / METRICS
        self._file = self._path.open("ab")

    def write(self, step: int, seconds: float, metrics: Mapping[str, float]) -> None:
        row = {"step": step, "time": round(seconds, 3), **metrics}
        self._file.write(json.dumps(finite(row)).encode() + b"\n")
        self._file.flush()

    def offset(self) -> int:
        return self._file.tell()

    def cut(self, offset: int) -> None:
        cut_file(self._file, offset)

    def close(self) -> None:
        self._file.close()


class TensorBoard:
    """One TensorBoard event file beside ``metrics.jsonl``, continued by a resumed run.

    TensorBoard's own record writer and messages are used; its threaded file writer is not, since
    it cannot be cut back to an offset.
    """

    def __init__(self, directory: Path) -> None:
        known = sorted(directory.glob("events.out.tfevents.*"))
        path = known[0] if known else directory / f"events.out.tfevents.{int(time.time())}.toolkit"
        self._file = path.open("ab")
        self._writer: Any = None

    def write(self, step: int, seconds: float, metrics: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._append(step, [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()])

    def write_sounds(self, step: int, sounds: Mapping[str, tuple[Any, int]]) -> None:
        """Waveforms [T] in [-1, 1] and their rates (Hz), to be listened to in TensorBoard."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=f"samples/{name}", audio=Summary.Audio(
            sample_rate=rate, num_channels=1, length_frames=len(waveform), encoded_audio_string=wav_bytes(waveform, rate),
            content_type="audio/wav")) for name, (waveform, rate) in sounds.items()]
        self._append(step, values)

    def _append(self, step: int, values: list[Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        if self._writer is None:
            from tensorboard.summary.writer.record_writer import RecordWriter

            self._writer = RecordWriter(self._file)
            if self._file.tell() == 0:
                self._writer.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        self._writer.write(Event(wall_time=time.time(), step=step, summary=Summary(value=values)).SerializeToString())
        self._file.flush()

    def offset(self) -> int:
        return self._file.tell()

    def cut(self, offset: int) -> None:
        cut_file(self._file, offset)

    def close(self) -> None:
        self._file.close()


def wav_bytes(waveform: Any, rate: int) -> bytes:
    """A waveform [T] as a 16-bit WAV file."""
    from toolkit.audio import io

    file = BytesIO()
    io.save(file, waveform, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def cut_file(file: BinaryIO, offset: int) -> None:
    """Shorten an append-mode file to ``offset`` bytes; one that is shorter already is left alone."""
    file.flush()
    file.seek(0, os.SEEK_END)
    if file.tell() > offset:
        file.truncate(offset)
        file.seek(0, os.SEEK_END)


class Recorder:
    """All trackers of a run."""

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self._trackers = dict(trackers)

    def write(self, step: int, seconds: float, metrics: Mapping[str, float]) -> None:
        for tracker in self._trackers.values():
            tracker.write(step, seconds, metrics)

    def write_sounds(self, step: int, sounds: Mapping[str, tuple[Any, int]]) -> None:
        """Give sounds to the trackers that keep them."""
        for tracker in self._trackers.values():
            keep = getattr(tracker, "write_sounds", None)
            if keep is not None and sounds:
                keep(step, sounds)

    def offsets(self) -> dict[str, int]:
        return {name: tracker.offset() for name, tracker in self._trackers.items()}

    def cut(self, offsets: Mapping[str, int]) -> None:
        for name, offset in offsets.items():
            if name in self._trackers:
                self._trackers[name].cut(offset)

    def close(self) -> None:
        for tracker in self._trackers.values():
            # What cannot be written was an error when it was written; here it would hide that error.
            with contextlib.suppress(OSError):
                tracker.close()


def make_recorder(directory: Path, chosen: Sequence[str | Part] = ("tensorboard",)) -> Recorder:
    """``metrics.jsonl``, which resume and comparisons read, and the trackers ``chosen`` beside it, writing into ``directory``."""
    from toolkit.registry import registry

    trackers: dict[str, Tracker] = {}
    for part in ("jsonl", *chosen):
        entry = registry.get("tracker", part.name if isinstance(part, Part) else part)
        if entry.written not in trackers:
            trackers[entry.written] = registry.make("tracker", part, directory=directory)
    return Recorder(trackers)
