"""Training crnn on spoken digits beside a plain PyTorch loop: clips a second, and the share of time waiting for data.

    python benchmarks/recognition.py [--rounds 3] [--clips 3000]

The peer is the same model with torch's packed sequences in its recurrent layer, and what a tutorial would write around it:
`torchaudio.transforms.MelSpectrogram` and a logarithm, `DataLoader` with padding by batch, AdamW, clipping, OneCycleLR, the same
clips and batch size, no transforms on either side. Both take turns in one process tree on the same number of threads; ratios are
medians over rounds, with the smallest and largest beside.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

import toolkit.audio._torchaudio  # noqa: F401 - makes torchaudio importable
from toolkit.audio.models.base import HeardSpec
from toolkit.registry import registry

BATCH, RATE = 32, 4e-3


def plain_training(clips: int) -> float:
    """Clips a second of the plain loop, over one pass."""
    from torchaudio.transforms import MelSpectrogram

    rows = registry.make("dataset", "spoken-digits").splits()["train"][:clips]
    labels = sorted({row["label"] for row in rows})
    examples = [(torch.tensor(row["audio"]).float() / 32768, labels.index(row["label"])) for row in rows]
    mel = MelSpectrogram(16000, 400, hop_length=160, n_mels=40, mel_scale="slaney", norm="slaney")
    model = registry.make("model", "crnn", inputs=40, outputs=len(labels), spec=HeardSpec("clip"))
    model.recurrent.read = model.recurrent.read_packed

    def collate(batch: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor, Tensor]:
        sounds = [sound for sound, _ in batch]
        return (pad_sequence(sounds, batch_first=True), torch.tensor([1 + len(sound) // 160 for sound in sounds]),
                torch.tensor([label for _, label in batch]))

    loader = DataLoader(examples, BATCH, shuffle=True, collate_fn=collate)  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=len(loader) + 1)
    start = time.perf_counter()
    for sounds, frames, wanted in loader:
        features = mel(sounds).clamp(min=1e-10).log().transpose(1, 2)
        loss = nn.functional.cross_entropy(model(features, frames)[0], wanted)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return clips / (time.perf_counter() - start)


def our_training(clips: int, *more: str) -> tuple[float, float]:
    """Clips a second of ``toolkit run``, by its own count, and the share of its training time that waits for data."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        words = ["run", "audio-classification", "--data", "spoken-digits", "--model", "crnn", "--steps", str(clips),
                 "--batch-size", str(BATCH), "--learning-rate", str(RATE), "--evaluate-every", "0", "--out", str(out),
                 "--threads", str(torch.get_num_threads()), "--json", *more]
        done = subprocess.run([sys.executable, "-m", "toolkit", *words], capture_output=True, text=True, check=True)
        times = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines() if "time/data_seconds" in line][-1]
        waiting = times["time/data_seconds"] / (times["time/data_seconds"] + times["time/training_seconds"])
        return float(json.loads(done.stdout)["steps_per_second"]), float(waiting)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=3000)
    options = parser.parse_args()
    pairs, waits = [], []
    for _ in range(options.rounds):
        speed, waiting = our_training(options.clips, "--preset", "none")
        pairs.append((speed, plain_training(options.clips)))
        waits.append(waiting)
    ratios = sorted(one / other for one, other in pairs)
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"training {ours:,.0f} against {theirs:,.0f} clips a second: {statistics.median(ratios):.2f} times "
          f"({ratios[0]:.2f} to {ratios[-1]:.2f}); waiting for data {statistics.median(waits):.1%}", flush=True)
    _, waiting = our_training(options.clips)
    print(f"with the tuned preset's transforms: waiting for data {waiting:.1%}", flush=True)


if __name__ == "__main__":
    main()
