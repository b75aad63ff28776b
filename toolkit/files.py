"""Files: written whole or not at all, never over what somebody wants to keep; and whether they have changed.

No module of the package stands below this one, and it imports nothing that takes time.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

GLIMPSE = 4096  # bytes of a file that are looked at in one place


def cache_directory() -> Path:
    """Where what can be made again is kept: ``$TOOLKIT_CACHE/toolkit``, else in the user's cache."""
    base = os.environ.get("TOOLKIT_CACHE") or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "toolkit"


# -- writing


def write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` so that a reader sees the old or the new file, never a part."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        write_synced(temporary, data)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def occupied(path: Path) -> bool:
    """Whether something is there that would be written over: a file, or a folder that holds something."""
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


def unused(path: Path) -> Path:
    """``path``, or ``path-2``, ``path-3``, ...: the first that does not exist."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


# -- changes


def stamp(path: str) -> list[int] | None:
    """When the file or folder changed, in nanoseconds, and its size; None where there is none."""
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return [facts.st_mtime_ns, facts.st_size]


def stamps(paths: Iterable[str]) -> dict[str, list[int]]:
    """The stamps of those that are there."""
    return {path: kept for path in paths if (kept := stamp(path))}


def digest(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    import hashlib  # OpenSSL, which commands without a run need not load

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def glimpse(path: Path) -> str:
    """The SHA-256 of a file's size and of what it begins with, holds in the middle and ends with; ``gone`` where there is none.

    It costs the same for a recording of hours, and misses changes between these that keep the size.
    """
    import hashlib

    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            found = hashlib.sha256(str(size).encode())
            for place in (0, (size - GLIMPSE) // 2, size - GLIMPSE):
                file.seek(max(0, place))
                found.update(file.read(GLIMPSE))
    except OSError:
        return "gone"
    return found.hexdigest()


# -- caches


def kept(path: Path) -> dict[str, Any] | None:
    """The JSON object that was kept in ``path``; None where there is none, or half of one."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def keep(path: Path, value: dict[str, Any]) -> None:
    """Keep ``value`` as JSON; a cache that cannot be written costs time, not correctness, and is said once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
    except OSError as error:
        complain(path.parent, str(error.strerror or error))


@functools.cache
def complain(folder: Path, reason: str) -> None:
    print(f"toolkit: the cache {folder} cannot be written: {reason}", file=sys.stderr)
