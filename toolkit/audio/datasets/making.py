"""The process that makes a stored data set: ``python -m toolkit.audio.datasets.making NAME OPTIONS FOLDER``.

A failure is one line on stdout; exit codes 3 a missing package, 2 wrong options, 1 anything else. The
progress bar goes to stderr where that is a terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolkit.audio.datasets import emotions, music, spoken, stored, synthetic
from toolkit.errors import MissingExtra, ToolkitError, UsageError

# name -> options to (clips, how many)
RECIPES: dict[str, Any] = {**spoken.RECIPES, **synthetic.RECIPES, **music.RECIPES, **emotions.RECIPES}


def main(name: str, options: str, folder: str) -> int:
    try:
        clips, total = RECIPES[name](**json.loads(options))
        stored.write(Path(folder), shown(clips, total, name))
    except (ToolkitError, OSError) as error:
        print(error)
        return 3 if isinstance(error, MissingExtra) else 2 if isinstance(error, UsageError) else 1
    return 0


def shown(clips: Iterator[Any], total: int, name: str) -> Iterator[Any]:
    """The same clips, with a bar on a terminal."""
    if not sys.stderr.isatty():
        print(f"making {name}: {total:,} clips, once", file=sys.stderr)
        yield from clips
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(clips, f"making {name}", total, console=Console(stderr=True), transient=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
