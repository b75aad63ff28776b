"""What the small pieces promise: ops, losses, optimizers, schedulers, metrics, trackers, commands."""

from __future__ import annotations

import doctest
import inspect
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.core.losses import Elementwise
from toolkit.entries import LOCAL
from toolkit.errors import ToolkitError
from toolkit.testing.gpu import gpu, moved, require_same
from toolkit.testing.suite import NotPromised, Suite, require

SHAPES = ((8,), (3, 4), (2, 3, 2))  # of the parameters that an optimizer is tried on


class Documented(Suite):
    """What is small enough to be shown: the examples in a docstring are true."""

    def test_the_examples_in_its_docstring_hold(self) -> None:
        """Every ``>>>`` example in its docstring gives what it says."""
        target = self.entry.load()
        tests = doctest.DocTestFinder(recurse=False).find(target, self.name, globs=dict(vars(inspect.getmodule(target) or torch)))
        if not any(test.examples for test in tests):
            raise NotPromised("its docstring has no example")
        said: list[str] = []
        for test in tests:
            runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
            runner.run(test, out=said.append)
            require(runner.summarize(verbose=False).failed == 0, "an example in its docstring is wrong:\n" + "".join(said))


class OpSuite(Documented):
    """An op's promises: what its docstring shows."""

    kind = "op"

    def test_it_is_a_function(self) -> None:
        """It is a function with a docstring."""
        function = self.make()
        require(callable(function), f"it is a {type(function).__name__}, promised: a function")
        require(inspect.getdoc(self.entry.load()), "it has no docstring: shapes, errors, source and an example belong there")


class LossSuite(Documented):
    """A loss's promises. ``case`` gives outputs and targets; by default classes, then numbers, whichever it takes."""

    kind = "loss"

    def case(self) -> tuple[Tensor, Tensor, dict[str, Any]]:
        generator = torch.Generator().manual_seed(0)
        outputs = torch.randn(6, 5, generator=generator)
        sequences = torch.randn(3, 20, 5, generator=generator).log_softmax(-1)
        tries: list[tuple[Tensor, Tensor, dict[str, Any]]] = [
            (outputs, torch.randint(5, (6,), generator=generator), {}),
            (outputs[:, :1], torch.randn(6, 1, generator=generator), {}),
            (outputs, torch.randn(6, 5, generator=generator), {}),
            (sequences, torch.randint(1, 5, (3, 4), generator=generator),
             {"lengths": torch.tensor([20, 15, 12]), "target_lengths": torch.tensor([4, 3, 2])})]
        for given, targets, more in tries:
            try:
                if math.isfinite(float(self.make()(given, targets, **more))):
                    return given, targets, more
            except (RuntimeError, ValueError, TypeError, IndexError, ToolkitError):
                continue
        raise NotPromised("it takes neither classes nor numbers nor sequences of this suite; override case()")

    def test_it_is_one_finite_number_with_gradients(self) -> None:
        """It is one finite number, and following its gradient makes it smaller."""
        outputs, targets, more = self.case()
        loss: nn.Module = self.make()
        given = outputs.clone().requires_grad_()
        value = loss(given, targets, **more)
        require(value.dim() == 0 and math.isfinite(float(value.detach())), f"it is {value!r}, promised: one finite number")
        value.backward()
        require(given.grad is not None and bool(given.grad.isfinite().all()), "its gradient is not finite")
        assert given.grad is not None
        lower = loss((given - 1e-2 * given.grad).detach(), targets, **more)
        require(float(lower) < float(value.detach()), f"a step against its gradient does not lower it: {float(value.detach())} "
                                                      f"before, {float(lower)} after")

    def test_it_takes_batches_of_any_size(self) -> None:
        """A batch of twice the size gives one finite number too; what each number costs has the shape of the numbers."""
        outputs, targets, more = self.case()
        loss: nn.Module = self.make()
        value = loss(twice(outputs), twice(targets), **{name: twice(item) for name, item in more.items()})
        require(value.dim() == 0 and math.isfinite(float(value)), f"of twice the batch it is {value!r}, promised: one finite "
                                                                  "number")
        if isinstance(loss, Elementwise):
            found, given = list(loss.each(outputs, targets).shape), list(outputs.shape)
            require(found == given, f"each() gives {found} for outputs of {given}, promised: their shape")

    def test_on_a_gpu_it_gives_the_same(self) -> None:
        """On a GPU it is the number that it is on the CPU, with the same gradient."""
        device, (outputs, targets, more) = gpu(), self.case()
        given = outputs.clone().requires_grad_()
        elsewhere = moved(given, device)
        wanted = self.make()(given, targets, **more)
        found = self.make().to(device)(elsewhere, targets.to(device), **moved(more, device))
        require_same(found, wanted, "losses")
        wanted.backward()
        found.backward()
        assert given.grad is not None and elsewhere.grad is not None
        require_same(elsewhere.grad, given.grad, "gradients")


def twice(value: Any) -> Any:
    """A tensor with its rows repeated after them; anything else as it is."""
    return torch.cat([value, value]) if isinstance(value, Tensor) and value.dim() else value


class OptimizerSuite(Documented):
    """An optimizer's promises."""

    kind = "optimizer"

    def test_it_finds_a_minimum(self) -> None:
        """On a quadratic of several parameters it gets ten times closer to the minimum in 500 steps."""
        self._finds_a_minimum(torch.device("cpu"))

    def test_on_a_gpu_it_finds_a_minimum(self) -> None:
        """So it does with parameters on a GPU."""
        self._finds_a_minimum(gpu())

    def _finds_a_minimum(self, device: torch.device) -> None:
        torch.manual_seed(0)
        goals = [torch.randn(shape).to(device) for shape in SHAPES]
        values = [nn.Parameter(torch.zeros(shape, device=device)) for shape in SHAPES]
        unused = nn.Parameter(torch.ones(2, device=device))  # gets no gradient
        optimizer = self.make(parameters=[*values, unused], learning_rate=0.02)
        require(isinstance(optimizer, torch.optim.Optimizer), f"it makes a {type(optimizer).__name__}, promised: a "
                                                              "torch.optim.Optimizer")
        for _ in range(500):
            optimizer.zero_grad()
            for value, goal in zip(values, goals):
                (value - goal).square().sum().backward()
            optimizer.step()
        for value, goal in zip(values, goals):
            begin, end = float(goal.norm()), float((value.detach() - goal).norm())
            require(end < begin / 10, f"after 500 steps the distance to the minimum is {end:.3g}, at first {begin:.3g}, for a "
                                      f"parameter of the shape {list(goal.shape)}")

    def test_restored_it_goes_on_exactly(self) -> None:
        """state_dict() holds all of its memory."""
        ends = []
        for stop in (None, 5):
            torch.manual_seed(0)
            value = nn.Parameter(torch.randn(8))
            optimizer = self.make(parameters=[value], learning_rate=0.02)
            for turn in range(10):
                if turn == stop:
                    kept = optimizer.state_dict()
                    optimizer = self.make(parameters=[value], learning_rate=0.02)
                    optimizer.load_state_dict(kept)
                value.grad = value.detach() * 2 + turn
                optimizer.step()
            ends.append(value.detach().clone())
        require(torch.equal(*ends), "restored in the middle, it ends elsewhere than without")


class SchedulerSuite(Documented):
    """A scheduler's promises."""

    kind = "scheduler"

    def test_it_is_a_factor_of_the_position_alone(self) -> None:
        """Its factor is finite, not negative, and the same whenever the same position is asked for."""
        schedule: Callable[..., float] = self.make()
        asks = "scores" in inspect.signature(schedule).parameters
        for scores in ([], [0.3], [0.1, 0.2], [0.5] * 12) if asks else ([],):
            self._keeps_no_state(schedule, {"scores": scores} if asks else {})

    def _keeps_no_state(self, schedule: Callable[..., float], more: dict[str, Any]) -> None:
        points = [index / 20 for index in range(21)]
        factors = [float(schedule(point, **more)) for point in points]
        for point, factor in zip(points, factors):
            require(math.isfinite(factor) and factor >= 0, f"its factor at {point:g} of the budget is {factor}")
        again = [float(schedule(point, **more)) for point in reversed(points)]
        require(factors == again[::-1], "asked in another order, it gives other factors: it must keep no state, since a resumed "
                                        "run asks from the middle")


class MetricSuite(Documented):
    """A metric's promises. ``case`` gives predictions and targets; by default classes, scores or numbers."""

    kind = "metric"

    def case(self) -> tuple[Any, Any]:
        rng = np.random.default_rng(0)
        classes, scores = rng.integers(3, size=(2, 40)), rng.dirichlet(np.ones(3), size=40)
        words = [["the cat sat", "a dog"], ["the cat sat down", "a dog"]]
        for predictions, targets in ((classes[0], classes[1]), (scores, classes[1]), rng.normal(size=(2, 40)),
                                     (rng.random(40), classes[1] > 0), words, rng.normal(size=(2, 4000))):
            try:
                if np.isfinite(np.asarray(self.make()(predictions, targets), dtype=float)).all():
                    return predictions, targets
            except Exception:  # a metric refuses what it does not take in its own way
                continue
        raise NotPromised("it takes none of the predictions of this suite; override case()")

    def test_it_repeats_and_changes_nothing(self) -> None:
        """The same predictions give the same finite result, and are left as they are."""
        predictions, targets = self.case()
        kept = np.array(predictions, copy=True), np.array(targets, copy=True)
        one, other = (np.asarray(self.make()(predictions, targets), dtype=float) for _ in range(2))
        require(np.array_equal(one, other), f"the same predictions give {one} and then {other}")
        require(np.array_equal(kept[0], predictions) and np.array_equal(kept[1], targets), "it changes what it is given")


    def test_it_takes_any_number_of_predictions(self) -> None:
        """Of twice as many predictions it is finite too."""
        predictions, targets = ([*given, *given] if isinstance(given, list) else np.concatenate([given, given])
                                for given in self.case())
        found = np.asarray(self.make()(predictions, targets), dtype=float)
        require(bool(np.isfinite(found).all()), f"of {len(predictions)} predictions it is {found}, promised: finite")


class TrackerSuite(Suite):
    """A tracker's promises."""

    kind = "tracker"

    def test_cut_back_it_writes_what_was_never_stopped(self) -> None:
        """After ``cut(offset)`` and the same writes again, its files are as if nothing had been cut."""
        with tempfile.TemporaryDirectory() as folder:
            straight, cut = Path(folder) / "straight", Path(folder) / "cut"
            straight.mkdir()
            cut.mkdir()
            one, other = self.make(directory=straight), self.make(directory=cut)
            for tracker in (one, other):
                tracker.write(1, 0.1, {"train/loss": 1.0})
            offset = other.offset()
            other.write(2, 0.2, {"train/loss": 9.0, "train/odd": float("nan")})
            other.cut(offset)
            for tracker in (one, other):
                tracker.write(2, 0.2, {"train/loss": 0.5})
                tracker.close()
            sizes = [sorted(path.stat().st_size for path in place.rglob("*") if path.is_file()) for place in (straight, cut)]
            require(sizes[0] == sizes[1], f"cut back and written again, its files have {sizes[1]} bytes; written straight "
                                          f"{sizes[0]}")

    def test_offsets_are_json(self) -> None:
        """An offset is a value that a checkpoint can keep."""
        with tempfile.TemporaryDirectory() as folder:
            tracker = self.make(directory=Path(folder))
            tracker.write(1, 0.1, {"train/loss": 1.0})
            offset = tracker.offset()
            tracker.close()
            require(json.loads(json.dumps(offset)) == offset, f"the offset {offset!r} does not survive JSON")


class CommandSuite(Suite):
    """A command's promises."""

    kind = "command"

    def test_it_is_a_click_command_with_help(self) -> None:
        """It is a click command whose help says what it does."""
        import click

        command = self.entry.load()
        require(isinstance(command, click.Command), f"it is a {type(command).__name__}, promised: a click.Command")
        require(command.help, "it has no help: write a docstring")

    def test_its_help_imports_nothing_heavy(self) -> None:
        """``--help`` exits with 0 and imports neither torch nor numpy."""
        if self.entry.distribution == LOCAL:
            raise NotPromised("it was registered in this process only")
        program = ("import sys; from toolkit.cli import exit_code\n"
                   f"code = exit_code([{self.entry.name!r}, '--help'])\n"
                   "heavy = {'torch', 'numpy', 'gymnasium', 'librosa'} & set(sys.modules)\n"
                   "sys.exit(f'it imports {sorted(heavy)}' if heavy else code)")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        require(done.returncode == 0, f"toolkit {self.entry.name} --help fails: {done.stderr.strip()[-300:]}")
