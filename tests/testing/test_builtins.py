"""Every built-in component keeps what its kind promises: being declared is being tested."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import conftest
import pytest

from toolkit.entries import BUILTIN, KINDS, Entry, resolve
from toolkit.errors import MissingExtra
from toolkit.registry import Registry
from toolkit.testing.suite import NotPromised, Suite, suite_for

ENTRIES = [entry for entry in Registry(plugins=False).entries() if entry.distribution == BUILTIN]
# Small versions of what is large by default.
TINY_CRNN = {"name": "crnn", "channels": (4, 6), "time_strides": (2, 1), "hidden_size": 8, "layers": 1}
FEW = {"data.count": 500, "data.held_out": 50}
OPTIONS: dict[str, dict[str, Any]] = {
    "model bert": {"width": 16, "heads": 2, "hidden": 32, "layers": 2, "longest": 64},
    "model transformer-classifier": {"width": 16, "heads": 2, "hidden": 32},
    "model lstm-lm": {"embedding_size": 8, "hidden_size": 16},
    "model transformer-lm": {"width": 16, "heads": 2, "hidden": 32, "layers": 2},
    "model crnn": {"channels": (4, 6), "time_strides": (2, 1), "hidden_size": 8},
    **{f"model {name}": {"width": 16, "heads": 2, "hidden": 32, "layers": 2} for name in
       ("conformer", "streaming-conformer", "transformer")},
    "model tdnn": {"channels": 16},
    "task text-classification": {**FEW, "model": {"name": "lstm-classifier", "embedding_size": 8, "hidden_size": 16}},
    "task token-classification": FEW,
    "task masked-language-model": {**FEW, "model": {"name": "bert", "width": 16, "heads": 2, "hidden": 32, "layers": 2}},
    "task vocoder": {"model": {"name": "hifigan-v3", "channels": 8}, "critic_width": 0.01, "segment": 1024,
                     "evaluation_seconds": 0.1, "batch_size": 2},
    **{f"vocoder hifigan-{size}": {"channels": 16} for size in ("v1", "v2", "v3")},
    "vocoder wavenet": {"channels": 8, "skip_channels": 12, "layers": 6, "cycle": 3},
    "model wav2vec2": {"channels": (8, 8, 8), "kernels": (10, 8, 4), "strides": (5, 4, 2), "width": 16, "layers": 1, "heads": 2,
                       "hidden": 32, "position_kernel": 8, "position_groups": 2},
    **{f"dataset {name}": {"count": 20, "held_out": 4} for name in
       ("spoken-digits", "spoken-commands", "spoken-digit-strings", "spoken-sentences", "synthetic-sounds", "synthetic-chords",
        "synthetic-genres", "synthetic-emotions")},
    **{f"task {name}": {"model": TINY_CRNN} for name in ("audio-regression", "voice-activity")},
    "task audio-classification": {"model": TINY_CRNN, "transforms": "speed(0.9, 1.1) | noise(snr=0..20)"},
    "task speech-recognition": {"model": TINY_CRNN, "transforms": "gain(-6..6) | noise(snr=0..20)"},
    "task text-generation": {**FEW, "max_length": 48,
                             "model": {"name": "transformer-lm", "width": 16, "heads": 2, "hidden": 32, "layers": 2}},
}
DATA = {"tabular-classification": "iris", "tabular-regression": "diabetes", "text-classification": "template-reviews",
        "token-classification": "bracket-tagging", "text-generation": "copy", "masked-language-model": "template-reviews"}
SLOW = {("agent rainbow", "it_learns_a_trivial_environment"), ("dataset python-docs", "it_has_examples_to_train_on"),
        ("dataset python-docs", "the_same_options_give_the_same_examples"), ("dataset python-docs", "its_target_is_there")}
# They share all their code but a few lines with sb3-ppo and sb3-sac.
SIBLINGS = {"agent sb3-a2c", "agent sb3-ddpg", "agent sb3-td3"}


def cases() -> list[Any]:
    found = []
    for entry in ENTRIES:
        title = f"{entry.kind} {entry.name}"
        for promise in suite_for(entry).promises():
            short = promise.removeprefix("test_")
            marks = [pytest.mark.slow] if (title, short) in SLOW or title in SIBLINGS else []
            found.append(pytest.param(entry, promise, id=f"{entry.kind}-{entry.name}-{short}", marks=marks))
    return found


@functools.cache
def folder() -> Path:
    kept = Path(tempfile.mkdtemp(prefix="toolkit-suites-"))
    (kept / "rows.csv").write_text("a,b\n1,x\n2,y\n3,x\n")
    (kept / "rows.jsonl").write_text("".join(json.dumps({"a": 1, "b": word}) + "\n" for word in "xyz"))
    (kept / "rows.txt").write_text("one\n\ntwo\n\nthree\n")
    return kept


@functools.cache
def sounds() -> Path:
    """A folder of sound files."""
    from toolkit.audio import io

    kept = folder() / "sounds"
    kept.mkdir()
    for number in range(3):
        io.save(kept / f"{number}.wav", [0.1 * (-1) ** (step // (9 + number)) for step in range(6000)], 22050)
    return kept


@functools.cache
def recordings() -> Path:
    """A folder with one folder of sounds for each of two labels, and what is said in each."""
    kept = folder() / "recordings"
    conftest.recordings(kept)
    return kept


@functools.cache
def numbered() -> Path:
    """A manifest of the same sounds with numbers for labels."""
    kept = recordings()
    lines = [f"{path},{number}" for number, path in enumerate(sorted(kept.rglob("*.wav")))]
    (kept.parent / "numbered.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    return kept.parent / "numbered.csv"


def suite_of(entry: Entry) -> Suite:
    """The entry's suite with what it needs to be tried quickly."""
    suite = suite_for(entry, OPTIONS.get(f"{entry.kind} {entry.name}"))
    if entry.kind == "agent":
        suite.steps = 384  # type: ignore[attr-defined]  # three rollouts
    if entry.kind == "task":
        if entry.name not in DATA and not entry.accepts:
            pytest.skip("its data is made by the tests of its own room")
        suite.data = DATA.get(entry.name, "")  # type: ignore[attr-defined]
    if entry.name == "vocoder":
        suite.data, suite.steps = str(sounds()), 6  # type: ignore[attr-defined]
    if entry.name in ("audio-classification", "speech-recognition", "voice-activity"):
        suite.data, suite.steps = str(recordings()), 40  # type: ignore[attr-defined]
    if entry.name == "audio-regression":
        suite.data, suite.steps = str(numbered()), 40  # type: ignore[attr-defined]
    if entry.name == "recordings":
        suite.options = {"path": str(recordings())}
    elif entry.kind == "dataset" and entry.accepts:
        path = folder() / f"rows{entry.accepts[0]}"
        if path.exists():
            suite.options = {"path": str(path)}
    if entry.name == "pretrained":
        pytest.skip("it needs a folder of a model; the tests of text models make one and hold it to the same promises")
    return suite


@pytest.mark.parametrize(("entry", "promise"), cases())
def test_a_builtin_keeps_its_promise(entry: Entry, promise: str) -> None:
    if entry.missing:
        pytest.skip(f"needs {', '.join(entry.missing)}")
    suite = suite_of(entry)
    try:
        getattr(suite, promise)()
    except (NotPromised, MissingExtra) as reason:
        pytest.skip(str(reason))


def test_every_kind_has_a_suite() -> None:
    for kind in KINDS:
        suite = resolve(kind.suite)
        assert issubclass(suite, Suite) and suite.kind == kind.singular and suite.promises()
