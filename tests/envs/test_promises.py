"""Environments that do not keep to Gymnasium's interface are named, with what they did, however the copies are stepped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.envs import factory
from toolkit.envs.base import EnvSpec
from toolkit.errors import ToolkitError, UsageError

ITS = "float32 from 0 to 0, and its space is Box"
SAID = {"no info": r"reset\(\) gave array", "first shape": rf"reset\(\) gave an observation of shape \(3,\), {ITS}",
        "shape": rf"step\(\) gave an observation of shape \(3,\), {ITS}",
        "one number": rf"step\(\) gave an observation of shape \(1,\), {ITS}",
        "old api": r"step\(\) gave another number of values \(not enough values to unpack \(expected 5, got 4\)\)",
        "no seed": r"reset\(\) cannot be used \(TypeError: NoSeed.reset\(\) got an unexpected keyword argument 'seed'\)"}


@pytest.fixture(autouse=True)
def reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """``faulty`` can be imported here and in workers."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def play(how: str, way: str) -> None:
    spec = EnvSpec(f"faulty:faulty/{'NoSeed' if how == 'no seed' else 'Misfit'}-v0", {"how": how})
    envs = factory.make(spec, [11, 12], way, workers=1 if way == "workers" else 0)
    try:
        envs.reset()
        for _ in range(3):
            envs.step(np.array([0, 1]))
    finally:
        envs.close()


@pytest.mark.parametrize("how", SAID)
def test_what_is_broken_is_named_with_what_is_promised_and_the_next_command(how: str) -> None:
    for way, where in (("in-process", r" \(copy 0, seed 11.*\)"), ("sync", ".*")):
        with pytest.raises(UsageError, match=rf"environment 'faulty:faulty/\w+-v0'{where} does not keep to Gymnasium's .*: "
                                             rf"{SAID[how]}.* Promised: .*toolkit check env faulty:faulty/\w+-v0$"):
            play(how, way)


BLACK, ROW, LEAF = np.zeros((2, 2), np.uint8), np.zeros(3, np.float32), {"a": 2, "b": [0.0]}


@pytest.mark.parametrize("way", ["in-process", "sync"])
@pytest.mark.parametrize(("space", "first", "later", "said"), [
    ("picture", np.full((2, 2), 0.5), BLACK, r"reset\(\) gave .*float64 from 0.5 to 0.5, and .* Box"),
    ("picture", BLACK, np.full((2, 2), 0.5, np.float32), r"step\(\) gave .*float32 from 0.5 to 0.5"),
    ("picture", BLACK, np.full((2, 2), 300), r"step\(\) gave .*int64 from 300 to 300"),
    ("choice", 1, 4, r"step\(\) gave .*int64 from 4 to 4, and its space is Discrete\(3, start=1\)"),
    ("choice", 0, 1, r"reset\(\) gave .*int64 from 0 to 0"),
    ("choices", np.array([1, 2]), np.array([1, 3]), r"step\(\) gave .*int64 from 1 to 3, and its space is MultiDiscrete"),
    ("bits", np.zeros(3, np.int8), np.array([0, 2, 0], np.int8), r"step\(\) gave .*int8 from 0 to 2, and .* MultiBinary"),
    ("leaf", LEAF, {**LEAF, "a": 3}, r"step\(\) cannot be used \(ValueError: a: shape \(\), int64 from 3 to 3; .* Discrete"),
    ("leaf", {**LEAF, "a": 0.5}, LEAF, r"reset\(\) cannot be used \(ValueError: a: shape \(\), float64 from 0.5 to 0.5"),
], ids=lambda value: value if isinstance(value, str) and value.isidentifier() else "")
def test_what_would_be_stored_as_something_else_is_refused(space: str, first: Any, later: Any, said: str, way: str) -> None:
    envs = factory.make(EnvSpec("faulty:faulty/Showing-v0", {"space": space, "first": first, "later": later}), [11, 12], way)
    with pytest.raises(UsageError, match=rf"environment 'faulty:faulty/Showing-v0'.*{said}"):
        envs.reset()
        envs.step(np.array([0, 1]))


@pytest.mark.parametrize("way", ["in-process", "sync"])
@pytest.mark.parametrize(("space", "given", "stored"), [
    ("row", np.array([[0.5, 0.25, 0.0]]), [0.5, 0.25, 0.0]), ("picture", np.full((2, 2), 7.0), [[7, 7], [7, 7]]),
    ("choice", np.array([3]), 3), ("choices", [[1, 2]], [1, 2]), ("row", [0, 1, 0], [0, 1, 0])])
def test_as_many_numbers_in_another_shape_or_type_are_taken(space: str, given: Any, stored: Any, way: str) -> None:
    envs = factory.make(EnvSpec("faulty:faulty/Showing-v0", {"space": space, "first": given, "later": given}), [11, 12], way)
    np.testing.assert_array_equal(envs.reset(), [stored] * 2)
    for _ in range(4):
        stepped = envs.step(np.array([0, 1]))
        np.testing.assert_array_equal(stepped.observations, [stored] * 2)
        if stepped.final is not None:
            np.testing.assert_array_equal(stepped.final.observations, [stored] * 2)


def test_in_a_worker_it_is_named_with_the_copy_among_all() -> None:
    with pytest.raises(ToolkitError, match=rf"copy 0 \(seed 11, last action 0\): environment '.*' does .*: {SAID['shape']}"):
        play("shape", "workers")


def test_what_an_environment_raises_itself_is_left_to_its_author_with_a_note() -> None:
    with pytest.raises(KeyError, match="the spring") as caught:
        play("raise", "in-process")
    assert caught.value.__notes__ == ["It was raised by environment 'faulty:faulty/Misfit-v0' (copy 0, seed 11, last action 0)."]
