"""Environments that do not keep to Gymnasium's interface are named, with what they did, however the copies are stepped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toolkit.envs import factory
from toolkit.envs.base import EnvSpec
from toolkit.errors import ToolkitError, UsageError

SAID = {"no info": r"reset\(\) gave array", "first shape": r"reset\(\) gave an observation of shape \(3,\), and its space is Box",
        "shape": r"step\(\) gave an observation of shape \(3,\), and its space is Box",
        "one number": r"step\(\) gave an observation of shape \(1,\), and its space is Box",
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


def test_in_a_worker_it_is_named_with_the_copy_among_all() -> None:
    with pytest.raises(ToolkitError, match=rf"copy 0 \(seed 11, last action 0\): environment '.*' does .*: {SAID['shape']}"):
        play("shape", "workers")


def test_what_an_environment_raises_itself_is_left_to_its_author_with_a_note() -> None:
    with pytest.raises(KeyError, match="the spring") as caught:
        play("raise", "in-process")
    assert caught.value.__notes__ == ["It was raised by environment 'faulty:faulty/Misfit-v0' (copy 0, seed 11, last action 0)."]
