"""Where a run computes."""

from __future__ import annotations

import torch

from toolkit.core import devices
from toolkit.registry import registry
from toolkit.training.resolve import Plan


def device_for(plan: Plan, wherever: bool = False) -> torch.device:
    """Where the run computes; ``wherever``: on the CPU where there is no GPU, even if one was asked for when it was made.

    ``auto`` leaves an agent on the CPU whose network is declared as one that ``cannot`` gain by a ``gpu``.
    """
    values = plan.config.values
    name = values.get("network") if plan.entry.kind == "agent" else None
    small = name is not None and "gpu" in registry.get("network", name).cannot
    wanted = "cpu" if wherever and not torch.cuda.is_available() else values["device"]
    return devices.select(wanted, best="cpu" if small else "cuda")
