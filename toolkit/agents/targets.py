"""Temporal-difference targets, as pure functions.

Letters: B transitions, A actions. Names carry their time: ``q_tm1`` at the step, ``q_t`` after it.
"""

from __future__ import annotations

from torch import Tensor


def q_learning_target(r_t: Tensor, discount_t: Tensor, q_t: Tensor) -> Tensor:
    """``r + discount * max_a q(s', a)`` (Watkins and Dayan, 1992).

    Shapes: r_t [..., B], discount_t [..., B] (zero where the episode terminated, not where it was
    truncated), q_t [..., B, A]; returns [..., B].
    """
    return r_t + discount_t * q_t.max(-1).values


def double_q_learning_target(r_t: Tensor, discount_t: Tensor, q_t: Tensor, selector_t: Tensor) -> Tensor:
    """``r + discount * q(s', argmax_a selector(s', a))`` (van Hasselt et al., 2016, equation 4).

    Shapes as in `q_learning_target`; selector_t [..., B, A] chooses the action, q_t values it.
    """
    best = selector_t.argmax(-1, keepdim=True)  # [..., B, 1]
    return r_t + discount_t * q_t.gather(-1, best).squeeze(-1)


def huber_gradient(delta: Tensor) -> Tensor:
    """The derivative of the Huber loss (threshold 1) by ``delta``: ``delta`` cut to [-1, 1]."""
    return delta.clamp(-1.0, 1.0)


def huber(delta: Tensor) -> Tensor:
    """``delta**2 / 2`` within [-1, 1], ``|delta| - 1/2`` outside (Huber, 1964, threshold 1)."""
    size = delta.abs()
    quadratic = size.clamp(max=1.0)
    return quadratic * (size - 0.5 * quadratic)
