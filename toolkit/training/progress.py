"""What a person sees while a run trains: one live panel on a terminal, nothing when piped."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from toolkit.core.clock import Clock

Means = Callable[[], Mapping[str, float]]


class Progress:
    """The silent progress; `LiveProgress` draws."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, clock: Clock, speed: float, seconds: Mapping[str, float], means: Means) -> None:
        """Called after each unit of work."""

    def note(self, text: str) -> None:
        """What the run does now, when it is not training."""

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """Called after each evaluation."""


class LiveProgress(Progress):
    """Steps, mean return, last evaluation, speed, time left, and where the time goes."""

    REDRAW_SECONDS = 0.2

    def __init__(self, title: str, unit: str) -> None:
        from rich.console import Console
        from rich.live import Live

        self._title, self._unit = title, unit
        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=False)
        self._drawn = 0.0
        self._evaluation = ""

    def __enter__(self) -> Progress:
        self._live.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._live.__exit__(*details)

    def update(self, clock: Clock, speed: float, seconds: Mapping[str, float], means: Means) -> None:
        now = time.monotonic()
        if now - self._drawn < self.REDRAW_SECONDS and clock.remaining:
            return
        self._drawn = now
        self._live.update(self._panel(clock, speed, seconds, means()), refresh=True)

    def _panel(self, clock: Clock, speed: float, seconds: Mapping[str, float], means: Mapping[str, float]) -> Any:
        from rich.console import Group
        from rich.panel import Panel
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        left = clock.remaining / speed if speed else 0.0
        lines = [f"{clock.step:,} of {clock.budget:,} {self._unit}   {speed:,.0f} a second   {left:,.0f} s left"]
        if "rollout/ep_rew_mean" in means:
            lines.append(f"mean return {means['rollout/ep_rew_mean']:.1f}   {self._evaluation}")
        elif self._evaluation:
            lines.append(self._evaluation)
        total = sum(seconds.values())
        if total:
            lines.append("   ".join(f"{name} {value / total:.0%}" for name, value in seconds.items()))
        bar = ProgressBar(total=clock.budget, completed=clock.step)
        return Panel(Group(bar, Text("\n".join(lines))), title=self._title, title_align="left", padding=(0, 1))

    def note(self, text: str) -> None:
        self._evaluation = f"{text} ..."

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        name, value = next(iter(metrics.items()))
        self._evaluation = f"{name} {value:.2f} at {step:,}"


def make_progress(title: str, unit: str) -> Progress:
    """Live on a terminal, silent when stderr is piped."""
    return LiveProgress(title, unit) if sys.stderr.isatty() else Progress()
