"""The folder that a run leaves behind, and how a RUN on the command line is found.

``run.json``        what was run, with which values from where, on what; at the end the parameters' hash
``metrics.jsonl``   and TensorBoard events: see `toolkit.training.recorder`
``checkpoints/``    see `toolkit.training.checkpoints`
``evaluations/``    one JSON file an evaluation, never overwritten
``lock``            empty; locked by the process that trains the run
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import importlib.metadata
import json
import os
import platform
import re
import shlex
import shutil
import struct
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO
from weakref import WeakValueDictionary

from toolkit.core.summaries import finite
from toolkit.errors import ToolkitError, UsageError
from toolkit.files import occupied, unused, write_atomically
from toolkit.training.checkpoints import MANIFEST, Checkpoints

RUNS = Path("runs")
REQUIRED = ("kind", "component", "config")  # without these run.json is not one of ours
METRICS, LOCK = "metrics.jsonl", "lock"
FLOCK = {"linux": ("hhqqi4x", 0, 4), "darwin": ("qqihh", 3, 2)}  # C's struct flock, and where in it are l_type and l_pid
LIBRARIES = ("torch", "numpy", "gymnasium", "safetensors")

CLAIMED: WeakValueDictionary[Path, RunDirectory] = WeakValueDictionary()  # the runs that this process writes to


class RunDirectory:
    """One run on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.checkpoints = Checkpoints(self.path / "checkpoints")
        self._claim: BinaryIO | None = None

    @classmethod
    def create(cls, out: str | None, name: str, subject: str, seed: int, facts: Mapping[str, Any]) -> RunDirectory:
        """A new run folder with these ``facts`` in ``run.json``: exactly ``out``, or a fresh name under ``./runs``.

        Raises UsageError when ``out`` holds something already, ToolkitError when it cannot be written and is gone.
        """
        try:
            usual = RUNS / f"{plain(name)}-{plain(subject)}-s{seed}-{time.strftime('%Y%m%d-%H%M%S')}"
            path = fresh(usual) if out is None else named(out)
            (path / "checkpoints").mkdir()
            (path / "evaluations").mkdir()
            directory = cls(path)
            directory.claim()
            try:
                directory.write(facts)
            except OSError:
                directory.release()
                shutil.rmtree(path, ignore_errors=True)  # it is this process's alone
                raise
        except OSError as error:
            raise ToolkitError(f"the run folder {out or RUNS} cannot be written: {error.strerror or error}. "
                               "Name a folder that you may write with --out DIR") from error
        return directory

    def claim(self) -> None:
        """Be the one that writes to this run, until `release`. Raises UsageError where another process is, or this one already.

        A process loses its locks on a file when it closes the file, however often it has it open. So the file is one that
        nothing else opens, and it is opened once.
        """
        if self.path in CLAIMED:
            raise UsageError(f"this process is training the run {self.path} already. Wait until it has ended")
        file = (self.path / LOCK).open("ab")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                number = lock_holder(file)
                file.close()  # now: later it could take with it the lock that this process has by then
                whose, end = (f", {number},", f": kill {number}") if number else ("", "; run.json has its number as process")
                raise UsageError(f"another process{whose} is training the run {self.path}. Wait until it has ended, or end it"
                                 f"{end}. It saves a checkpoint first") from error
            # Else the file system knows no locks, and whoever uses it has to take care.
        self._claim, CLAIMED[self.path] = file, self

    def release(self) -> None:
        """Let others write to this run."""
        if CLAIMED.get(self.path) is self:
            del CLAIMED[self.path]
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def moved_to(self) -> Path | None:
        """Where this folder is now that it was moved while it was claimed; None where the system does not tell, or it is gone."""
        if self._claim is not None:
            with contextlib.suppress(OSError):
                place = Path(os.readlink(f"/proc/self/fd/{self._claim.fileno()}")).parent
                return place if (place / "run.json").is_file() else None
        return None

    def read(self) -> dict[str, Any]:
        """The content of ``run.json``."""
        try:
            facts = json.loads((self.path / "run.json").read_text())
        except (OSError, ValueError) as error:
            raise ToolkitError(f"{self.path / 'run.json'} cannot be read: {error}") from error
        if not isinstance(facts, dict) or any(name not in facts for name in REQUIRED):
            raise ToolkitError(f"{self.path / 'run.json'} cannot be read: it is not that of a run, which has "
                               f"{', '.join(REQUIRED)} and more")
        return facts

    def newest(self) -> int:
        """The step of the final checkpoint, or of the last one of an unfinished run. Raises UsageError where there is none."""
        final = self.checkpoints.linked("final")
        if final is not None and self.read().get("status") == "finished":
            return final
        steps = self.checkpoints.steps()
        if not steps:
            raise UsageError(f"{self.path} holds no checkpoint yet")
        return steps[-1]

    def states(self, step: int | None = None) -> dict[str, Any]:
        """The parts of the checkpoint at ``step``, or of the newest. Raises CheckpointError when it is damaged."""
        return self.checkpoints.load(self.newest() if step is None else step)

    def write(self, facts: Mapping[str, Any]) -> None:
        write_atomically(self.path / "run.json", json.dumps(finite(facts), indent=1).encode())

    def update(self, **facts: Any) -> None:
        self.write({**self.read(), **facts})

    def sweep(self) -> None:
        """Remove what a killed process left half-written."""
        self.checkpoints.sweep()
        for folder in (self.path, self.path / "evaluations"):
            for path in folder.glob(".*.json-*"):
                path.unlink()

    def write_evaluation(self, name: str, content: Mapping[str, Any]) -> Path:
        """Write ``evaluations/<name>.json``; an equal one is kept, another is never overwritten."""
        path = self.path / "evaluations" / f"{name}.json"
        if not path.parent.exists():  # it may have been deleted
            path.parent.mkdir()
        data = json.dumps(finite(content), indent=1)
        if path.exists() and path.read_text() == data:
            return path
        path = unused(path)
        write_atomically(path, data.encode())
        return path

    def write_sounds(self, name: str, sounds: Mapping[str, tuple[Any, int]]) -> None:
        """Write ``samples/<name>/<sound>.wav`` for each waveform [T] and its rate (Hz)."""
        if not sounds:
            return
        from toolkit.audio import io

        folder = self.path / "samples" / name
        folder.mkdir(parents=True, exist_ok=True)
        for title, (waveform, rate) in sounds.items():
            io.save(folder / f"{plain(title)}.wav", waveform, rate, overwrite=True)


def lock_holder(file: BinaryIO) -> int | None:
    """The number of the process that holds a lock on ``file``; None where the system does not tell, or cannot from here."""
    if sys.platform not in FLOCK:
        return None
    layout, kind, number = FLOCK[sys.platform]
    fields = [0] * 5
    fields[kind] = fcntl.F_WRLCK
    try:
        found = struct.unpack(layout, fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(layout, *fields)))
    except OSError:
        return None
    return found[number] if found[kind] != fcntl.F_UNLCK and found[number] > 0 else None


def named(out: str) -> Path:
    """The folder ``out``, made where it is not there. Raises UsageError for a file, and for a folder that holds something."""
    path, shown = Path(out), shlex.quote(out)
    if path.exists() and not path.is_dir():
        raise UsageError(f"--out {shown}: it is a file. Name a folder that is empty or not there yet")
    if occupied(path):
        what = "it exists and is not" if out else "that is the folder which you are in, and it is not"
        going_on = f", or continue that run: toolkit resume {shlex.quote(str(path))}" if (path / "run.json").is_file() else ""
        raise UsageError(f"--out {shown}: {what} an empty folder, and no run is overwritten. Name another folder{going_on}")
    path.mkdir(parents=True, exist_ok=True)
    return path


def fresh(path: Path) -> Path:
    """A folder made at ``path``, or at ``path-2``, ...: by this process alone, whatever others begin in the same second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        candidate = unused(path)
        with contextlib.suppress(FileExistsError):
            candidate.mkdir()
            return candidate


def plain(text: str) -> str:
    """``text`` with the characters that a folder name should not hold replaced by ``-``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-")


def find_run(text: str) -> tuple[RunDirectory, int | None]:
    """The run that RUN names, and the step when it names a checkpoint.

    RUN is a run folder, a checkpoint folder (also ``best`` or ``final``), or ``latest``.
    Raises UsageError saying what was looked for.
    """
    path = latest() if text == "latest" else Path(os.path.abspath(text))  # also of "." and "best", inside a run
    if (path / "run.json").is_file():
        return RunDirectory(path), None
    if path.exists() and (path.parent.parent / "run.json").is_file() and path.parent.name == "checkpoints":
        directory = RunDirectory(path.parent.parent)
        step = int(path.name) if path.name.isdigit() else directory.checkpoints.linked(path.name)
        if step is not None:
            return directory, step
    if (path / MANIFEST).exists():
        raise UsageError(f"{text}: a checkpoint outside its run; evaluate it in place, as RUN/checkpoints/STEP")
    raise UsageError(f"{text}: not a run. Allowed: a run folder (it holds run.json), a checkpoint folder inside one, "
                     "or 'latest' for the newest under ./runs. Start one: toolkit run dqn --env CartPole-v1")


def latest() -> Path:
    """The newest run under ``./runs``."""
    runs = [path.parent for path in RUNS.glob("*/run.json")]
    if not runs:
        raise UsageError(f"latest: there is no run under {RUNS.resolve()}. Start one: toolkit run dqn --env CartPole-v1")
    return max(runs, key=lambda path: ((path / "run.json").stat().st_mtime_ns, path.name))


def machine() -> dict[str, Any]:
    """What the run was computed on."""
    return {"platform": platform.platform(), "python": sys.version.split()[0], "cpus": os.cpu_count(),
            "processor": platform.processor() or platform.machine()}


def library_versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in LIBRARIES}
