"""Pictures of features: time in seconds, frequency in Hz, a colour bar with its unit.

figure            panels under one another on one time axis
bin_frequencies   Hz of each bin, where bins have frequencies
value_unit        what the numbers are, in words

matplotlib draws, without a display.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.audio.frontends.filters import hz_to_mel, mel_to_hz
from toolkit.audio.spec import FrameSpec
from toolkit.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
PANEL_INCHES = (9.0, 3.0)
RESOLUTION = 130  # dots an inch
MAX_COLUMNS = 4000  # frames drawn; more are averaged
PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
UNITS = {"waveform": "amplitude", "chroma": "share of energy", "pcen": "normalised energy", "cepstra": "cepstral coefficient",
         "spectral-centroid": "Hz", "spectral-bandwidth": "Hz", "spectral-rolloff": "Hz", "spectral-contrast": "dB",
         "spectral-flatness": "flatness", "zero-crossing-rate": "crossings a sample", "rms": "root mean square",
         "onset-strength": "onset strength (dB)", "pyin": "frequency (Hz), probability of a voice"}
LINEAR = ("magnitude", "power")  # drawn in decibels
RANGE_DB = 80.0
MARKS = 14  # on the vertical axis, at most
ROUND_HZ = (50, 100, 200, 500, 1000, 2000, 4000, 8000, 16000)


@dataclass(frozen=True)
class Panel:
    """Values [frames, bins] of a front end, to be drawn under a title; ``centred`` colours 0 white (differences)."""

    title: str
    values: np.ndarray
    spec: FrameSpec
    centred: bool = False


def save_figure(panels: Sequence[Panel], path: str | os.PathLike[str]) -> None:
    """Draw the panels into a file. Raises UsageError for a suffix that is not drawn."""
    check_suffix(path)
    figure(panels).savefig(path, dpi=RESOLUTION)


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Raise UsageError for a suffix that is not drawn."""
    if os.path.splitext(os.fspath(path))[1].lower() not in FORMATS:
        raise UsageError(f"{path}: a picture ends in {', '.join(FORMATS)}")


def figure(panels: Sequence[Panel]) -> Figure:
    """The panels under one another. Raises MissingExtra without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra(f"pictures need matplotlib ({error}). Install it: pip install matplotlib") from error

    width, height = PANEL_INCHES
    drawn = Figure(figsize=(width, height * len(panels)), layout="constrained")
    for axes, panel in zip(np.ravel(drawn.subplots(len(panels), squeeze=False)), panels):
        draw(drawn, axes, panel)
    return drawn


def draw(drawn: Figure, axes: Any, panel: Panel) -> None:
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel("time (s)")
    if panel.spec.bins <= 2 or panel.spec.values == "waveform" or not len(panel.values):
        draw_lines(axes, panel)
    else:
        draw_image(drawn, axes, panel)


def draw_lines(axes: Any, panel: Panel) -> None:
    """Front ends of one or two bins, and samples, as curves."""
    spec, values = panel.spec, panel.values
    values = values.reshape(-1, 1) if spec.values == "waveform" and spec.frame_length == spec.hop_length else values
    step = 1 / spec.sample_rate if len(values) != len(panel.values) else 1 / spec.frame_rate
    start = spec.times(1)[0]
    axes.plot(start + np.arange(len(values)) * step, values[:, :2], linewidth=0.8)
    axes.set_ylabel(value_unit(spec))
    axes.margins(x=0)


def draw_image(drawn: Figure, axes: Any, panel: Panel) -> None:
    spec = panel.spec
    values, hop = thinned(panel.values, 1 / spec.frame_rate)
    unit = value_unit(spec)
    if unit in LINEAR and not panel.centred:
        values, unit = decibels(values, spec.power), f"{unit} (dB)"
    left = spec.times(1)[0] - 0.5 / spec.frame_rate
    # The first cepstral coefficient is the level, many times as large as the others.
    shown = values[:, 1:] if spec.values == "cepstra" and spec.bins > 1 else values
    low, high = float(shown.min()), float(shown.max())
    limit = max(-low, high) or 1.0
    colours = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit} if panel.centred else {"cmap": "magma", "vmin": low, "vmax": high}
    image = axes.imshow(values.T, origin="lower", aspect="auto", interpolation="nearest",
                        extent=(left, left + len(values) * hop, -0.5, spec.bins - 0.5), **colours)
    drawn.colorbar(image, ax=axes, label=("difference: " if panel.centred else "") + unit)
    label_bins(axes, spec)


def decibels(values: np.ndarray, power: float) -> np.ndarray:
    """Magnitudes to the ``power`` in dB, cut `RANGE_DB` below the largest."""
    floor = max(float(values.max()) * 10 ** (-RANGE_DB * power / 20), 1e-20)
    return 20 / power * np.log10(np.maximum(values, floor))


def thinned(values: np.ndarray, hop: float) -> tuple[np.ndarray, float]:
    """At most `MAX_COLUMNS` frames, neighbours averaged, and the seconds from one to the next."""
    group = -(-len(values) // MAX_COLUMNS)
    if group <= 1:
        return values, hop
    whole = values[:len(values) // group * group]
    return whole.reshape(-1, group, values.shape[1]).mean(axis=1), hop * group


def label_bins(axes: Any, spec: FrameSpec) -> None:
    """The vertical axis: Hz where bins have frequencies, else what they are."""
    frequencies = bin_frequencies(spec)
    if frequencies is None:
        names = {"cepstra": "coefficient", "chroma": "pitch class"}
        axes.set_ylabel(names.get(spec.values, "bin"))
        if spec.values == "chroma" and spec.bins == len(PITCH_CLASSES):
            axes.set_yticks(range(len(PITCH_CLASSES)), PITCH_CLASSES)
        return
    axes.set_ylabel("frequency (Hz)")
    if spec.values == "spectrum" or spec.mel_scale == "linear":
        marks = np.arange(0, frequencies[-1] + 1, nice_step(float(frequencies[-1])))
    else:
        marks = np.array([hz for hz in ROUND_HZ if frequencies[0] <= hz <= frequencies[-1]])
    places = np.interp(marks, frequencies, np.arange(len(frequencies)))
    kept = apart(places.tolist(), len(frequencies) / MARKS)
    axes.set_yticks(places[kept], [f"{mark:g}" for mark in marks[kept]])


def apart(places: Sequence[float], least: float) -> list[int]:
    """Which of the ascending ``places`` to keep, from the highest down, so that neighbours are ``least`` apart."""
    kept: list[int] = []
    for index in reversed(range(len(places))):
        if not kept or places[kept[-1]] - places[index] >= least:
            kept.append(index)
    return kept[::-1]


def nice_step(highest: float) -> float:
    """A round distance between about six marks up to ``highest``."""
    size = 10 ** np.floor(np.log10(highest / 6))
    return float(size * next(step for step in (1, 2, 5, 10) if size * step >= highest / 6))


def bin_frequencies(spec: FrameSpec) -> np.ndarray | None:
    """Hz of each bin's centre [bins]; None where bins have none (cepstra, chroma, samples)."""
    if spec.values == "spectrum":
        return np.arange(spec.bins) * spec.sample_rate / spec.n_fft
    if spec.values in ("cqt", "scalogram"):
        return np.geomspace(spec.f_min, spec.f_max, spec.bins)
    if spec.values in ("mel", "log-mel", "pcen") and spec.n_mels == spec.bins:
        if spec.mel_scale == "linear":
            return np.linspace(spec.f_min, spec.f_max, spec.bins + 2)[1:-1]
        low, high = hz_to_mel(spec.f_min, spec.mel_scale), hz_to_mel(spec.f_max, spec.mel_scale)
        return mel_to_hz(np.linspace(low, high, spec.bins + 2), spec.mel_scale)[1:-1]
    return None


def value_unit(spec: FrameSpec) -> str:
    """What a front end's numbers are: ``dB``, ``ln power``, ``magnitude`` ..."""
    details = dict(spec.details)
    if spec.values in UNITS:
        return UNITS[spec.values]
    if details.get("normalize") == "per-feature":
        return "deviations from the mean"
    quantity = {1.0: "magnitude", 2.0: "power"}.get(spec.power, f"magnitude^{spec.power:g}")
    scaled = "scaled " if details.get("scale", 1.0) != 1.0 else ""
    return scaled + {"db": "dB", "natural": f"ln {quantity}", "log10": f"log10 {quantity}"}.get(spec.log, quantity)
