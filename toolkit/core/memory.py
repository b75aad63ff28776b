"""Whether a model fits into the memory of the machine, asked before it is filled: afterwards the system kills the process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container
LEAST = 2  # values kept for each parameter that is learned, whatever the optimizer: itself and its gradient


def machine_memory() -> float:
    """Bytes of memory, or of what a container may use of it; infinite where the system does not tell."""
    found = float("inf")
    with contextlib.suppress(ValueError, OSError, AttributeError):
        found = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in LIMITS:
        with contextlib.suppress(ValueError, OSError):  # there is no container, or its limit is "max"
            found = min(found, int(Path(path).read_text()))
    return found


@contextlib.contextmanager
def within_memory() -> Iterator[None]:
    """Modules that are made meanwhile raise MemoryError when their parameters cannot fit.

    A parameter is counted when it is registered: memory that torch has asked for takes room only once it is written to.
    """
    memory, needed = machine_memory(), 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal needed
        if parameter is None or isinstance(parameter, nn.UninitializedParameter):
            return
        needed += LEAST * parameter.numel() * parameter.element_size()
        if needed > memory:
            raise MemoryError(f"the parameters and their gradients take at least {needed / 1e9:,.0f} GB, and it has "
                              f"{memory / 1e9:,.0f}; the last one, {name} of {type(module).__name__}, has the shape "
                              f"{list(parameter.shape)}")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
