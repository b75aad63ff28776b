"""Work on sound in threads of which each is torch's only one.

in_threads   jobs that do not depend on each other, on as many threads as torch may use
one_thread   torch's operations within stay on the calling thread

Torch's own way, every operation shared by all threads, waits for all of them after each one. On a second of
sound that costs more than it saves; and where another pool of threads holds a core, such as NumPy's after its
own work, every wait lasts a scheduler's slice (measured: 30 ms where the work takes 0.2 ms).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread within; the number is the calling thread's own, other threads keep theirs."""
    usual = torch.get_num_threads()
    if usual == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def in_threads(jobs: Sequence[Callable[[], None]], ordered: bool = False) -> None:
    """Run every job once; the first exception that one raises is raised here, and no further job is begun.

    ``ordered`` jobs are run one after another, on the calling thread.
    """
    waiting = iter(jobs)
    take = threading.Lock()
    errors: list[BaseException] = []
    inference = torch.is_inference_mode_enabled()

    def work() -> None:
        with one_thread(), torch.inference_mode(inference), torch.no_grad():
            while not errors:
                with take:
                    job = next(waiting, None)
                if job is None:
                    return
                try:
                    job()
                except BaseException as error:
                    errors.append(error)

    usual = torch.get_num_threads()
    count = 1 if ordered else min(usual, len(jobs))
    helpers = [threading.Thread(target=work, daemon=True) for _ in range(count - 1)]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    if helpers:
        torch.set_num_threads(usual)  # what threads that are started later begin with
    if errors:
        raise errors[0]
