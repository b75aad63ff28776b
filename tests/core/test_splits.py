"""Data sets of another shape than they promise: named where they are read, and by the suite."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from toolkit.core.clock import Clock
from toolkit.core.seeding import Streams
from toolkit.core.splits import splits_of, target_of
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.testing.suite import BROKEN, examine, suite_for
from toolkit.training.data import divide
from toolkit.training.supervised import assemble

ROW = {"x": 1.0}


@pytest.mark.usefixtures("only_here")
@pytest.mark.parametrize(("splits", "said"), [
    ({"train": (row for row in [ROW])}, "its splits() gave a generator as 'train'"),
    ({"train": ROW}, "its splits() gave a dict as 'train'"),
    ([ROW], "its splits() gave a list"),
    ({"train": ["one"]}, "its splits() gave 'train' with examples that are 'one'"),
    ({0: [ROW]}, "its splits() named a split 0"),
])
def test_splits_of_another_shape_are_named_in_a_run_and_by_the_suite(splits: Any, said: str) -> None:
    @registry.register("dataset", "odd")
    class Odd:
        target = "x"

        def splits(self) -> Any:
            return splits

    name = registry.get("dataset", "odd").id
    with pytest.raises(UsageError) as found:
        splits_of(registry.make("dataset", "odd"))
    assert str(found.value).startswith(f"data set {name!r}: {said}, promised: a mapping")
    assert str(found.value).endswith(f"toolkit check dataset {name}")
    reasons = [verdict.reason for verdict in examine(suite_for(registry.get("dataset", "odd"))) if verdict.status == BROKEN]
    assert len(reasons) == 3 and all(reason.startswith(f"{said}, promised: a mapping") for reason in reasons), reasons


class Bare:
    def splits(self) -> Any:
        return {"train": [{"x": float(place), "y": float(place)} for place in range(20)]}


def test_a_data_set_that_names_no_target_is_told_it_by_the_user() -> None:
    splits = divide(Bare(), registry.make("task", "tabular-regression", target="y"))  # type: ignore[arg-type]
    assert {name: len(rows) > 0 for name, rows in splits.items()} == {"train": True, "validation": True}
    odd = Bare()
    odd.target = 3  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="data set 'Bare': its target is 3, promised: a name, or None"):
        target_of(odd)


@pytest.mark.usefixtures("only_here")
@pytest.mark.parametrize(("frozen", "why"), [
    (False, r"its parameters\(\) are empty"), (True, "all its .* are frozen .requires_grad")])
def test_a_model_without_parameters_is_named(frozen: bool, why: str) -> None:
    @registry.register("model", "hollow")
    class Hollow(torch.nn.Module):
        def __init__(self, inputs: int, outputs: int, spec: Any = None) -> None:
            super().__init__()
            if frozen:
                self.layer = torch.nn.Linear(inputs, outputs).requires_grad_(False)

    problem = registry.make("task", "tabular-regression", target="y", model="hollow")
    with pytest.raises(UsageError, match=f"model '.*hollow' has no parameters to learn: {why}.* toolkit check model .*hollow$"):
        assemble(problem, divide(Bare(), problem), Clock(10), Streams(0), torch.device("cpu"))  # type: ignore[arg-type]
