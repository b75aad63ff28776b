"""Models that cannot fit are refused before their memory is written to."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from toolkit.core import memory


def test_parameters_are_counted_as_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: 2e9)
    with memory.within_memory():
        nn.Sequential(nn.Linear(1000, 1000), nn.LazyLinear(5))  # 8 MB with gradients
        with pytest.raises(MemoryError, match=r"take at least 4 GB, and it has 2; the last one, weight of Linear, has the shape "
                                              r"\[50000, 10000\]"):
            nn.Linear(10_000, 50_000)
    nn.Linear(1, 1)


def test_a_container_may_use_less_than_the_machine_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.machine_memory() > 2**28
    for name, text in (("limit", "1000000\n"), ("none", "max\n")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "LIMITS", (str(tmp_path / "absent"), str(tmp_path / "none"), str(tmp_path / "limit")))
    assert memory.machine_memory() == 1e6
