"""Installed distributions with an entry point in a group, remembered until an installation changes.

`importlib.metadata` opens a file of every distribution there is, and takes longer to import than
the registry; most commands meet the distributions that the last one met.
"""

from __future__ import annotations

import os
import sys
import zlib
from typing import NamedTuple

from toolkit.files import cache_directory, keep, kept, stamps

FOLDERS = (".dist-info", ".egg-info")  # of a distribution's facts
FACTS = ("", "entry_points.txt", "METADATA", "PKG-INFO")  # what a new version changes in it; the first is the folder itself


class Guest(NamedTuple):
    """A distribution with an entry point, its version, and the point's ``"module:function"``."""

    distribution: str
    version: str
    target: str


def guests_of(group: str) -> list[Guest]:
    """The entry points of the group, each once, sorted."""
    found = {folder: facts for folder in map(os.path.abspath, sys.path) if (facts := stamps(places(folder)))}
    asked = repr([group, sys.executable, *found])
    path = cache_directory() / "plugins" / f"installed-{zlib.crc32(asked.encode()):08x}.json"
    known = kept(path)
    if known is not None and known.get("found") == found and not others():
        return [Guest(*row) for row in known["points"]]
    points = read(group)
    keep(path, {"found": found, "points": points})
    return points


def read(group: str) -> list[Guest]:
    """The entry points as `importlib.metadata` finds them; an editable install may be seen twice."""
    import importlib.metadata

    points = importlib.metadata.entry_points(group=group)
    return sorted({Guest(point.dist.name, point.dist.version, point.value) for point in points if point.dist is not None})


def places(folder: str) -> list[str]:
    """The files in a folder of ``sys.path`` that tell of its distributions; the folder itself where it is an archive."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.path for entry in entries if entry.name.endswith(FOLDERS) or entry.name == "EGG-INFO"]
    except NotADirectoryError:
        return [folder]
    except OSError:
        return []
    return [os.path.join(name, fact) if fact else name for name in names for fact in FACTS]


def others() -> bool:
    """Whether somebody's import hook may know of distributions that are in no folder."""
    from importlib.machinery import PathFinder

    return any(hasattr(finder, "find_distributions") and finder is not PathFinder for finder in sys.meta_path)
