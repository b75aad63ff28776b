"""The command line in this process, for what is refused before anything is trained: a fork takes ten times as long."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from small_runs import Done

from toolkit.cli import exit_code


def asked_here(*words: str, cwd: Path) -> Done:
    """What ``toolkit WORDS`` does in the folder ``cwd``. An exception that no message is made of passes through."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = exit_code(list(words))
    return Done(code, out.getvalue(), err.getvalue())
