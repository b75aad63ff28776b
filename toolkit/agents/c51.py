"""``c51``: distributional Q-learning on a fixed support (Bellemare et al., 2017), and ``rainbow``.

``rainbow`` (Hessel et al., 2018) is c51 with double, dueling, noisy, n-step and prioritized replay
switched on by its config's defaults; there is no other code to it.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit.agents import targets
from toolkit.agents.base import Array, Batches, Steps, Updated
from toolkit.agents.configs import C51Config
from toolkit.agents.q_learning import QLearner, Slope
from toolkit.errors import UsageError


class Returns:
    """The discounted returns of N copies' episodes, and what they say of the values to come."""

    def __init__(self, gamma: float, n_envs: int) -> None:
        self.gamma = gamma
        self.running, self.weights = np.zeros(n_envs), np.ones(n_envs)  # of the unfinished episodes
        self.ends = np.zeros(2)  # the lowest and the highest reward or return, and 0
        self.sums, self.steps = np.zeros(2), 0  # of the rewards below and above 0
        self.ended, self.cut = 0, 0  # episodes that terminated, and that were truncated: these would have gone on

    def take_in(self, steps: Steps) -> list[float]:
        """The returns of the episodes that end in ``steps``."""
        found: list[float] = []
        over_at = steps.terminated | steps.truncated
        for rewards, over, terminated, valid in zip(steps.rewards, over_at, steps.terminated, steps.valid, strict=True):
            rewards = np.where(valid, rewards, 0)
            self.running += self.weights * rewards
            self.weights *= self.gamma
            found += self.running[over & valid].tolist()
            self.ended += int((terminated & valid).sum())
            self.cut += int((over & ~terminated & valid).sum())
            self.running[over | ~valid], self.weights[over | ~valid] = 0, 1
            self.sums += np.minimum(rewards, 0).sum(), np.maximum(rewards, 0).sum()
            self.steps += int(valid.sum())
            self.ends[:] = min(self.ends[0], rewards.min()), max(self.ends[1], rewards.max())
        self.ends[:] = min(self.ends[0], *found, 0), max(self.ends[1], *found, 0)
        return found

    def span(self) -> tuple[float, float]:
        """What values may become: as far as any return or reward went; upwards as if gains came for ever, which is where learning
        leads, and downwards too if losses do, which no episode has ended. From -1 to 1 where no reward was seen.
        """
        for_ever = 1.0 / (1.0 - self.gamma) / max(self.steps, 1) if self.gamma < 1 else 0.0
        lasting = self.sums[0] * for_ever if self.cut or not self.ended else 0.0
        low, high = min(self.ends[0], lasting), max(self.ends[1], self.sums[1] * for_ever)
        return (float(low), float(high)) if low < high else (-1.0, 1.0)

    def state_dict(self) -> dict[str, Any]:
        return {"running": self.running.copy(), "weights": self.weights.copy(), "ends": self.ends.copy(),
                "sums": self.sums.copy(), "counts": [self.steps, self.ended, self.cut]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.running, self.weights, self.ends, self.sums = (state[name].copy() for name in ("running", "weights", "ends", "sums"))
        self.steps, self.ended, self.cut = state["counts"]


class C51(QLearner):
    """A categorical distribution over ``n_atoms`` returns in [v_min, v_max] for each action.

    An end that is not given is set by what the steps before learning return; see `Returns.span`.
    """

    name = "c51"

    def __init__(self, config: C51Config, **context: Any) -> None:
        self.atoms = config.n_atoms
        self.known = config.v_min is not None and config.v_max is not None
        self.support = self._spread(*((config.v_min, config.v_max) if self.known else (-1.0, 1.0)))  # any will do until then
        super().__init__(config, **context)
        self._support = torch.from_numpy(self.support).to(self.device)
        self.returns, self._told = Returns(config.gamma, context.get("n_envs", 1)), False

    def _spread(self, low: Any, high: Any) -> Array:
        """Atoms [Z] from ``low`` to ``high``."""
        if low >= high:
            raise UsageError(f"{self.name}: v_min {low:g} must be below v_max {high:g}")
        return np.linspace(low, high, self.atoms, dtype=np.float32)

    def _hold(self, support: Array) -> None:
        self.support, self.known = support, True
        self._support = torch.from_numpy(support).to(self.device)

    def observe(self, steps: Steps) -> None:
        super().observe(steps)
        if self._told:
            return
        for found in self.returns.take_in(steps):
            if self.known and not self._told:
                self._look(found)

    def _look(self, found: float) -> None:
        """Warn, once, of a return that is more than an atom outside."""
        low, high = self.support[[0, -1]].tolist()
        atom = (high - low) / (self.atoms - 1)
        if not low - atom <= found <= high + atom:
            self._told = True
            warnings.warn(f"an episode had a discounted return of {found:.4g}, and the agent's distributions hold those from "
                          f"--v-min {low:g} to --v-max {high:g}: what is outside counts as the nearer end. Name an end that "
                          f"holds every return, such as --v-{'min' if found < low else 'max'} {1.5 * found:.2g}", stacklevel=2)

    def update(self, batches: Batches) -> Updated:
        if not self.known:
            (low, high), config = self.returns.span(), self.config
            self._hold(self._spread(low if config.v_min is None else config.v_min,
                                    high if config.v_max is None else config.v_max))
        return super().update(batches)

    def expectation(self, outputs: Any) -> Any:
        if isinstance(outputs, Tensor):
            return torch.softmax(outputs, -1) @ self._support
        shifted = np.exp(outputs - outputs.max(-1, keepdims=True))
        return shifted @ self.support / shifted.sum(-1)

    def goals(self, rewards: Tensor, discounts: Tensor, following: Tensor) -> Tensor:
        return targets.project(rewards, discounts, torch.softmax(following, -1), self._support)

    def slope(self, chosen: Tensor, goals: Tensor) -> Slope:
        log_p = torch.log_softmax(chosen, -1)  # [B, Z]
        return Slope(log_p.exp() - goals, -(goals * log_p).sum(-1))  # the surprise is the cross-entropy

    # -- saving

    def initialise(self, state: dict[str, Any]) -> None:
        super().initialise(state)
        if state.get("support") is not None:
            for name, theirs in zip(("v_min", "v_max"), state["support"][[0, -1]].tolist(), strict=True):
                ours = getattr(self.config, name)
                if ours is not None and not math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-6):
                    raise UsageError(f"--init-from: its distributions hold returns with a {name} of {theirs:g}, and here it is "
                                     f"{ours:g}: its networks speak of the former. Leave out {name}, or give {theirs:g}")
        self._take_support(state)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "support": self.support.copy() if self.known else None,
                "returns": self.returns.state_dict(), "told": self._told}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._take_support(state)
        if "returns" in state:
            self.returns.load_state_dict(state["returns"])
        self._told = state.get("told", False)

    def _take_support(self, state: dict[str, Any]) -> None:
        """Hold what the networks of ``state`` speak of; those of earlier versions were given both ends."""
        if state.get("support") is not None:
            self._hold(state["support"].copy())


class Rainbow(C51):
    """c51 under its own name, so that messages speak of what was asked for."""

    name = "rainbow"
