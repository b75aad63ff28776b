"""Worker processes, each with several copies of an environment; observations travel in shared memory.

Block        the arrays of a step, in memory that all processes share
Worker       one process, its share of the copies, and how often it failed
WorkerEnvs   the vector environment over all workers

A worker gets an environment's id and options, never a closure, and is started fresh (spawn), so it
does not inherit threads or locks. Its copies take the steps that they would take in this process:
the number of workers changes the speed of a run and nothing else.

A worker that dies, or gives no answer for ``timeout`` seconds, is replaced: its copies begin new
episodes, their broken ones are dropped. An exception of the environment is not such a failure: it
comes home with its traceback and ends the run.
"""

from __future__ import annotations

import itertools
import multiprocessing
import select
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.envs.base import Array, EnvSpec, Final, Stepped, later_seed, zeros
from toolkit.envs.in_process import InProcess
from toolkit.envs.worker_process import Block, serve
from toolkit.errors import ToolkitError

START_SECONDS = 120.0  # a new process imports gymnasium and the environment; that is not hanging
GONE_SECONDS = 1.0  # that a killed process may still be there after its pipe has closed
MAX_FAILURES, FAILURE_STEPS = 3, 1000  # so many failures of one worker within so many steps are repeated ones

UNGUARDED = 86  # the exit code of a worker that runs its starter's script, which starts workers


class EnvironmentFailed(ToolkitError):
    """An environment raised in a worker; the text says which copy, its seed, its action, and its traceback."""


class WorkersFailed(ToolkitError):
    """A worker failed again and again. The episodes of its ``copies`` are lost, the rest of the run is sound."""

    def __init__(self, text: str, copies: NDArray[np.int64] | None = None) -> None:
        super().__init__(text)
        self.copies = np.zeros(0, np.int64) if copies is None else copies


class Worker:
    """One process and its share ``[begin, end)`` of the copies."""

    def __init__(self, number: int, begin: int, end: int) -> None:
        self.number, self.begin, self.end = number, begin, end
        self.process: Any = None
        self.connection: Connection | None = None
        self.started = 0  # processes so far
        self.failures: list[int] = []  # the steps at which one failed

    def start(self, spec: EnvSpec, seeds: Sequence[int], block: Block) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self.process = context.Process(
            target=serve, args=(theirs, spec, list(seeds), block, self.begin, self.end), daemon=True,
            name=f"environments {self.begin} to {self.end - 1}")
        self.process.start()
        theirs.close()  # so that a dead worker reads as an end of file
        self.connection = ours
        self.started += 1

    def exit_code(self) -> int | None:
        """That of its process, once it has ended."""
        if self.process is None:
            return None
        self.process.join(GONE_SECONDS)
        return self.process.exitcode

    def stop(self, grace: float = 1.0) -> None:
        """End the process: asked first, then killed."""
        if self.connection is not None:
            try:
                self.connection.send(("close", None))
            except OSError:
                grace = 0.0
            self.connection.close()
            self.connection = None
        if self.process is not None:
            self.process.join(grace)
            if self.process.is_alive():
                self.process.kill()
                self.process.join()
            self.process = None


class WorkerEnvs:
    """``len(seeds)`` copies of an environment in ``workers`` processes."""

    def __init__(self, spec: EnvSpec, seeds: Sequence[int], workers: int, timeout: float,
                 make_one: Callable[[EnvSpec], Any]) -> None:
        if getattr(multiprocessing.current_process(), "_inheriting", False):  # a new process imports the script that started it
            sys.exit(UNGUARDED)
        one = InProcess(lambda: make_one(spec), [0], name=spec.id)
        self.observation_space, self.action_space = one.observation_space, one.action_space
        one.reset()
        one.close()
        self.spec, self.timeout, self.n_envs = spec, timeout, len(seeds)
        self._seeds, self._steps, self.lost_episodes = list(seeds), 0, 0
        self.dropped: list[int] = []
        self.block = Block(self.n_envs, zeros(self.observation_space, 1)[0], zeros(self.action_space, 1)[0],
                           0 if one.masks is None else one.masks.shape[1])
        self.masks: Array | None = None if one.masks is None else self.block.masks
        bounds = np.linspace(0, self.n_envs, min(workers, self.n_envs) + 1).astype(int).tolist()
        self.workers = [Worker(number, begin, end) for number, (begin, end) in enumerate(itertools.pairwise(bounds))]
        try:
            self._start(self.workers)
        except BaseException:
            self.close()
            raise

    # -- the interface of VectorEnv

    def reset(self) -> Array:
        self._all("reset", raising=True)
        return self.block.observations

    def step(self, actions: Array) -> Stepped:
        block = self.block
        block.actions[:] = actions
        self._steps += 1
        failed = self._all("step")
        lost = self._replace(failed) if failed else None
        ended = np.flatnonzero(block.terminated | block.truncated)
        valid = None
        if lost is not None:
            valid = np.ones(self.n_envs, bool)
            valid[lost] = False
        final = Final(ended, block.finals[ended]) if len(ended) else None
        return Stepped(block.observations, block.rewards, block.terminated, block.truncated, valid, final, lost)

    def get_state(self) -> dict[str, Any]:
        states = self._ask_each("get_state", [None] * len(self.workers))
        return {"workers": [states.get(worker.number) or {"fresh": self._fresh_seeds(worker)} for worker in self.workers],
                "bounds": [[worker.begin, worker.end] for worker in self.workers], "lost_episodes": self.lost_episodes}

    def set_state(self, state: dict[str, Any]) -> Array:
        if state["bounds"] != [[worker.begin, worker.end] for worker in self.workers]:
            raise ToolkitError(f"the checkpoint's copies are shared by {len(state['bounds'])} workers, this run's by "
                               f"{len(self.workers)}; resume with --workers {len(state['bounds'])}")
        self.lost_episodes = state["lost_episodes"]
        restored = self._ask_each("set_state", state["workers"])
        for worker in self.workers:
            if worker.number not in restored:
                raise WorkersFailed(f"worker {worker.number} did not restore its environments within {START_SECONDS:.0f} s")
        self.dropped = [copy for copies in restored.values() for copy in copies]
        return self.block.observations

    def close(self) -> None:
        for worker in self.workers:
            worker.stop()

    # -- talking to workers

    def _all(self, command: str, raising: bool = False) -> list[Worker]:
        """Send one command to every worker and wait; those that died or hung."""
        failed = [worker for worker in self.workers if not tell(worker, command)]
        failed += self._wait([worker for worker in self.workers if worker not in failed], self.timeout)[1]
        if failed and raising:
            raise WorkersFailed(f"worker {failed[0].number} {self._what_happened(failed[0])} at {command}")
        return failed

    def _ask_each(self, command: str, payloads: Sequence[Any]) -> dict[int, Any]:
        """One command to every worker, each with its own payload; the answers of those that gave one, by number."""
        alive = [worker for worker, payload in zip(self.workers, payloads, strict=True) if tell(worker, command, payload)]
        return self._wait(alive, max(self.timeout, START_SECONDS))[0]

    def _wait(self, workers: Iterable[Worker], seconds: float) -> tuple[dict[int, Any], list[Worker]]:
        """Answers by worker number, and the workers that died or gave none in ``seconds``."""
        waiting = {worker.connection.fileno(): worker for worker in workers if worker.connection is not None}
        answers: dict[int, Any] = {}
        failed: list[Worker] = []
        poller, deadline = select.poll(), time.monotonic() + seconds
        for descriptor in waiting:
            poller.register(descriptor, select.POLLIN)
        while waiting:
            ready = poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
            if not ready:
                return answers, failed + list(waiting.values())
            for descriptor, _ in ready:
                worker = waiting.pop(descriptor)
                poller.unregister(descriptor)
                try:
                    answers[worker.number] = heard(worker)
                except EOFError:
                    failed.append(worker)
        return answers, failed

    # -- failures

    def _start(self, workers: Sequence[Worker]) -> None:
        """Start processes and wait until their environments are made."""
        for worker in workers:
            worker.start(self.spec, self._seeds_of(worker), self.block)
        _, failed = self._wait(workers, max(self.timeout, START_SECONDS))
        if any(worker.exit_code() == UNGUARDED for worker in failed):
            raise WorkersFailed("worker processes import the script that starts them, which would start others. Put what it does "
                                "under: if __name__ == '__main__':")
        if failed:
            raise WorkersFailed(f"worker {failed[0].number} did not come up: it {self._what_happened(failed[0])}. "
                                "Try the environment in this process: --workers 0")

    def _seeds_of(self, worker: Worker) -> list[int]:
        """The copies' own seeds for its first process, others derived from them for each that follows."""
        own = self._seeds[worker.begin:worker.end]
        return own if worker.started == 0 else self._fresh_seeds(worker)

    def _fresh_seeds(self, worker: Worker) -> list[int]:
        return [later_seed(seed, worker.started, self._steps) for seed in self._seeds[worker.begin:worker.end]]

    def _replace(self, failed: Sequence[Worker]) -> NDArray[np.int64]:
        """Kill and replace workers; the copies whose episodes are lost with them.

        Raises WorkersFailed for one that fails again and again.
        """
        happened = {worker.number: self._what_happened(worker) for worker in failed}
        for worker in failed:  # all of them first: whoever is asked for a state meanwhile would be waited for
            worker.stop(grace=0.0)
            worker.failures = [*(step for step in worker.failures if step > self._steps - FAILURE_STEPS), self._steps]
        for worker in failed:
            if len(worker.failures) > MAX_FAILURES:
                raise WorkersFailed(f"worker {worker.number} {happened[worker.number]}: its {len(worker.failures)}th failure in "
                                    f"{FAILURE_STEPS} steps. Raise --worker-timeout if its steps are slow", copies_of(failed))
        self._start(failed)
        for worker in failed:
            if not tell(worker, "reset"):
                raise WorkersFailed(f"worker {worker.number} died as soon as it was replaced", copies_of([worker]))
        _, again = self._wait(failed, max(self.timeout, START_SECONDS))
        if again:
            for worker in again:
                worker.stop(grace=0.0)
            raise WorkersFailed(f"worker {again[0].number} failed again as soon as it was replaced", copies_of(again))
        copies = copies_of(failed)
        self.block.rewards[copies] = 0
        self.block.terminated[copies] = self.block.truncated[copies] = False
        self.lost_episodes += len(copies)
        return copies

    def _what_happened(self, worker: Worker) -> str:
        copy = int(self.block.current[worker.begin])
        where = f"in copy {copy} (seed {self._seeds[copy]}, action {self.block.actions[copy]})"
        code = worker.exit_code()
        if worker.process is not None and code is None:
            return f"gave no answer for {self.timeout:g} s {where}"
        return f"ended with exit code {code} {where}"


def copies_of(workers: Iterable[Worker]) -> NDArray[np.int64]:
    """The copies that the workers step."""
    return np.concatenate([np.arange(worker.begin, worker.end) for worker in workers])


def tell(worker: Worker, command: str, payload: Any = None) -> bool:
    """Send a command; whether the worker is there to get it."""
    if worker.connection is None:
        return False
    try:
        worker.connection.send((command, payload))
    except OSError:
        return False
    return True


def heard(worker: Worker) -> Any:
    """A worker's answer. Raises EOFError when it ended without one, EnvironmentFailed with what it reports."""
    if worker.connection is None:
        raise EOFError
    try:
        word, answer = worker.connection.recv()
    except OSError as error:
        raise EOFError from error
    if word == "failed":
        raise EnvironmentFailed(answer)
    return answer
