"""A flag that would do nothing is refused, with what it needs; what a file says may hold every setting there is."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit.config import ConfigError, Setting
from toolkit.entries import Entry
from toolkit.registry import registry
from toolkit.training.resolve import plan

NEEDY = [(entry, item) for entry in registry.entries("agent", plugins=False) for item in entry.settings if item.needs]


def other_than_default(item: Setting) -> Any:
    return {"int": 7, "float": 0.25}[item.type]


@pytest.mark.parametrize(("entry", "item"), NEEDY, ids=lambda value: value.name)
def test_a_setting_without_what_it_needs_is_refused_as_a_flag_alone(entry: Entry, item: Setting) -> None:
    other = next(one for one in entry.settings if one.name == item.needs.lstrip("!"))
    on: Any = True if other.type == "bool" else 0.5
    off: Any = False if other.type == "bool" else None
    idle, used = (on, off) if item.needs.startswith("!") else (off, on)
    given = {"env": "Pendulum-v1" if "Box" in entry.accepts else "CartPole-v1", item.name: other_than_default(item)}
    with pytest.raises(ConfigError, match=f"^{item.name}: it does nothing (beside|without) {other.name}. Leave out {item.name}"):
        plan(entry, {**given, other.name: idle}, preset="none")
    assert plan(entry, {**given, other.name: used}, preset="none").config.values[item.name] == given[item.name]
    assert plan(entry, {}, {**given, other.name: idle}, preset="none").config.origins[item.name] == "file"
    assert plan(entry, {**given, other.name: idle, item.name: item.default}, preset="none"), "what it is anyway is no wish"


def test_what_settings_need_is_a_setting_beside_them() -> None:
    assert NEEDY
    for entry in registry.entries(("agent", "task", "network", "buffer", "model"), plugins=False):
        names = {item.name for item in entry.settings}
        assert all(item.needs.lstrip("!") in names for item in entry.settings if item.needs), entry.id
