"""Makes ``import torchaudio`` work beside any build of torch.

The wheel of torchaudio on PyPI links the CUDA libraries, and raises OSError on import beside a torch
without them. Its Python parts (transforms, functional, models, pipelines) need no compiled code.
Importing this module tries the ordinary import first; where that fails it puts a stand-in for
``torchaudio._extension`` in place, which says that the extension is unavailable, and imports again.

torchaudio   the module, complete or without its compiled extension; None when it is not installed
case         ``"complete"``, ``"without extension"`` or ``"absent"``
cause        why the extension could not be loaded, in one line

The toolkit's own front ends never import this.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from toolkit.errors import MissingExtra

NAME = "torchaudio"
EXTENSION = "torchaudio._extension"
INSTALL = 'pip install "torchaudio>=2.11,<2.14"'


def stand_in(reason: str) -> ModuleType:
    """A module with the names of ``torchaudio._extension`` that reports the extension as unavailable."""
    module = ModuleType(EXTENSION, "A stand-in: the compiled extension of torchaudio is not available.")

    def unavailable(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"this part of torchaudio needs its compiled extension, which could not be loaded: {reason}")

    def fail_if_no_align(function: Callable[..., Any]) -> Callable[..., Any]:
        return unavailable

    facts = {"_IS_TORCHAUDIO_EXT_AVAILABLE": False, "_IS_ALIGN_AVAILABLE": False, "fail_if_no_align": fail_if_no_align,
             "_check_cuda_version": lambda: None, "_load_lib": lambda library: False}
    module.__dict__.update(facts)
    return module


def import_torchaudio() -> tuple[ModuleType | None, str, str]:
    """(module, case, cause); leaves ``sys.modules`` so that a later ``import torchaudio`` works."""
    try:
        return importlib.import_module(NAME), "complete", ""
    except ModuleNotFoundError as error:
        if error.name == NAME:
            return None, "absent", f"not installed: {INSTALL}"
        raise
    except (OSError, ImportError, RuntimeError, AttributeError) as error:
        # OSError: libraries missing; RuntimeError: built for another CUDA; AttributeError: operators not registered.
        reason = innermost(error)
    forget(NAME)
    sys.modules[EXTENSION] = stand_in(reason)
    try:
        return importlib.import_module(NAME), "without extension", reason
    except BaseException:
        forget(NAME)
        raise


def innermost(error: BaseException) -> str:
    """The first cause of an exception, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}".split("\n")[0]


def forget(package: str) -> None:
    """Drop a half-imported package, so that importing it again starts afresh."""
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        del sys.modules[name]


torchaudio, case, cause = import_torchaudio()


def require() -> ModuleType:
    """torchaudio; raises MissingExtra with the install command when it is not installed."""
    if torchaudio is None:
        raise MissingExtra(f"torchaudio is not installed. Install it: {INSTALL}")
    return torchaudio


def probe() -> str:
    """One line for ``toolkit doctor``; computes a mel spectrogram to know that the Python parts work.

    Raises MissingExtra when torchaudio is not installed.
    """
    import torch

    module = require()
    importlib.import_module("torchaudio.transforms")
    mel = module.transforms.MelSpectrogram(16000, n_mels=32)(torch.ones(800))
    if mel.shape != (32, 5):
        raise RuntimeError(f"torchaudio's mel spectrogram of 800 samples has shape {tuple(mel.shape)}, not (32, 5)")
    if case == "complete":
        return f"{module.__version__}, with its compiled extension"
    return f"{module.__version__}, Python parts only (extension not loaded: {cause}); the toolkit needs no more"
