"""Hugging Face's ``transformers``, imported so that it works beside any build of torch."""

from __future__ import annotations

from typing import Any


def transformers() -> Any:
    """The package, silent but for errors. Raises ImportError when it is not installed."""
    # transformers imports torchaudio wherever it finds it, and torchaudio's wheel fails beside a torch without CUDA.
    import transformers as package

    from toolkit.core import _torchaudio  # noqa: F401 (importing it is what helps)

    package.utils.logging.set_verbosity_error()
    return package
