"""How far sound is from what it should be.

log_mel_l1       mean absolute difference of log mel frames
stft_distance    spectral convergence and log magnitude at three resolutions
cepstral_distortion  mel cepstral distortion in dB, aligned
si_sdr           scale-invariant signal-to-distortion ratio in dB
judged_by_ear    STOI and PESQ, where their packages are installed
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit.audio import io
from toolkit.entries import installed

RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))  # n_fft, hop, window
TINY, CEPSTRA = 1e-7, 13
PESQ_RATE = 16000
Array = np.ndarray[Any, Any]


def log_mel_l1(first: Tensor, second: Tensor, frontend: Any) -> float:
    """Mean absolute difference of the frames that ``frontend`` makes of two waveforms [T]; the longer one is cut.

    >>> import toolkit; sound = torch.randn(4096)
    >>> round(log_mel_l1(sound, 2 * sound, toolkit.make("frontend", "hifigan-mel")), 3)  # log 2
    0.693
    """
    length = min(len(first), len(second))
    return float((frontend(first[:length])[0] - frontend(second[:length])[0]).abs().mean())


def stft_distance(predictions: Tensor, targets: Tensor) -> float:
    """Spectral convergence plus the mean log magnitude difference, mean over three resolutions, of [T] and [T].

    Convergence, a share of the target, is 1 where the target is silent and the prediction is not, as it is the other way round;
    magnitudes count from 1e-7. Two silences have the distance 0.

    Source: Yamamoto et al. (2020), equations 4-6.

    >>> sound = torch.randn(4096); stft_distance(sound, sound)
    0.0
    """
    found = []
    for n_fft, hop, width in RESOLUTIONS:
        window = torch.hann_window(width, device=targets.device)
        one, two = (torch.stft(sound, n_fft, hop, width, window, pad_mode="constant", return_complex=True).abs().clamp(min=TINY)
                    for sound in (predictions, targets))
        whole = two if two.max() > TINY else one  # of a silent target nothing is a share
        found.append(float((two - one).norm() / whole.norm() + (one.log() - two.log()).abs().mean()))
    return sum(found) / len(found)


def cepstral_distortion(predictions: Tensor, targets: Tensor) -> float:
    """Mel cepstral distortion in dB of natural-log mel frames [F, mels] and [F', mels], aligned in time.

    ``10 / ln 10 sqrt(2 sum_d (c_d - c'_d)²)`` over cepstra 1 to 13 of the orthonormal DCT-II, mean over the
    path of dynamic time warping. Source: Kubichek (1993).

    >>> frames = torch.randn(9, 80); cepstral_distortion(frames, frames.repeat_interleave(2, 0))
    0.0
    """
    one, two = (cepstra(frames) for frames in (predictions, targets))

    def between(rows: Array, columns: Array) -> Array:
        squares: Array = np.square(one[rows] - two[columns]).sum(1)
        return 10 / math.log(10) * math.sqrt(2) * np.sqrt(squares)

    total, steps = warped(between, len(one), len(two))
    return total / steps


def cepstra(frames: Tensor) -> Array:
    """Cepstra 1 to 13 [F, 13] of log mel frames [F, mels]."""
    from scipy.fft import dct

    found: Array = dct(frames.double().cpu().numpy(), norm="ortho", axis=1)[:, 1:CEPSTRA + 1]
    return found


def warped(between: Callable[[Array, Array], Array], rows: int, columns: int) -> tuple[float, int]:
    """The least sum of distances along a path from corner to corner of [F, F'] cells, and the path's steps.

    ``between`` gives the distances [k] of cells by their rows [k] and columns [k]. They are asked for by diagonals, whose cells
    do not depend on each other; three diagonals are held, so that memory grows with the length, not with its square.
    """
    totals, steps = np.full((3, rows + 1), np.inf), np.zeros((3, rows + 1), np.int64)  # of a diagonal's cells by row, from 1
    totals[0, 0] = 0.0  # what comes before the first cell
    for diagonal in range(rows + columns - 1):
        corner, side, now = diagonal % 3, (diagonal + 1) % 3, (diagonal + 2) % 3
        row = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1)) + 1
        options = np.stack((totals[corner, row - 1], totals[side, row - 1], totals[side, row]))
        counts = np.stack((steps[corner, row - 1], steps[side, row - 1], steps[side, row]))
        best, place = options.argmin(0), np.arange(len(row))
        totals[now] = np.inf
        totals[now, row] = options[best, place] + between(row - 1, diagonal + 1 - row)
        steps[now, row] = counts[best, place] + 1
    return float(totals[now, rows]), int(steps[now, rows])


def judged_by_ear(predictions: Tensor, targets: Tensor, rate: int) -> dict[str, float]:
    """``stoi`` (Taal et al., 2011; 0 to 1) and wide-band ``pesq`` (ITU-T P.862.2; 1 to 4.6) of [T] and [T] at ``rate`` (Hz).

    Each where its package (pystoi, pesq) is installed and there is the second of sound that it needs; else it is left out.
    """
    if len(targets) < rate:
        return {}
    found: dict[str, float] = {}
    made, real = (sound.detach().cpu().numpy().astype(np.float64) for sound in (predictions, targets))
    if installed("pystoi"):
        from pystoi import stoi

        found["stoi"] = float(stoi(real, made, rate))
    if installed("pesq"):
        from pesq import NoUtterancesError, pesq

        narrow = [io.resampled(sound.astype(np.float32)[:, None], rate, PESQ_RATE)[:, 0] for sound in (real, made)]
        with contextlib.suppress(NoUtterancesError):  # silence has no quality
            found["pesq"] = float(pesq(PESQ_RATE, *narrow, "wb"))
    return found


def si_sdr(predictions: Tensor, targets: Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio in dB of [T] and [T], both without their mean; infinite where proportional, and
    minus infinity where one alone is silent.

    Source: Le Roux et al. (2019), equation 5.

    >>> round(si_sdr(torch.tensor([2.0, 1.0, 1.0, 0.0]), torch.tensor([1.0, 0.0, 1.0, 0.0])), 6)
    0.0
    """
    one, two = (sound.double() - sound.double().mean() for sound in (predictions, targets))
    wanted = (one @ two) / (two @ two).clamp(min=1e-20) * two
    kept, rest = float((wanted ** 2).sum()), float(((one - wanted) ** 2).sum())
    if kept == 0:
        return math.inf if torch.equal(one, two) else -math.inf
    return 10 * math.log10(kept / rest) if rest else math.inf
