"""What runs inside a worker process: its copies of the environment, and the loop that serves commands.

It imports gymnasium and the environment, and nothing of torch.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from toolkit.envs.base import Array, EnvSpec
from toolkit.errors import ToolkitError

PARENT_POLL_SECONDS = 1.0
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Block:
    """The arrays of one step of N copies, in shared memory."""

    def __init__(self, n_envs: int, observation: Array, action: Array, mask_size: int) -> None:
        shapes = {
            "observations": ((n_envs, *observation.shape), observation.dtype),
            "finals": ((n_envs, *observation.shape), observation.dtype),
            "actions": ((n_envs, *action.shape), action.dtype), "rewards": ((n_envs,), np.dtype(np.float64)),
            "terminated": ((n_envs,), np.dtype(np.bool_)), "truncated": ((n_envs,), np.dtype(np.bool_)),
            "masks": ((n_envs, mask_size), np.dtype(np.bool_)),
            "current": ((n_envs,), np.dtype(np.int64)),  # at a worker's first copy: the copy that it steps now
        }
        context = multiprocessing.get_context("spawn")
        self._raw = {name: (context.RawArray(ctypes.c_byte, max(1, int(np.prod(shape)) * dtype.itemsize)), shape, dtype)
                     for name, (shape, dtype) in shapes.items()}
        self._view()

    def _view(self) -> None:
        for name, (raw, shape, dtype) in self._raw.items():
            count = int(np.prod(shape))
            array: Array = np.frombuffer(memoryview(raw), dtype, count).reshape(shape) if count else np.zeros(shape, dtype)
            setattr(self, name, array)

    def __getstate__(self) -> dict[str, Any]:
        return {"_raw": self._raw}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._raw = state["_raw"]
        self._view()

    observations: Array
    finals: Array
    actions: Array
    rewards: Array
    terminated: Array
    truncated: Array
    masks: Array
    current: Array


def serve(connection: Connection, spec: EnvSpec, seeds: list[int], block: Block, begin: int, end: int) -> None:
    """Answer commands until the other side closes, or is gone."""
    for signum in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group; the parent saves, then closes its workers
        signal.signal(signum, signal.SIG_IGN)
    end_with_parent()
    copies = None
    try:
        copies = Copies(spec, seeds, block, begin, end)
        connection.send(("done", None))
        while (asked := connection.recv())[0] != "close":
            connection.send(("done", copies.answer(*asked)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone
    except Exception as error:  # whatever an environment raises is reported, not handled
        copy = int(block.current[begin]) if copies is not None else begin
        what = f" {error}" if isinstance(error, ToolkitError) else f"\n{traceback.format_exc().rstrip()}"
        with contextlib.suppress(OSError):  # the parent may have ended the run for another worker's failure
            connection.send(("failed", f"the environment failed in copy {copy} (seed {seeds[copy - begin]}, last action "
                                       f"{block.actions[copy]}):{what}"))
    finally:
        if copies is not None:
            copies.envs.close()


def end_with_parent() -> None:
    """End this process when its parent does, even in the middle of a step."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Copies:
    """A worker's copies, stepped one after another, and where they write."""

    def __init__(self, spec: EnvSpec, seeds: list[int], block: Block, begin: int, end: int) -> None:
        from toolkit.envs.factory import make_one
        from toolkit.envs.in_process import InProcess

        self.block, self.begin, self.rows = block, begin, slice(begin, end)
        self.envs = InProcess(lambda: make_one(spec), seeds, self.note, name=spec.id)
        self.has_masks = block.masks.shape[1] > 0

    def note(self, index: int) -> None:
        """Copy ``index`` of this worker is about to be stepped or reset."""
        self.block.current[self.begin] = self.begin + index

    def answer(self, command: str, payload: Any) -> Any:
        if command == "step":
            self.step()
        elif command == "reset":
            self.show(self.envs.reset())
        elif command == "get_state":
            return self.envs.get_state()
        else:
            return self.restore(payload)
        return None

    def step(self) -> None:
        block, rows = self.block, self.rows
        stepped = self.envs.step(block.actions[rows])
        block.rewards[rows] = stepped.rewards
        block.terminated[rows], block.truncated[rows] = stepped.terminated, stepped.truncated
        if stepped.final is not None:
            block.finals[self.begin + stepped.final.indices] = stepped.final.observations
        self.show(stepped.observations)

    def restore(self, state: dict[str, Any]) -> list[int]:
        """Continue from a state; the copies whose unfinished episodes are dropped."""
        if "fresh" in state:  # the worker was lost before the checkpoint
            self.envs.reseed(state["fresh"])
            self.show(self.envs.reset())
            return list(range(self.rows.start, self.rows.stop))
        self.show(self.envs.set_state(state))
        return [self.begin + index for index in self.envs.dropped]

    def show(self, observations: Array) -> None:
        self.block.observations[self.rows] = observations
        if self.has_masks and self.envs.masks is not None:
            self.block.masks[self.rows] = self.envs.masks
