"""From a data set to batches: splits, and a loader that a resumed run puts back exactly.

require_same_data   whether a run's data is what it was when the run began
divide, to_judge    the examples of a data set by split: what is trained on, what is held out, what else is judged at the end
Loader              training batches in an order that seed and epoch alone decide; its state is two numbers
"""

from __future__ import annotations

import shlex
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch

from toolkit.core.base import Dataset, Example
from toolkit.core.batching import epoch_batches
from toolkit.core.configs import TaskConfig
from toolkit.core.problem import Array, Batch, Encoded, Problem, refuse_rows
from toolkit.core.rows import Row, fault_of, refuse_unread
from toolkit.core.seeding import Streams
from toolkit.core.splits import splits_of, target_of
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training.resolve import Plan, options_of

TRAIN, VALIDATION, TEST = "train", "validation", "test"
COPIES = 0.05  # the share of rows held out that may be copies of others: tables of few columns have some
SAME_DATA = "A run resumes on the same data; start a new one, from this one's parameters with --init-from"


def fingerprint_of(dataset: Any) -> str | None:
    """What tells whether data has changed; None of data that does not say, or is not there (any more)."""
    try:
        return str(dataset.fingerprint()) if hasattr(dataset, "fingerprint") else None
    except OSError:
        return None  # reading it says why


def require_same_data(plan: Plan, facts: Mapping[str, Any], advice: str) -> None:
    """Raise UsageError where the data of a task's run is another than what ``facts`` of it keep; runs begun before keep nothing.

    ``advice`` says what else can be done, with ``{path}`` for where the data is.
    """
    kept = (facts.get("data_fingerprint") or "").split()
    now = fingerprint_of(registry.make("dataset", options_of(plan.entry, plan.config)["data"])) if kept else None
    changed = [number for number, (one, other) in enumerate(zip(kept, (now or "").split(), strict=False)) if one != other]
    if changed:
        path = shlex.quote(str(plan.config.values.get("data.path") or plan.config.values["data"]))
        said = f"files of {path} are not what they were" if 0 not in changed else f"{path} is not what it was"
        raise UsageError(f"the data has changed since the run began: {said}. {advice.format(path=path)}")


def require_same_files(problem: Problem[Any], facts: Mapping[str, Any]) -> None:
    """Raise UsageError where files that the settings of a run name are others than when it began."""
    now = problem.fingerprint()
    if facts.get("problem_fingerprint", now) != now:
        raise UsageError("what the run draws from has changed since it began: a file that its settings name (--transforms), or "
                         f"recordings that are named there. {SAME_DATA}")


def divide(dataset: Dataset, problem: Problem[Any], begins: bool = False) -> dict[str, Sequence[Example]]:
    """The splits of ``dataset``, always with ``validation``: a share of ``train`` is held out where it has none.

    Where a run ``begins``, a column that was meant to divide the data is refused; a run that was begun goes on as it was.
    Raises UsageError for data that the problem cannot learn from.
    """
    problem.target_name = target_of(dataset)
    splits = readable(dataset, problem)
    if TRAIN not in splits:
        raise UsageError(f"the data has no examples to train on; it has {', '.join(splits) or 'none at all'}")
    if begins:
        refuse_split_meant(splits[TRAIN][0], problem.config)
        ignore = ", or leave it out: --ignore {name}" if hasattr(problem.config, "ignore") else ""
        refuse_unread_split(splits, problem.config, ignore)
    problem.check(splits)
    if VALIDATION not in splits:
        splits[TRAIN], splits[VALIDATION] = problem.held_out(splits[TRAIN])
    if begins:
        tell_copies(splits, getattr(problem.config, "ignore", ()))
    return splits


def to_judge(dataset: Dataset, problem: Problem[Any]) -> dict[str, Sequence[Example]]:
    """Other data than a run's own as one split, `TEST`: what the data says is that, where it does, else everything in it.

    Raises UsageError for data that the problem cannot be judged on.
    """
    if problem.target_name is None:
        problem.target_name = target_of(dataset)
    splits = readable(dataset, problem)
    if not splits:
        raise UsageError("the data has no examples to judge")
    refuse_unread_split(splits, problem.config, ", or take it out")
    rows = splits[TEST] if TEST in splits else [row for examples in splits.values() for row in examples]
    judged: dict[str, Sequence[Example]] = {TEST: rows}
    problem.check(judged)
    return judged


def readable(dataset: Dataset, problem: Problem[Any]) -> dict[str, Sequence[Example]]:
    """The splits of ``dataset`` that hold anything.

    Rows that cannot be read are for a problem that ``judges_rows``; others are given none.
    """
    splits = {name: examples for name, examples in splits_of(dataset).items() if len(examples)}
    if not problem.judges_rows:
        from_files = {name: examples for name, examples in splits.items() if isinstance(examples[0], Row)}
        refuse_rows(from_files, fault_of, "cannot be read", "mend them, or take them out")
    return splits


def refuse_split_meant(example: Example, config: TaskConfig) -> None:
    """Raise UsageError for settings that name the column which says what is held out: of files ``example`` has it no more."""
    for flag in ("target", "ignore"):
        meant = getattr(config, flag, None) or ()
        if "split" in ((meant,) if isinstance(meant, str) else meant) and "split" not in example:
            raise UsageError(f"--{flag} split: a column of this name says what is held out, and is neither learned from nor "
                             f"predicted. Leave it out of --{flag}, or rename it in the data")


def refuse_unread_split(splits: Mapping[str, Sequence[Example]], config: TaskConfig, advice: str) -> None:
    """Raise UsageError for a column that is ``split`` but for its spelling, where no column of that name has divided the data.

    It would hold nothing out, and be learned from. It may be the target, or among the columns that are left out.
    """
    if list(splits) != [TRAIN]:
        return
    rows = splits[TRAIN]
    names = {name for row in rows for name in row} if isinstance(rows[0], Row) else set(rows[0])  # others may be costly to get
    wanted = (getattr(config, "target", None) or "", *getattr(config, "ignore", ()))
    refuse_unread(names, ("split",), "the data's", wanted, advice)


def tell_copies(splits: Mapping[str, Sequence[Example]], ignored: Sequence[str] = ()) -> None:
    """Warn of rows of files that are held out and, to the letter but for columns that are ``ignored``, trained on too; few are
    nothing unusual."""
    if not isinstance(splits[TRAIN][0], Row):
        return
    trained_on = {letters(row, ignored) for row in splits[TRAIN]}
    for name, rows in splits.items():
        copies = sum(letters(row, ignored) in trained_on for row in rows) if name != TRAIN else 0
        if copies > COPIES * len(rows):
            warnings.warn(f"of the {len(rows):,} rows of {name}, {copies:,} are trained on too, since the data has them more "
                          "than once: how well they are answered says little about new rows. Take copies out, or keep them "
                          "together by a column split (train, validation, test)", stacklevel=2)


def letters(row: Example, ignored: Sequence[str]) -> int:
    """What a row says, to be compared: its hash, since the texts of a million rows would take a gigabyte."""
    return hash(frozenset((name, str(value)) for name, value in row.items() if name not in ignored))


class Loaded(NamedTuple):
    """One training batch, how many units it counts, and its place: epoch and number in the epoch."""

    batch: Batch
    units: int
    epoch: int
    number: int


class Loader:
    """Training batches without end, epoch after epoch; see `toolkit.core.batching` for their order."""

    def __init__(self, problem: Problem[Any], encoded: Encoded, config: TaskConfig, streams: Streams) -> None:
        self.problem, self.encoded, self.config, self.streams = problem, encoded, config, streams
        self.sizes, self.units = problem.sizes(encoded), problem.units(encoded)
        self.epoch, self.done = 0, 0  # the place of the next batch to be handed out
        self._order: dict[int, list[Array]] = {}
        self._ahead: deque[tuple[int, int, Future[Batch]]] = deque()
        self._pool = ThreadPoolExecutor(1, "batches") if config.prefetch else None

    def made(self, epoch: int, number: int, indices: Array) -> Batch:
        """A batch by its place, changed at random as its place says: whichever thread makes it, it is the same."""
        seed = self.streams.seed("augmentation", epoch * 1_000_003 + number)
        return self.problem.drawn(self.encoded, indices, torch.Generator().manual_seed(seed))

    @property
    def units_per_epoch(self) -> int:
        return int(self.units.sum())

    def next(self) -> Loaded:
        """The next batch."""
        epoch, number = self.epoch, self.done
        indices = self.order(epoch)[number]
        batch = self._take(epoch, number) if self._pool else self.made(epoch, number, indices)
        self.epoch, self.done = self._after(epoch, number)
        return Loaded(batch, int(self.units[indices].sum()), epoch, number)

    def _take(self, epoch: int, number: int) -> Batch:
        """The batch from the thread that makes them ahead; the queue is filled up again."""
        assert self._pool is not None
        if not self._ahead:
            self._submit(epoch, number)
        batch = self._ahead.popleft()[2].result()
        last = (epoch, number)
        if self._ahead:
            last = self._ahead[-1][:2]
        while len(self._ahead) < self.config.prefetch:
            last = self._after(*last)
            self._submit(*last)
        return batch

    def _submit(self, epoch: int, number: int) -> None:
        assert self._pool is not None
        indices = self.order(epoch)[number]  # looked up here: the other thread sees nothing that changes
        self._ahead.append((epoch, number, self._pool.submit(self.made, epoch, number, indices)))

    def order(self, epoch: int) -> list[Array]:
        """The batches of an epoch, as indices of examples."""
        if epoch not in self._order:
            self._order = {key: value for key, value in self._order.items() if key >= self.epoch}
            self._order[epoch] = epoch_batches(
                self.sizes, self.config.batch_size, self.streams.generator("shuffling", epoch),
                bucket=self.config.bucket, batch_length=self.config.batch_length, full=self.problem.full_batches)
        return self._order[epoch]

    def _after(self, epoch: int, number: int) -> tuple[int, int]:
        return (epoch, number + 1) if number + 1 < len(self.order(epoch)) else (epoch + 1, 0)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "done": self.done, "examples": len(self.sizes), "units": self.units_per_epoch,
                "sizes": int(np.dot(self.sizes, np.arange(1, len(self.sizes) + 1)) % (1 << 53))}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        mine = self.state_dict()
        if any(mine[name] != state[name] for name in ("examples", "units", "sizes")):
            raise UsageError(f"the data has changed since the run began: it had {state['examples']:,} training examples "
                             f"({state['units']:,} units) and has {mine['examples']:,} ({mine['units']:,}) now. {SAME_DATA}")
        self.epoch, self.done = state["epoch"], state["done"]
        self._ahead.clear()

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown(wait=True, cancel_futures=True)
