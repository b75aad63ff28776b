"""Text beside plain PyTorch: training a Transformer classifier, and writing on with a cache and without.

    python benchmarks/text.py [--rounds 3] [--epochs 2]

The peer is what a tutorial would write: `nn.TransformerEncoder` of the same size, `DataLoader` with padding
by batch, AdamW with fused steps, clipping, the same schedule, the same texts and ids. Both sides take turns,
so that a loaded machine slows both; ratios are medians over rounds, with the smallest and largest beside.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from toolkit.nlp.generation import Sampling, write
from toolkit.registry import registry

WIDTH, HEADS, HIDDEN, LAYERS, BATCH, RATE = 128, 4, 512, 2, 32, 1e-3
LENGTH, IDS = 256, 96  # of generation


class Plain(nn.Module):
    """Embedding, sines and cosines, `nn.TransformerEncoder`; ids [B, T] to states [B, T, D]."""

    def __init__(self, ids: int, layers: int = LAYERS) -> None:
        super().__init__()
        self.embedding = nn.Embedding(ids, WIDTH, 0)
        angles = torch.arange(512)[:, None] * torch.exp(torch.arange(0, WIDTH, 2) * (-math.log(1e4) / WIDTH))
        self.register_buffer("table", torch.stack([angles.sin(), angles.cos()], -1).flatten(1))
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, 0.1, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(WIDTH), enable_nested_tensor=False)

    def forward(self, ids: Tensor, padding: Tensor | None = None, causal: Tensor | None = None) -> Tensor:
        x = self.embedding(ids) * math.sqrt(WIDTH) + self.table[:ids.shape[1]]
        found: Tensor = self.encoder(x, mask=causal, src_key_padding_mask=padding, is_causal=causal is not None)
        return found


def plain_training(epochs: int) -> float:
    """Examples a second of the plain loop."""
    splits = registry.make("dataset", "template-reviews").splits()["train"]
    tokenizer = registry.make("tokenizer", "basic-english")
    tokenizer.train([row["text"] for row in splits])
    rows = [(torch.tensor([2, *tokenizer.encode(row["text"]), 3]), int(row["label"] == "good")) for row in splits]

    def collate(batch: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
        return pad_sequence([ids for ids, _ in batch], batch_first=True), torch.tensor([label for _, label in batch])

    loader = DataLoader(rows, BATCH, shuffle=True, collate_fn=collate)  # type: ignore[arg-type]
    body, head = Plain(tokenizer.size), nn.Linear(WIDTH, 2)
    parameters = [*body.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, RATE, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=epochs * len(loader) + 1)
    start = time.perf_counter()
    for _ in range(epochs):
        for ids, labels in loader:
            padding = ids == 0
            states = body(ids, padding).masked_fill(padding[..., None], 0).sum(1) / (~padding).sum(1, keepdim=True)
            loss = nn.functional.cross_entropy(head(states), labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
    return epochs * len(rows) / (time.perf_counter() - start)


def our_training(epochs: int) -> float:
    """Examples a second of ``toolkit run``, by its own count, which leaves out imports, evaluation and saving."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["run", "text-classification", "--data", "template-reviews", "--model", "transformer-classifier", "--preset",
                 "none", "--epochs", str(epochs), "--batch-size", str(BATCH), "--learning-rate", str(RATE),
                 "--out", str(Path(folder) / "run"),
                 "--threads", str(torch.get_num_threads()), "--json"]
        done = subprocess.run([sys.executable, "-m", "toolkit", *words], capture_output=True, text=True, check=True)
        return float(json.loads(done.stdout)["steps_per_second"])


def our_writing(cached: bool) -> float:
    """Tokens a second of the registered language model at ``LENGTH`` tokens."""
    torch.manual_seed(0)
    model = registry.make("model", "transformer-lm", inputs=IDS, outputs=IDS).eval()
    start = time.perf_counter()
    written, = write(model, torch.tensor([[2]]), LENGTH, -1, Sampling(1.0), seed=0, cached=cached)
    assert len(written) == LENGTH
    return LENGTH / (time.perf_counter() - start)


@torch.no_grad()
def plain_writing() -> float:
    """Tokens a second of a plain model of that size, which reads everything again for each token."""
    torch.manual_seed(0)
    body, head = Plain(IDS, 4).eval(), nn.Linear(WIDTH, IDS)
    ids = torch.tensor([[2]])
    start = time.perf_counter()
    for _ in range(LENGTH):
        causal = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        shares = head(body(ids, causal=causal)[:, -1]).softmax(-1)
        ids = torch.cat([ids, torch.multinomial(shares, 1)], 1)
    return LENGTH / (time.perf_counter() - start)


def compare(name: str, unit: str, ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> None:
    """Print both speeds and their ratio, each the median over rounds."""
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    ratios = sorted(one / other for one, other in pairs)
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{name:34} {mine:9,.0f} against {other:9,.0f} {unit} a second: {statistics.median(ratios):.2f} times "
          f"({ratios[0]:.2f} to {ratios[-1]:.2f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    our_writing(True)  # warm up
    compare("writing, cache against none", "tokens", lambda: our_writing(True), lambda: our_writing(False), options.rounds)
    compare("writing, cache against plain", "tokens", lambda: our_writing(True), plain_writing, options.rounds)
    compare("writing, no cache against plain", "tokens", lambda: our_writing(False), plain_writing, options.rounds)
    compare("training against plain", "examples", lambda: our_training(options.epochs), lambda: plain_training(options.epochs),
            options.rounds)


if __name__ == "__main__":
    main()
