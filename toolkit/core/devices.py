"""Which device a run computes on."""

from __future__ import annotations

import os
import warnings

import torch

from toolkit.errors import UsageError

CHOICES = ("auto", "cpu", "cuda")
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # read once, when the first product is asked of a GPU


def select(device: str, best: str = "cuda") -> torch.device:
    """The torch device that ``auto``, ``cpu`` or ``cuda`` means here; ``auto`` is ``best`` where there is one.

    On a GPU torch is told to repeat: of its kernels for one sum those that add up in the same order each time are taken, since
    a run must end alike whether it was interrupted or not. Raises UsageError when CUDA is asked for and absent.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device 'cuda' was asked for, and torch sees no CUDA device here. Use --device cpu, "
                         "or see what torch finds: toolkit doctor")
    if device == "auto":
        device = best if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        repeat()
    return torch.device(device)


def repeat() -> None:
    """Have kernels of GPUs give the same sums each time, where there is such a kernel.

    Ours all have one. Where an operation of a plugin has none torch would warn at every call.
    """
    os.environ.setdefault(WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cuda.enable_mem_efficient_sdp(False)  # its gradients add up in any order unless others' would raise
    # New memory filled with NaN finds faults of kernels, and costs a pass over it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    warnings.filterwarnings("ignore", ".*does not have a deterministic implementation", UserWarning)
