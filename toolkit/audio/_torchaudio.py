"""Makes ``import torchaudio`` work beside any build of torch; see `toolkit.core._torchaudio`, which other rooms need too."""

from toolkit.core._torchaudio import case, cause, probe, require, torchaudio

__all__ = ["case", "cause", "probe", "require", "torchaudio"]
