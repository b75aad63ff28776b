"""Features kept on disk: one memory-mapped array a clip, found again by content and settings.

extract       the features of clips under a folder; what is there already is not computed again
FeatureStore  such a folder, read: clips and memory-mapped features by index

A folder holds ``frontend.json`` (name, options, FrameSpec), ``manifest.jsonl`` (the clips' rows with ``features``,
the array's file, and ``frames``) and ``arrays/KEY.npy`` [frames, bins] float32. KEY is the SHA-256 of the file's
bytes, the stretch and the front end's settings, so that a changed file or setting gives another one.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.audio import io, manifests
from toolkit.audio.frontends import make_frontend
from toolkit.audio.spec import FrameSpec
from toolkit.errors import ToolkitError, UsageError

if TYPE_CHECKING:
    import numpy as np

MANIFEST, FRONTEND, ARRAYS = "manifest.jsonl", "frontend.json", "arrays"
Watch = Callable[[Iterable[Any], int, float], Iterator[Any]]  # sees blocks [..., T] go by, of a rate (Hz) and a clip's seconds
VERSION = 1  # of what a key stands for; raised when front ends change their numbers
LONG_SECONDS = 120.0  # recordings above it are read in blocks, in constant memory


@dataclass(frozen=True)
class Done:
    """What became of one clip: its array (``key``) with ``frames``, or the ``problem`` that kept it from having one."""

    key: str = ""
    frames: int = 0
    reused: bool = False
    problem: str = ""


@dataclass
class Extracted:
    """Clips with features, how many of them were there already, and the messages of those without."""

    clips: list[manifests.Clip] = field(default_factory=list)
    reused: int = 0
    problems: list[str] = field(default_factory=list)


class FeatureStore:
    """The folder that `extract` wrote. ``store[i]`` is an array [frames, bins], read from disk where it is touched."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        facts = read_facts(self.folder)
        self.frontend: str = facts["name"]
        self.options: dict[str, Any] = facts["options"]
        self.spec = FrameSpec.from_json(facts["spec"])
        self.clips = manifests.read(self.folder / MANIFEST)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> np.ndarray:
        import numpy as np

        return np.load(self.folder / self.clips[index].more["features"], mmap_mode="r", allow_pickle=False)


def unwatched(blocks: Iterable[np.ndarray], rate: int, total: float) -> Iterator[np.ndarray]:
    """The blocks, unseen."""
    return iter(blocks)


def extract(clips: Sequence[manifests.Clip], name: str, options: Mapping[str, Any], out: str | os.PathLike[str],
            workers: int = 0, advance: Callable[[Done], None] = lambda done: None, watch: Watch = unwatched,
            overwrite: bool = False) -> Extracted:
    """Features of ``clips`` by the front end ``name`` in the folder ``out``; clips that cannot be used are reported.

    ``workers`` processes share the work; 0 does it here, and then ``watch`` sees the blocks of long clips. Raises
    UsageError when ``out`` holds other things or another front end's features, or would no longer list clips that it does,
    unless ``overwrite``.
    """
    folder = Path(out)
    frontend = make_frontend(name, options)
    facts = {"name": name, "options": dict(options), "spec": frontend.spec.json(), "version": VERSION}
    prepare_folder(folder, facts)
    if not overwrite:
        refuse_forgetting(folder, clips)
    result = Extracted()
    for clip, done in zip(clips, work_through(clips, frontend, facts, folder, workers, watch)):
        advance(done)
        if done.problem:
            result.problems.append(done.problem)
            continue
        result.reused += done.reused
        more = {**clip.more, "features": f"{ARRAYS}/{done.key}.npy", "frames": done.frames}
        result.clips.append(replace(clip, path=str(Path(clip.path).absolute()), more=more))
    manifests.write(folder / MANIFEST, result.clips, overwrite=True)
    return result


def prepare_folder(folder: Path, facts: Mapping[str, Any]) -> None:
    """Make the folder, or check that it holds features of the same settings. Raises UsageError."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; features need a folder")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / FRONTEND).exists():
            raise UsageError(f"{folder} holds other things; name a new folder, or one with features of the same front end")
        there = read_facts(folder)
        if {key: there.get(key) for key in facts} != json.loads(json.dumps(facts)):
            differences = FrameSpec.from_json(there["spec"]).differences(FrameSpec.from_json(facts["spec"]))
            said = "; ".join(f"{key}: {one!r} there, {other!r} asked" for key, (one, other) in differences.items())
            raise UsageError(f"{folder} holds features of {there['name']} with other settings ({said or 'another version'}). "
                             "Name another folder")
    (folder / ARRAYS).mkdir(parents=True, exist_ok=True)
    (folder / FRONTEND).write_text(json.dumps(facts, indent=1), encoding="utf-8")


def refuse_forgetting(folder: Path, clips: Sequence[manifests.Clip]) -> None:
    """Raise UsageError where the folder lists clips that are not among ``clips``, though their files are still there."""
    if not (folder / MANIFEST).exists():
        return
    given = {(str(Path(clip.path).absolute()), clip.start) for clip in clips}
    there = [manifests.clip_or_fault(row, folder.absolute()) for row in manifests.rows_of(folder / MANIFEST)]
    lost = [clip for clip in there if isinstance(clip, manifests.Clip) and (clip.path, clip.start) not in given
            and Path(clip.path).exists()]
    if lost:
        raise UsageError(f"{folder} lists {len(lost)} clips that are not among these, such as {lost[0].path}, and would not any "
                         "longer. Give those too (what is there is not computed again), name another folder, or let the list be "
                         "replaced (--overwrite, overwrite=True)")


def read_facts(folder: Path) -> dict[str, Any]:
    """What ``frontend.json`` holds. Raises UsageError when the folder is no store of features."""
    try:
        facts = json.loads((folder / FRONTEND).read_text(encoding="utf-8"))
        if not isinstance(facts, dict) or not {"name", "options", "spec"} <= set(facts):
            raise ValueError("it lacks name, options or spec")
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} holds no features that can be read ({error}). Make some: "
                         f"toolkit audio features FILES --out {folder}") from error
    return facts


# -- the work


_worker: tuple[Any, Mapping[str, Any], Path] | None = None  # of a worker process: front end, facts, folder


def work_through(clips: Sequence[manifests.Clip], frontend: Any, facts: Mapping[str, Any], folder: Path, workers: int,
                 watch: Watch = unwatched) -> Iterator[Done]:
    """What became of each clip, in order."""
    if workers <= 0:
        begin_worker(facts, folder)
        yield from map(partial(work, watch=watch), clips)
        return
    compile_once(frontend)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, begin_worker, (facts, folder, 1))
    try:
        yield from pool.map(work, clips, chunksize=max(1, min(16, len(clips) // (4 * workers))))
    except BrokenProcessPool as error:
        raise ToolkitError(f"a worker process was killed (out of memory?). What was done is kept in {folder}; the same command "
                           "goes on from there. Fewer workers need less memory: --workers 1") from error
    finally:
        pool.shutdown(cancel_futures=True)


def compile_once(frontend: Any) -> None:
    """Let numba compile here what the front end calls: see `toolkit.audio.analysis.pyin`, which takes turns by itself. Front
    ends of plugins need not."""
    import torch

    with torch.inference_mode():
        frontend(torch.randn(frontend.spec.sample_rate, generator=torch.Generator().manual_seed(0)))


def begin_worker(facts: Mapping[str, Any], folder: Path, threads: int = 0) -> None:
    global _worker
    import torch

    if threads:
        torch.set_num_threads(threads)
    _worker = make_frontend(facts["name"], facts["options"]), facts, folder


def work(clip: manifests.Clip, watch: Watch = unwatched) -> Done:
    """Make sure that the clip's array exists."""
    assert _worker is not None
    frontend, facts, folder = _worker
    try:
        manifests.seconds_of(clip)  # also where an array is there already: one of a stretch that was cut short
        key = key_of(clip, facts)
        path = folder / ARRAYS / f"{key}.npy"
        there = frames_there(path, frontend.spec.bins)
        frames = write_features(path, frontend, clip, watch) if there is None else there
        if not frames:
            raise too_short(frontend, clip)
        return Done(key, frames, reused=there is not None)
    except io.AudioError as error:
        return Done(problem=str(error))


def key_of(clip: manifests.Clip, facts: Mapping[str, Any]) -> str:
    """The name of a clip's array. Raises AudioError when the file cannot be read."""
    io.check_path(Path(clip.path))
    settings = json.dumps([facts["version"], facts["spec"], clip.start, clip.duration], sort_keys=True)
    with open(clip.path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(settings.encode())
    return digest.hexdigest()[:40]


def too_short(frontend: Any, clip: manifests.Clip) -> io.AudioError:
    """What to raise for a clip that gives no frame."""
    samples = round(manifests.seconds_of(clip) * frontend.spec.sample_rate)
    return io.AudioError(f"{clip.path}: {frontend.spec.too_short(samples)}")


def frames_there(path: Path, bins: int) -> int | None:
    """The frames of an array on disk; None when there is none or it is damaged."""
    import numpy as np

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    return len(array) if array.ndim == 2 and array.shape[1] == bins and array.dtype == np.float32 else None


def write_features(path: Path, frontend: Any, clip: manifests.Clip, watch: Watch = unwatched) -> int:
    """Write the clip's features [frames, bins]; the file appears complete or not at all. Raises AudioError."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        temporary = Path(file.name)
        try:
            frames = write_array(file, blocks_of(frontend, clip, watch), frontend.spec.bins)
            file.flush()
            os.chmod(temporary, 0o666 & ~io.current_umask())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return frames


def write_array(file: Any, blocks: Iterator[np.ndarray], bins: int) -> int:
    """An .npy array of rows that come in blocks; its header, written last, has room for any number of rows."""
    import numpy as np

    def header(rows: int) -> None:
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (rows, bins)})

    header(0)
    start, rows = file.tell(), 0
    for block in blocks:
        file.write(np.ascontiguousarray(block, dtype="<f4"))
        rows += len(block)
    header(rows)
    assert file.tell() == start
    return rows


def blocks_of(frontend: Any, clip: manifests.Clip, watch: Watch = unwatched) -> Iterator[np.ndarray]:
    """The features of a clip: at once, or in blocks that ``watch`` sees where it is long and the front end can stream."""
    import torch

    rate: int = frontend.spec.sample_rate
    duration = manifests.seconds_of(clip)
    whole_clip: str = getattr(frontend, "whole_clip", "")
    if duration <= LONG_SECONDS or whole_clip:
        with torch.inference_mode():
            yield frontend(clip.load(rate)[0][0])[0].float().numpy()
        return
    stream = frontend.stream()
    blocks = io.blocks(clip.path, rate, mono=True, offset=clip.start, duration=clip.duration)
    for block in watch(blocks, rate, duration):
        yield stream.push(torch.from_numpy(block[0])).float().numpy()
    yield stream.finish().float().numpy()
