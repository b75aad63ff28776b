"""Checkpoints: a folder of named parts, safe to read and impossible to half-write.

``<step>/manifest.json``       format, step, facts, and size and SHA-256 of every file; written last
``<step>/<part>.json``         the part's plain values
``<step>/<part>.safetensors``  its tensors and arrays, where it has any

A checkpoint is written under a temporary name, flushed to the disk and renamed. Nothing is
pickled, and nothing is read before the manifest vouches for it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.errors import ToolkitError
from toolkit.files import digest, sync_folder, unused, write_synced

FORMAT = 1
MANIFEST = "manifest.json"
LINKS = ("best", "final")
KEPT = 2  # the last so many are kept, beside the best, the final one and step 0


class CheckpointError(ToolkitError):
    """A checkpoint cannot be written or read; the message names the last good one."""


class Checkpoints:
    """The folder ``checkpoints`` of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, step: int) -> Path:
        return self.folder / str(step)

    def steps(self) -> list[int]:
        """Steps of the checkpoints present, ascending; damaged ones included."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit() and path.is_dir())

    def linked(self, name: str) -> int | None:
        """The step that ``best`` or ``final`` points at; where a program that follows links has copied the run, that it holds."""
        place = (self.folder / name).resolve()
        if place.name.isdigit():
            return int(place.name)
        return int(read_manifest(place)["step"]) if place.is_dir() and (place / MANIFEST).exists() else None

    # -- writing

    def save(self, step: int, parts: Mapping[str, Any], facts: Mapping[str, Any]) -> Path:
        """Write the states of all parts as checkpoint ``step``.

        Raises CheckpointError when the disk refuses; what was there before is left as it was.
        """
        temporary = self.folder / f".writing-{step}-{os.getpid()}"
        try:
            self.folder.mkdir(exist_ok=True)  # its run's folder is there, or was moved away: to make that anew would hide it
            temporary.mkdir()
            files: dict[str, dict[str, Any]] = {}
            for name, state in parts.items():
                files.update(write_part(temporary, name, state))
            manifest = {"format": FORMAT, "step": step, "facts": dict(facts), "files": files}
            write_synced(temporary / MANIFEST, json.dumps(manifest, indent=1).encode())
            sync_folder(temporary)
            self._put_in_place(temporary, step)
        except Exception as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if isinstance(error, OSError) or type(error).__name__ == "SafetensorError":
                raise self._refused(step, error) from error
            raise
        return self.path(step)

    def _put_in_place(self, temporary: Path, step: int) -> None:
        path = self.path(step)
        aside = self.folder / f".replaced-{step}-{os.getpid()}"
        if path.exists():
            os.rename(path, aside)
        os.rename(temporary, path)
        sync_folder(self.folder)
        shutil.rmtree(aside, ignore_errors=True)

    def _refused(self, step: int, error: Exception) -> CheckpointError:
        place = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        free = shutil.disk_usage(place).free / 2**20
        reasons = {errno.ENOSPC: f"the disk is full ({free:.0f} MiB free)",
                   errno.EDQUOT: "your quota of the disk is used up (see: quota)",
                   errno.EFBIG: "a file may not be so large here (see: ulimit -f)"}
        # safetensors gives the system's text and number, but no errno.
        reason = next((text for code, text in reasons.items()
                       if code == getattr(error, "errno", None) or f"(os error {code})" in str(error)), str(error))
        return CheckpointError(f"checkpoint {step} could not be written to {self.folder}: {reason}. {self.advice(step)}")

    def link(self, name: str, step: int) -> None:
        """Point ``best`` or ``final`` at a checkpoint, by a relative link."""
        temporary = self.folder / f".{name}-{os.getpid()}"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(str(step), target_is_directory=True)
        os.replace(temporary, self.folder / name)

    def prune(self) -> None:
        """Remove all but the last two, the best, the final and the first."""
        keep = {*map(self.linked, LINKS), 0, *self.steps()[-KEPT:]}
        for step in self.steps():
            if step not in keep:
                shutil.rmtree(self.path(step))

    def sweep(self) -> None:
        """Remove what a killed process left half-written, put back what it had moved aside; links are links again."""
        for path in self.folder.glob(".writing-*"):
            shutil.rmtree(path)
        for path in self.folder.glob(".replaced-*"):
            self._restore(path, int(path.name.split("-")[1]))
        for name in LINKS:
            for path in self.folder.glob(f".{name}-*"):
                path.unlink()
            place, step = self.folder / name, self.linked(name)
            if step is not None and not place.is_symlink():
                self._restore(place, step)
                self.link(name, step)

    def _restore(self, path: Path, step: int) -> None:
        """Make ``path`` checkpoint ``step`` where there is none, else remove it."""
        if self.path(step).exists():
            shutil.rmtree(path)
        else:
            os.rename(path, self.path(step))

    def set_aside(self, after: int) -> Path | None:
        """Move the checkpoints later than ``after`` to ``superseded``; nothing is deleted."""
        later = [step for step in self.steps() if step > after]
        if not later:
            return None
        place = unused(self.folder / "superseded")
        place.mkdir(parents=True)
        for name in LINKS:
            if (self.linked(name) or 0) > after:
                (self.folder / name).unlink()
        for step in later:
            os.rename(self.path(step), place / str(step))
        return place

    # -- reading

    def load(self, step: int) -> dict[str, Any]:
        """The states of all parts of checkpoint ``step``, verified.

        Raises CheckpointError saying what is damaged and naming the last good checkpoint.
        """
        try:
            return read(self.path(step))
        except CheckpointError as error:
            raise CheckpointError(f"{error}. {self.advice(step)}") from error

    def advice(self, damaged: int) -> str:
        """Where to continue from when checkpoint ``damaged`` cannot be used."""
        for step in reversed(self.steps()):
            if step != damaged and is_good(self.path(step)):
                return f"The last good checkpoint is {step}: toolkit resume {shlex.quote(str(self.folder.parent))} --from {step}"
        return "There is no other good checkpoint in this run."


def write_part(folder: Path, name: str, state: Any) -> dict[str, dict[str, Any]]:
    """Write one part; its files with size and SHA-256."""
    from safetensors.torch import save_file

    from toolkit.core.state import split

    tensors, skeleton = split(state)
    data = json.dumps(skeleton).encode()
    write_synced(folder / f"{name}.json", data)
    files = {f"{name}.json": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}}
    if tensors:
        path = folder / f"{name}.safetensors"
        save_file(tensors, path)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        files[path.name] = {"size": path.stat().st_size, "sha256": digest(path)}
    return files


def read(path: Path) -> dict[str, Any]:
    """The states of all parts of the checkpoint at ``path``; raises CheckpointError when damaged."""
    manifest = verified_manifest(path)
    states: dict[str, Any] = {}
    for name in manifest["files"]:
        part, _, suffix = name.rpartition(".")
        if suffix == "json":
            states[part] = read_part(path, part, f"{part}.safetensors" in manifest["files"])
    return states


def read_part(path: Path, part: str, has_tensors: bool) -> Any:
    """One part's state; raises CheckpointError when its files, though vouched for, are not what their names say."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from toolkit.core.state import join

    name = f"{part}.safetensors"
    try:
        tensors = load_file(path / name) if has_tensors else {}
        name = f"{part}.json"
        return join(tensors, json.loads((path / name).read_text()))
    except (SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise CheckpointError(f"checkpoint {path} is damaged: {name} cannot be read: {error}") from error


def verified_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint whose files are exactly what it says, byte for byte."""
    manifest = read_manifest(path)
    for name, facts in manifest["files"].items():
        check_file(path, name, facts)
    present = {entry.name for entry in path.iterdir()}
    for name in sorted(present - set(manifest["files"]) - {MANIFEST}):
        raise CheckpointError(f"checkpoint {path} is damaged: it holds {name!r}, which its manifest does not list; "
                              "nothing of it was read")
    return manifest


def read_manifest(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise CheckpointError(f"there is no checkpoint {path}")
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        newest = manifest["format"]
        files = manifest["files"]
        known = isinstance(newest, int) and isinstance(manifest["step"], int) and isinstance(files, dict) and files and all(
            isinstance(facts, dict) for facts in files.values())
    except FileNotFoundError:
        raise CheckpointError(f"checkpoint {path} is damaged: {MANIFEST} is missing") from None
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"checkpoint {path} is damaged: {MANIFEST} cannot be read") from None
    if not known:
        raise CheckpointError(f"checkpoint {path} is damaged: {MANIFEST} is not a manifest")
    if newest > FORMAT:
        raise CheckpointError(f"checkpoint {path} has format {newest}, and this toolkit reads up to {FORMAT}: upgrade toolkit")
    if path.name.isdigit() and int(path.name) != manifest["step"]:
        raise CheckpointError(f"checkpoint {path} is damaged: its {MANIFEST} is that of step {manifest['step']}")
    return dict(manifest)


def check_file(path: Path, name: str, facts: Any) -> None:
    """Raise CheckpointError unless the file is there, of an allowed type, whole and unchanged."""
    file = path / name
    if "/" in name or "\\" in name or not name.endswith((".json", ".safetensors")):
        raise CheckpointError(f"checkpoint {path} is damaged: {name!r} is not a kind of file that a checkpoint holds "
                              "(allowed: .json, .safetensors); it was not read")
    if not file.is_file():
        raise CheckpointError(f"checkpoint {path} is damaged: {name} is missing")
    if file.stat().st_size != facts.get("size"):
        raise CheckpointError(f"checkpoint {path} is damaged: {name} has {file.stat().st_size} bytes, not {facts.get('size')}")
    if digest(file) != facts.get("sha256"):
        raise CheckpointError(f"checkpoint {path} is damaged: the SHA-256 of {name} differs from the manifest's")


def is_good(path: Path) -> bool:
    try:
        verified_manifest(path)
    except CheckpointError:
        return False
    return True
