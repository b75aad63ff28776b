"""Data made on the machine: the same bytes each time, splits that share nothing, exact noise; and recordings of one's own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toolkit import audio
from toolkit.audio.datasets import emotions, grammar, music, spoken
from toolkit.audio.datasets.espeak import Voice, shared
from toolkit.audio.datasets.synthetic import Draw
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training.resolve import with_data_file

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


@pytest.mark.parametrize("name", ["spoken-digits", "synthetic-sounds", "synthetic-chords", "synthetic-genres",
                                  "synthetic-emotions"])
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(name: str, monkeypatch: Any, tmp_path: Path) -> None:
    few = {"count": 12, "held_out": 4}
    first = {split: fingerprint(clips) for split, clips in splits(name, **few).items()}
    other = {split: fingerprint(clips) for split, clips in splits(name, **few, seed=1).items()}
    assert other.keys() == first.keys() and other["train"] != first["train"]
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path))
    assert {split: fingerprint(clips) for split, clips in splits(name, **few).items()} == first


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


@pytest.mark.parametrize("name", ["spoken-digits", "synthetic-chords", "synthetic-genres", "synthetic-emotions"])
def test_noise_is_at_its_ratio(name: str) -> None:
    found = splits(name, count=12, held_out=8)
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


def test_phonemes_follow_each_other_where_there_is_sound() -> None:
    for clip in splits("spoken-sentences")["train"]:
        spans = clip["phonemes"]
        times = [time for _, first, last in spans for time in (first, last)]
        assert times == sorted(times) and times[0] >= 0 and times[-1] <= len(clip["audio"]) / clip["sample_rate"] + 1e-3
        assert all(last > first and letters for letters, first, last in spans)
        # A word begins where a phoneme does, or in the gap before one.
        assert all(min(abs(first - second) for _, first, _ in spans) < 0.08 for _, second in clip["words"])
    vowels = [(letters, clip["audio"][round(first * 16000):round(last * 16000)])
              for clip in splits("spoken-digits")["train"] for letters, first, last in clip["phonemes"] if "aɪ" in letters]
    assert len(vowels) >= 6  # of five and nine
    loud = [float(np.abs(sound.astype(float)).mean()) for _, sound in vowels]
    whole = np.mean([float(np.abs(clip["audio"].astype(float)).mean()) for clip in splits("spoken-digits")["train"]])
    assert np.mean(loud) > whole


def test_phonemes_of_a_word_are_those_of_the_dictionary() -> None:
    said = shared().speak("seven", Voice("en-us"))
    assert "".join(letters for letters, _, _ in said.phonemes).replace("ˈ", "") == "sɛvən"


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


# -- chords, genres, emotions


@pytest.mark.parametrize(("name", "classes"), [("synthetic-chords", 72), ("synthetic-genres", 6), ("synthetic-emotions", 6)])
def test_every_class_is_made_equally_often(name: str, classes: int) -> None:
    found = splits(name, count=2 * classes, held_out=classes)
    assert set(found) == {"train", "validation", "test", "noise_5db"}
    for split, often in (("train", 2), ("test", 1)):
        labels = [clip["label"] for clip in found[split]]
        assert len(set(labels)) == classes and all(labels.count(label) == often for label in labels)


def test_no_parameter_and_no_instrument_of_test_is_in_another_split() -> None:
    assert not {item.name for item in music.HELD} & {item.name for item in music.KNOWN}
    for held in (False, True):
        d = Draw(np.random.default_rng(0), held)
        drawn = np.array([d.between(10.0, 40.0) for _ in range(300)])
        assert (((drawn >= 20) & (drawn <= 30)) == held).all() and drawn.min() >= 10 and drawn.max() <= 40
        assert {music.instrument_of(d) for _ in range(60)} == set(music.HELD if held else music.KNOWN)


def strongest(sound: np.ndarray, count: int, rate: int = 16000) -> list[int]:
    """The frequencies (Hz) of the highest ``count`` peaks of the spectrum."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    peaks = [place for place in range(1, len(spectrum) - 1) if spectrum[place - 1] < spectrum[place] > spectrum[place + 1]]
    return sorted(round(place * rate / len(sound)) for place in sorted(peaks, key=lambda place: -spectrum[place])[:count])


def test_a_tone_has_its_partials_and_a_chord_its_notes() -> None:
    t = np.arange(16000) / 16000
    rng = np.random.default_rng(0)
    assert strongest(music.tone(t, 220.0, music.Instrument("two", (1.0, 0.0, 0.5), 0.01, 0.0), rng), 2) == [220, 660]
    assert strongest(music.tone(t, 3000.0, music.Instrument("two", (1.0, 0.5, 0.5), 0.01, 0.0), rng), 2) == [3000, 6000]
    # A minor over A: A C E, in any inversion; the bass is an octave below.
    inversions = [[-3, 9, 12, 16], [-3, 12, 16, 21], [-3, 16, 21, 24]]
    assert [music.notes_of(9, "minor", inversion) for inversion in range(3)] == inversions
    for label in music.CHORDS:
        facts = music.chord_facts(label)
        assert f"{facts['root']} {facts['quality']}" == label


def test_chords_are_told_apart_by_what_is_asked() -> None:
    for target, classes in (("label", 72), ("root", 12), ("quality", 6)):
        made = registry.make("dataset", "synthetic-chords", count=72, held_out=4, target=target)
        assert made.target == target and len({clip[target] for clip in made.splits()["train"]}) == classes


def test_a_style_has_its_beat() -> None:
    """Disco has a drum on every beat: its loudness repeats after 60/132 to 60/112 seconds."""
    for number in range(5):
        d = Draw(np.random.default_rng(number), False)
        sound = music.music("disco", np.arange(64000) / 16000, d)
        spectrum = np.fft.rfft(sound)
        spectrum[(120 * 4):] = 0  # what is below 120 Hz
        loud = np.abs(np.fft.irfft(spectrum)).reshape(-1, 160).max(1)  # a hundredth of a second each
        loud -= loud.mean()
        alike = [float(loud[lag:] @ loud[:-lag]) / (len(loud) - lag) for lag in range(30, 90)]
        assert 60 / 132 - 0.02 <= (30 + int(np.argmax(alike))) / 100 <= 60 / 112 + 0.02
    for style in music.STYLES.values():
        assert len(style.low) == len(style.high) == len(style.chord) and len(style.low) % style.beat == 0


@pytest.mark.compiles
def test_moods_differ_in_pitch_pace_and_brightness() -> None:
    t = np.arange(32000) / 16000

    def height(sound: np.ndarray) -> float:
        """Median pitch (Hz)."""
        pitch, voiced = audio.pitch(torch.from_numpy(sound).float(), 16000, hop_length=1024)
        return float(pitch[voiced > 0.5].median())

    def centre(sound: np.ndarray) -> float:
        """The mean frequency of the spectrum (Hz)."""
        spectrum = np.abs(np.fft.rfft(sound)) ** 2
        return float((spectrum * np.fft.rfftfreq(len(sound), 1 / 16000)).sum() / spectrum.sum())

    def falls(measure: Any, *labels: str) -> bool:
        """Whether the mean of a measure falls from each mood to the next."""
        draws = [np.random.default_rng(number) for number in range(4) for _ in labels]
        found = np.array([measure(emotions.phrase(label, t, Draw(d, False))) for label, d in zip(labels * 4, draws, strict=True)])
        return bool((np.diff(found.reshape(4, -1).mean(0)) < 0).all())

    assert falls(height, "afraid", "happy", "neutral", "bored")
    assert falls(centre, "angry", "neutral", "sad")


def test_a_folder_of_labels_is_a_data_set(tmp_path: Path) -> None:
    for label in ("yes", "no"):
        (tmp_path / label).mkdir()
        for number in range(3):
            audio.save(tmp_path / label / f"{number}.wav", np.zeros(800, np.float32), 16000)
    (clips,) = registry.make("dataset", "recordings", path=str(tmp_path)).splits().values()
    assert sorted(clip["label"] for clip in clips) == ["no"] * 3 + ["yes"] * 3
    with pytest.raises(UsageError, match="need a manifest or a folder"):
        registry.make("dataset", "recordings")


@pytest.mark.parametrize("task", ["vocoder", "audio-classification", "speech-recognition"])
def test_one_sound_file_is_refused_and_its_folder_named(tmp_path: Path, task: str) -> None:
    audio.save(tmp_path / "one.wav", np.zeros(800, np.float32), 16000)
    with pytest.raises(UsageError, match=r"\.csv, \.jsonl, or a folder\. The folder that it is in: --data .*/$"):
        with_data_file({"data": str(tmp_path / "one.wav")}, registry.get("task", task))


def test_a_column_split_is_read_as_in_other_files(tmp_path: Path) -> None:
    rows = [("Train", "x"), ("dev", "x"), ("TEST", "x"), ("noise_5db", "x"), ("", "x")]
    (tmp_path / "a.csv").write_text("path,split,audio\n" + "".join(f"a.wav,{split},{other}\n" for split, other in rows))
    found = registry.make("dataset", "recordings", path=str(tmp_path / "a.csv")).splits()
    assert {split: len(clips) for split, clips in found.items()} == {"train": 2, "validation": 1, "test": 1, "noise_5db": 1}
    assert all(isinstance(clip["audio"], audio.manifests.Clip) for clips in found.values() for clip in clips)


def test_a_damaged_file_of_a_folder_is_counted_like_one_of_a_manifest(tmp_path: Path) -> None:
    for label in ("yes", "no"):
        (tmp_path / label).mkdir()
        for number in range(2):
            audio.save(tmp_path / label / f"{number}.wav", np.zeros(800, np.float32), 16000)
    (tmp_path / "no" / "9.wav").write_bytes(b"RIFF")
    problem = registry.make("task", "audio-classification")
    with pytest.raises(UsageError, match=r"1 of 5 clips \(train\) cannot be used: /[^ ]*9.wav: it begins as WAV"):
        problem.check(registry.make("dataset", "recordings", path=str(tmp_path)).splits())


@pytest.mark.parametrize("longest", [1, 2])
def test_texts_that_run_out_end_the_making(longest: int) -> None:
    with pytest.raises(UsageError, match="the split test finds no text that is not in another"):
        spoken.digit_strings(4000, 400, 0, 16000, longest)
