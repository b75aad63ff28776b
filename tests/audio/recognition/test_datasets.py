"""Data made on the machine: the same bytes each time, splits that share nothing, exact noise; and recordings of one's own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit import audio
from toolkit.audio.datasets import grammar, spoken
from toolkit.audio.datasets.espeak import Voice, shared
from toolkit.errors import UsageError
from toolkit.registry import registry

pytest.importorskip("espeakng_loader")
SMALL = {"count": 60, "held_out": 20}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def splits(name: str, **options: Any) -> Any:
    return registry.make("dataset", name, **{**SMALL, **options}).splits()


def fingerprint(clips: Any) -> str:
    return hashlib.sha256(b"".join(clip["audio"].tobytes() for clip in clips)).hexdigest()


@pytest.mark.parametrize("name", ["spoken-digits", "synthetic-sounds"])
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(name: str, monkeypatch: Any, tmp_path: Path) -> None:
    first = {split: fingerprint(clips) for split, clips in splits(name).items()}
    assert splits(name, seed=1).keys() == first.keys()
    assert fingerprint(splits(name, seed=1)["train"]) != first["train"]
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path))
    assert {split: fingerprint(clips) for split, clips in splits(name).items()} == first


@pytest.mark.parametrize(("name", "key"), [
    ("spoken-digits", "label"), ("spoken-sentences", "text"), ("spoken-digit-strings", "text")])
def test_splits_share_neither_voices_nor_accents(name: str, key: str) -> None:
    found = splits(name)
    assert set(found) == {"train", "validation", "test", "accent", "noise_5db"}
    assert [len(found[split]) for split in ("train", "test", "accent", "noise_5db")] == [60, 20, 20, 20]
    voices = {split: {clip["speaker"] for clip in clips} for split, clips in found.items()}
    accents = {split: {clip["accent"] for clip in clips} for split, clips in found.items()}
    assert not voices["test"] & (voices["train"] | voices["validation"])
    assert accents["accent"] == {"en-gb-scotland"} and "en-gb-scotland" not in accents["train"] | accents["test"]
    if key == "text":
        said = {split: {clip["text"] for clip in clips} for split, clips in found.items()}
        assert not said["test"] & said["train"] and not said["accent"] & said["train"]


def test_noise_is_at_its_ratio() -> None:
    found = splits("spoken-digits")
    for clean, noisy in zip(found["test"], found["noise_5db"], strict=True):
        assert clean["label"] == noisy["label"] and len(clean["audio"]) == len(noisy["audio"])
        said, heard = clean["audio"].astype(float), noisy["audio"].astype(float)
        scale = (said @ heard) / (said @ said)  # the mixture may have been made quieter
        noise = heard - scale * said
        assert 10 * np.log10((scale * said) @ (scale * said) / (noise @ noise)) == pytest.approx(5.0, abs=0.6)


def test_words_begin_within_their_clip_and_in_order() -> None:
    for clip in splits("spoken-sentences")["train"]:
        times = [second for _, second in clip["words"]]
        assert " ".join(word for word, _ in clip["words"]) == clip["text"] and times == sorted(times)
        assert times[-1] < len(clip["audio"]) / clip["sample_rate"]


@pytest.mark.parametrize("language", ["en", "de", "ja"])
def test_grammars_are_closed(language: str) -> None:
    import random

    words = set(grammar.vocabulary(language))
    assert 40 <= len(words) <= 60
    chosen = random.Random(0)
    assert {word for _ in range(500) for word in grammar.sentence(language, chosen).split()} <= words


def test_other_languages_are_spoken() -> None:
    found = splits("spoken-sentences", language="ja", count=20, held_out=4)
    assert {clip["accent"] for clip in found["train"]} == {"ja"} and "accent" not in found


@pytest.mark.parametrize(("voice", "message"), [
    (Voice("en-gb"), "cannot speak with the voice 'en-gb'.*en-gb-x-rp"),
    (Voice("en-uss"), "no voice 'en-uss'. Did you mean 'en-us'"),
    (Voice("en-us", "f33"), "no variant 'f33'. Did you mean 'f3'")])
def test_voices_that_do_not_exist_are_refused(voice: Voice, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        shared().speak("one", voice)


def test_speakers_exist() -> None:
    assert set(spoken.SPEAKERS) <= set(shared().variants())


def test_a_folder_of_labels_is_a_data_set(tmp_path: Path) -> None:
    for label in ("yes", "no"):
        (tmp_path / label).mkdir()
        for number in range(3):
            audio.save(tmp_path / label / f"{number}.wav", np.zeros(800, np.float32), 16000)
    (clips,) = registry.make("dataset", "recordings", path=str(tmp_path)).splits().values()
    assert sorted(clip["label"] for clip in clips) == ["no"] * 3 + ["yes"] * 3
    with pytest.raises(UsageError, match="need a manifest or a folder"):
        registry.make("dataset", "recordings")
