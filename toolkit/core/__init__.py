"""Tensor pieces: seeding, devices, flat parameters, optimizers, schedules, saveable state."""

from toolkit.registry import Declarer


def declare(registry: Declarer) -> None:
    """The room's components."""
    registry.add("scheduler", "constant", "toolkit.core.schedules:constant",
                 summary="Keeps the value where it starts.")
    registry.add("scheduler", "linear", "toolkit.core.schedules:linear",
                 summary="Falls in a straight line from the value to zero at the end of the budget.")
