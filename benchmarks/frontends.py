"""Log-mel and MFCC beside torchaudio and librosa, and file reading beside soundfile and soxr by hand.

    python benchmarks/frontends.py                one thread, then two (each in a process of its own)
    python benchmarks/frontends.py --threads 1    one setting, in this process

Settings: 16 kHz, 400/160 samples, 80 mels (20 cepstra). All three compute the same numbers (Slaney mels, zeros
beyond the ends, decibels cut at 80), which is checked before anything is timed. The contestants take turns, so
that a busy machine troubles all alike; a turn is a few calls of which the first, in which the libraries' thread
pools and caches change hands, is not counted. The median is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RATE, N_FFT, HOP, MELS, CEPSTRA = 16000, 400, 160, 80, 20
SETTINGS = {"sample_rate": RATE, "n_fft": N_FFT, "hop_length": HOP, "n_mels": MELS}


def timed(contestants: dict[str, Callable[[], Any]], rounds: int, calls: int = 4) -> dict[str, float]:
    """Median milliseconds of each, taking turns of ``calls`` calls."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, work in contestants.items():
            for call in range(calls):
                begin = time.perf_counter()
                work()
                if turn and call:
                    times[name].append((time.perf_counter() - begin) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def contestants(clips: Any, kind: str) -> dict[str, Callable[[], Any]]:
    """The same features of clips [B, T], three ways."""
    import librosa
    import numpy as np

    from toolkit.audio import _torchaudio
    from toolkit.registry import registry

    transforms = _torchaudio.require().transforms
    common = {"n_fft": N_FFT, "hop_length": HOP, "n_mels": MELS, "norm": "slaney", "mel_scale": "slaney", "pad_mode": "constant"}
    arrays = clips.numpy()
    if kind == "log-mel":
        ours = registry.make("frontend", "log-mel", padding="constant", log="db", top_db=80.0, **SETTINGS)
        mel, decibels = transforms.MelSpectrogram(RATE, **common), transforms.AmplitudeToDB(top_db=80.0)
        return {"toolkit": lambda: ours(clips)[0],
                "torchaudio": lambda: decibels(mel(clips)[:, None])[:, 0].transpose(1, 2),
                "librosa": lambda: np.stack([librosa.power_to_db(librosa.feature.melspectrogram(
                    y=clip, sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=MELS)).T for clip in arrays])}
    ours = registry.make("frontend", "librosa-mfcc", n_mfcc=CEPSTRA, **SETTINGS)
    theirs = transforms.MFCC(RATE, n_mfcc=CEPSTRA, melkwargs=common)
    return {"toolkit": lambda: ours(clips)[0],
            "torchaudio": lambda: theirs(clips[:, None])[:, 0].transpose(1, 2),
            "librosa": lambda: np.stack([librosa.feature.mfcc(
                y=clip, sr=RATE, n_mfcc=CEPSTRA, n_fft=N_FFT, hop_length=HOP, n_mels=MELS).T for clip in arrays])}


def features(rounds: int) -> list[dict[str, Any]]:
    import numpy as np
    import torch

    random = torch.Generator().manual_seed(0)
    rows = []
    for count, seconds in ((32, 10), (1, 1)):
        clips = torch.randn(count, seconds * RATE, generator=random) * 0.1
        for kind in ("log-mel", "mfcc"):
            ways = contestants(clips, kind)
            results = [np.asarray(work()) for work in ways.values()]
            for other in results[1:]:
                np.testing.assert_allclose(results[0], other, atol=5e-3)
            rows.append({"what": f"{kind}, {count} clips of {seconds} s", **timed(ways, rounds, 4 if count > 1 else 50)})
    return rows


def files(folder: Path, rounds: int) -> dict[str, Any]:
    """60 s of 44.1 kHz stereo to 16 kHz mono."""
    import numpy as np
    import soundfile
    import soxr

    from toolkit.audio import io

    path = folder / "minute.wav"
    soundfile.write(path, (np.random.default_rng(0).standard_normal((60 * 44100, 2)) * 0.1).astype("float32"), 44100, "PCM_16")

    def by_hand() -> Any:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return soxr.resample(samples.mean(axis=1), rate, RATE)

    ways = {"toolkit": lambda: io.load(path, sample_rate=RATE, mono=True), "by hand": by_hand}
    return {"what": "60 s of 44.1 kHz stereo to 16 kHz mono", **timed(ways, rounds)}


def measure(threads: int, rounds: int) -> None:
    import tempfile

    import torch

    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        rows = [*features(rounds), files(Path(folder), rounds)]
    for row in rows:
        ours = row["toolkit"]
        others = {name: value for name, value in row.items() if name not in ("what", "toolkit")}
        said = ", ".join(f"{name} {value:.2f} ms ({value / ours:.1f} times ours)" for name, value in others.items())
        print(f"{threads} thread{'s' if threads > 1 else ''}: {row['what']}: toolkit {ours:.2f} ms, {said}")
    print(json.dumps({"threads": threads, "rows": rows}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    if arguments.threads:
        measure(arguments.threads, arguments.rounds)
        return
    for threads in (1, 2):
        limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        subprocess.run([sys.executable, __file__, "--threads", str(threads), "--rounds", str(arguments.rounds)],
                       env={**os.environ, **limits}, check=True)


if __name__ == "__main__":
    main()
