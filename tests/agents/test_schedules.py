"""Schedules of agents take the options that they are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from toolkit.config import Part
from toolkit.core.clock import Clock
from toolkit.core.seeding import Streams
from toolkit.registry import registry

SCHEDULES = [(entry.name, item.name) for entry in registry.entries("agent", plugins=False) for item in entry.settings
             if item.kind == "scheduler"]


def made(agent: str, schedule: str) -> Any:
    """The agent with a schedule that ends at half its value."""
    able = registry.get("agent", agent).accepts
    return registry.make(
        "agent", agent, observation_space=spaces.Box(-1, 1, (3,), np.float32), n_envs=1, streams=Streams(0), clock=Clock(10),
        action_space=spaces.Discrete(2) if "Discrete" in able else spaces.Box(-1, 1, (1,), np.float32),
        device=torch.device("cpu"), **{schedule: Part("cosine", {"warmup": 0.0, "final": 0.5})})


@pytest.mark.parametrize(("agent", "schedule"), SCHEDULES)
def test_a_schedule_ends_where_its_options_say(agent: str, schedule: str) -> None:
    found = made(agent, schedule)
    if agent.startswith("sb3-"):
        of_library = {"learning_rate_schedule": "lr_schedule", "clip_range_schedule": "clip_range"}[schedule]
        factor = getattr(found.algorithm, of_library)
        assert factor(0.0) == pytest.approx(0.5 * factor(1.0))  # of the share that remains
    else:
        factor = found.schedule if schedule == "learning_rate_schedule" else found.clip_schedule
        assert factor(1.0) == pytest.approx(0.5) and factor(0.0) == pytest.approx(1.0)
