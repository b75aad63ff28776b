"""Ctrl-C and SIGTERM: the first asks the run to stop at the next safe point, the second ends it at once.

The handler only sets a flag. Saving inside a signal handler fails now and then (it may interrupt a
save), so the trainer polls the flag between steps and during evaluation.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import Any

from toolkit.errors import ToolkitError

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STDERR = 2  # the file descriptor


class Interrupted(ToolkitError):
    """The run was interrupted; a checkpoint was saved. The exit code is 128 + the signal's number."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


class Interrupts:
    """A context in which the first signal sets ``pending`` and the second exits."""

    def __init__(self) -> None:
        self.pending: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        # Python allows signal handlers in the main thread only; elsewhere the caller's stay.
        if threading.current_thread() is threading.main_thread():
            for signum in SIGNALS:
                self._before[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _handle(self, signum: int, _: FrameType | None) -> None:
        if self.pending is not None:
            os._exit(128 + signum)
        self.pending = signum
        # Not print: the signal may have come in the middle of a write to the same buffered stream.
        with contextlib.suppress(OSError):
            os.write(STDERR, b"\ninterrupted: saving a checkpoint (once more to end at once)\n")

    def __call__(self) -> bool:
        """Whether the run should stop; the form that loops poll."""
        return self.pending is not None
