"""The folder that a run leaves behind, and how a RUN on the command line is found.

``run.json``        what was run, with which values from where, on what; at the end the parameters' hash
``metrics.jsonl``   and TensorBoard events: see `toolkit.training.recorder`
``checkpoints/``    see `toolkit.training.checkpoints`
``evaluations/``    one JSON file an evaluation, never overwritten
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.errors import ToolkitError, UsageError
from toolkit.training.checkpoints import MANIFEST, Checkpoints, unused, write_atomically

RUNS = Path("runs")
LIBRARIES = ("torch", "numpy", "gymnasium", "safetensors")


class RunDirectory:
    """One run on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.checkpoints = Checkpoints(self.path / "checkpoints")

    @classmethod
    def create(cls, out: str | None, name: str, subject: str, seed: int) -> RunDirectory:
        """A new run folder: exactly ``out``, or a fresh name under ``./runs``.

        Raises UsageError when ``out`` holds something already, ToolkitError when it cannot be written.
        """
        try:
            path = Path(out) if out else RUNS / f"{plain(name)}-{plain(subject)}-s{seed}-{time.strftime('%Y%m%d-%H%M%S')}"
            if out and path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise UsageError(f"--out {out}: it exists and is not an empty folder, and no run is overwritten. "
                                 f"Name another folder, or continue that run: toolkit resume {out}")
            path = path if out else unused(path)
            path.mkdir(parents=True, exist_ok=True)
            (path / "checkpoints").mkdir()
            (path / "evaluations").mkdir()
        except OSError as error:
            raise ToolkitError(f"the run folder {out or RUNS} cannot be written: {error.strerror or error}. "
                               "Name a folder that you may write with --out DIR") from error
        return cls(path)

    def read(self) -> dict[str, Any]:
        """The content of ``run.json``."""
        try:
            return dict(json.loads((self.path / "run.json").read_text()))
        except (OSError, ValueError) as error:
            raise ToolkitError(f"{self.path / 'run.json'} cannot be read: {error}") from error

    def write(self, facts: Mapping[str, Any]) -> None:
        write_atomically(self.path / "run.json", json.dumps(facts, indent=1).encode())

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
        data = json.dumps(content, indent=1)
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


def plain(text: str) -> str:
    """``text`` with the characters that a folder name should not hold replaced by ``-``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-")


def find_run(text: str) -> tuple[RunDirectory, int | None]:
    """The run that RUN names, and the step when it names a checkpoint.

    RUN is a run folder, a checkpoint folder (also ``best`` or ``final``), or ``latest``.
    Raises UsageError saying what was looked for.
    """
    path = latest() if text == "latest" else Path(text)
    if (path / "run.json").is_file():
        return RunDirectory(path), None
    if path.exists() and (path.parent.parent / "run.json").is_file() and path.parent.name == "checkpoints":
        step = path.resolve().name
        if step.isdigit():
            return RunDirectory(path.parent.parent), int(step)
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
