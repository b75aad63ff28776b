"""``toolkit audio ...`` in real processes, good files and bad."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from signals import noise, speech_like, tone

from toolkit.audio import FeatureStore, manifests, plots, store
from toolkit.audio import io as audio_io
from toolkit.cli import exit_code
from toolkit.commands.audio import SUBCOMMANDS, _files, augment
from toolkit.registry import registry


class Inside:
    """The command line in this process, in a folder of its own: as the `toolkit` fixture, but quicker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *words: str) -> Any:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = exit_code(list(words))
        return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())

    def json(self, *words: str) -> Any:
        done = self(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    return Inside(tmp_path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder of sound files, two of which are none."""
    root = tmp_path / "tree"
    for folder, name, seconds, channels in (("yes", "one.wav", 1.0, 1), ("yes", "two.flac", 0.5, 2), ("no", "three.ogg", 0.7, 1)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        samples = noise(round(seconds * 22050) * channels, channels).view(-1, channels).numpy()
        soundfile.write(root / folder / name, samples, 22050)
    (root / "no" / "bad.wav").write_text("this is no sound")
    (root / "no" / "empty.wav").touch()
    return root


@pytest.fixture
def chirp(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "tone.wav", tone(1000.0, 1.0, 16000, 0.4).numpy(), 16000)
    return tmp_path / "tone.wav"


def test_every_subcommand_has_help_without_anything_heavy(toolkit: Any, tmp_path: Path) -> None:
    block = tmp_path / "block"
    block.mkdir()
    (block / "sitecustomize.py").write_text(
        "import sys\nclass Block:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'numpy', 'librosa', 'rich', 'matplotlib', 'soundfile'):\n"
        "            raise ImportError('blocked: ' + name)\nsys.meta_path.insert(0, Block())\n")
    path = f"{block}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    said = toolkit("audio", "--help", PYTHONPATH=path)
    assert said.returncode == 0 and all(name in said.stdout for name in SUBCOMMANDS), said.stderr
    program = ("import contextlib, io\nfrom toolkit.cli import exit_code\nfrom toolkit.commands.audio import SUBCOMMANDS\n"
               "for name in SUBCOMMANDS:\n    said = io.StringIO()\n    with contextlib.redirect_stdout(said):\n"
               "        assert exit_code(['audio', name, '--help']) == 0, name\n    assert '--json' in said.getvalue(), name")
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path}, check=True)


def test_an_unknown_subcommand_is_answered_with_the_nearest(toolkit: Any) -> None:
    done = toolkit("audio", "inf")
    assert done.returncode == 2 and "Did you mean 'info'" in done.stderr


@pytest.mark.parametrize("words", [
    ("audio", "features", "nowhere.wav", "--plot", "a.png"), ("audio", "vocode", "griffin-lim", "none.wav", "out.wav", "--plot"),
    ("audio", "compare", "none.wav", "--frontends", "mel", "mfcc", "--plot", "a.png"), ("compare", "nowhere", "--plot", "a.png"),
    ("evaluate", "run", "--plots", "pictures")])
def test_pictures_that_cannot_be_drawn_are_refused_before_the_work(
        inside: Inside, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    (inside.folder / "run").mkdir()
    (inside.folder / "run" / "run.json").write_text('{"kind": "task", "component": "task.x", "config": {}}')
    monkeypatch.setattr("toolkit.commands._output.installed", lambda module: False)
    done, flag = inside(*words), next(word for word in words if word.startswith("--plot"))
    assert done.returncode == 2
    assert f"toolkit: {flag} needs 'matplotlib', which is not installed. Install it: pip install matplotlib" in done.stderr


def test_a_picture_of_another_kind_is_refused_before_the_work(inside: Inside) -> None:
    done = inside("audio", "features", "nowhere.wav", "--plot", "a.txt")
    assert done.returncode == 2 and "a picture ends in .png, .svg, .pdf" in done.stderr and "no such file" not in done.stderr


def test_info_reports_bad_files_and_goes_on(toolkit: Any, tree: Path) -> None:
    done = toolkit("audio", "info", str(tree), "nowhere.wav", "--json")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    said = json.loads(done.stdout)
    assert {(Path(row["path"]).name, row["channels"], row["frames"], row["subtype"]) for row in said["files"]} == {
        ("one.wav", 1, 22050, "PCM_16"), ("two.flac", 2, 11025, "PCM_16"), ("three.ogg", 1, 15435, "VORBIS")}
    assert len(said["skipped"]) == 3
    for cause in ("bad.wav: it is not audio: it holds text", "empty.wav: it is empty (0 bytes)", "nowhere.wav: there is no such"):
        assert cause in done.stderr


def test_names_that_are_not_utf_8_stop_nothing(toolkit: Any, tree: Path) -> None:
    os.rename(tree / "yes" / "one.wav", tree / "yes" / os.fsdecode(b"lat\xe9in.wav"))
    strict = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:strict"}
    done = toolkit("audio", "info", str(tree), **strict)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "lat\\udce9in.wav" in done.stdout
    made = toolkit("audio", "augment", str(tree), "--transforms", "gain", "--out", "out", **strict)
    assert made.returncode == 1 and "augmented 3 clips, 2 skipped" in made.stderr, made.stderr
    drawn = toolkit("audio", "features", str(tree / "yes"), "--plot", "a.png", **strict)
    assert drawn.returncode == 0, drawn.stderr


def test_links_in_a_folder_are_converted_under_their_own_names(inside: Inside, tree: Path, chirp: Path) -> None:
    folder = inside.folder / "linked"
    (folder / "no").mkdir(parents=True)
    (folder / "no" / "1.wav").symlink_to(chirp)
    (folder / "no" / "2.wav").symlink_to("1.wav")
    (folder / "yes").symlink_to(tree / "yes")
    made = inside.json("audio", "convert", "linked", "--out", "out", "--format", "flac")["files"]
    assert [row["output"] for row in made] == ["out/no/1.flac", "out/no/2.flac", "out/yes/one.flac", "out/yes/two.flac"]
    assert inside("audio", "features", "linked", "--out", "features").returncode == 0
    assert [Path(clip.path) for clip in FeatureStore(inside.folder / "features").clips] == [Path(row["path"]) for row in made]


def test_what_a_format_cannot_hold_is_said_with_what_it_can(inside: Inside) -> None:
    for name, rate, channels in (("fast.wav", 96000, 1), ("many.wav", 16000, 6)):
        soundfile.write(inside.folder / name, np.zeros((800, channels)), rate)
    fast = inside("audio", "convert", "fast.wav", "--out", "a.mp3").stderr.splitlines()[0]
    assert re.fullmatch(r"skipped: a.mp3: 1 channel at 96000 Hz could not be written as MP3: [^/:].+ sample rates.*[^.]\. "
                        r"Resample it: --sample-rate 48000", fast)
    many = inside("audio", "convert", "many.wav", "--out", "b.mp3").stderr.splitlines()[0]
    assert many == ("skipped: b.mp3: 6 channels at 16000 Hz could not be written as MP3: Format not recognised. "
                    "MP3 may hold fewer channels: --mono averages them")


def test_what_is_cut_at_full_scale_is_said_once(inside: Inside) -> None:
    loud = torch.tensor([0.5, 1.0, -1.5, 2.0]).repeat(400, 1)  # 800 of 1600 samples of channels 3 and 4
    soundfile.write(inside.folder / "loud.wav", loud.numpy(), 16000, subtype="FLOAT")
    done = inside("audio", "convert", "loud.wav", "--out", "cut.flac")
    assert done.stderr == ("cut.flac: 800 of 1,600 samples (50 %) are beyond full scale, and are cut. "
                           "A .wav with --subtype FLOAT keeps them\nconverted 1 clip\n")
    assert inside("audio", "convert", "loud.wav", "--out", "kept.wav").stderr == "converted 1 clip\n"
    assert inside("audio", "convert", "loud.wav", "--out", "kept.ogg").stderr == "converted 1 clip\n"
    many = inside("audio", "augment", "loud.wav", "--out", "many.flac", "--copies", "3", "--transforms", "gain(20)")
    assert many.stderr == ("many-3.flac: 400 of 400 samples (100 %) are beyond full scale, and are cut, and so are some of 2 "
                           "other outputs. normalize as the last of --transforms avoids it\naugmented 1 clip\n")


def test_features_keep_what_is_there_and_notice_what_changed(inside: Inside, tree: Path) -> None:
    words = ("audio", "features", str(tree), "--frontend", "mfcc", "--frontend.n-mfcc=13", "--out", "kept")
    first = json.loads(inside(*words, "--workers", "2", "--json").stdout)
    assert (first["clips"], first["reused"], len(first["skipped"])) == (3, 0, 2)
    soundfile.write(tree / "yes" / "one.wav", noise(4000, 9).numpy(), 22050)
    again = inside(*words, "--json")
    assert again.returncode == 1 and json.loads(again.stdout)["reused"] == 2
    kept = FeatureStore(inside.folder / "kept")
    assert [clip.label for clip in kept.clips] == ["no", "yes", "yes"]
    frontend = registry.make("frontend", "mfcc", n_mfcc=13)
    for index, clip in enumerate(kept.clips):
        expected = frontend(clip.load(16000)[0][0])[0].numpy()
        np.testing.assert_array_equal(kept[index], expected)
        assert isinstance(kept[index], np.memmap) and len(kept[index]) == clip.more["frames"]
    other = inside(*words[:-1], "kept", "--frontend.n-mels", "40")
    assert other.returncode == 2 and "n_mels: 80 there, 40 asked" in other.stderr


def test_damaged_arrays_are_computed_again_and_long_files_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "long.wav", noise(5 * 16000).numpy(), 16000)
    clip = manifests.Clip(str(tmp_path / "long.wav"))
    whole = store.extract([clip], "log-mel", {}, tmp_path / "whole")
    monkeypatch.setattr(store, "LONG_SECONDS", 1.0)
    store.extract([clip], "log-mel", {}, tmp_path / "blocks")
    one, other = FeatureStore(tmp_path / "whole")[0], FeatureStore(tmp_path / "blocks")[0]
    np.testing.assert_allclose(one, other, atol=2e-4)
    array = tmp_path / "whole" / whole.clips[0].more["features"]
    array.write_bytes(array.read_bytes()[:-400])
    again = store.extract([clip], "log-mel", {}, tmp_path / "whole")
    assert again.reused == 0 and len(FeatureStore(tmp_path / "whole")[0]) == 501


def test_features_of_a_tone_in_numbers(inside: Inside, chirp: Path) -> None:
    rows = inside.json("audio", "features", str(chirp), "--frontend", "spectrogram")["files"]
    assert rows[0]["frames"] == 101 and rows[0]["bins"] == 201
    assert rows[0]["most"] == pytest.approx((0.4 / 2 * 200) ** 2, rel=1e-3)  # a sine under a Hann window of sum 200


@pytest.mark.parametrize(("words", "message"), [
    (("features", "tone.wav", "--frontend", "mfc"), "Did you mean 'mfcc'"),
    (("features", "tone.wav", "--frontend.n-mel", "3"), "'--frontend.n-mel'. Did you mean '--frontend.n-mels'"),
    (("features", "tone.wav", "--frontend.n-mels", "0"), "--frontend.n-mels: got 0, allowed: a whole number at least 1"),
    (("features", "tone.wav", "--frontend.n-mels", "200"), "The largest --frontend.n-mels that works here is"),
    (("features", "tone.wav", "--plot", "a.txt"), "a picture ends in .png"), (("features", "."), ""),
    (("features", "tone.wav", "--out", "."), "holds other things"),
    (("denoise", "tone.wav", "--out", "tone.wav"), "would replace"),
    (("augment", "tone.wav", "--transforms", "nois", "--out", "x"), "Did you mean 'noise'"),
    (("convert", "tone.wav", "--out", "b.xyz"), "--out b.xyz: no format of sound ends in .xyz; allowed: .wav"),
    (("vocode", "griffin-lim", "one.wav", "b.wav"), "one.wav: griffin-lim: got 0 frames, which is too short to give a sample"),
    (("vocode", "grifin-lim", "tone.wav", "b.wav"), "grifin-lim is neither a run nor a vocoder. Did you mean 'griffin-lim'"),
    (("augment", "tone.wav", "--transforms", "time-mask", "--out", "x"), "time-mask changes features"),
    (("convert", "tone.wav", "--out", "x", "--format", "m4a"), "--format: got 'm4a', allowed: wav"),
    (("convert", "tone.wav", "--out", "x.wav", "--subtype", "PCM"), "does not exist in WAV"),
    (("manifest", "nowhere", "--out", "m.jsonl"), "nowhere is not a folder"),
    (("manifest", ".", "--out", "m.txt"), "ends in .jsonl")])
def test_wrong_usage_is_explained(inside: Inside, chirp: Path, words: tuple[str, ...], message: str) -> None:
    if words == ("features", "."):
        chirp.unlink()
        message = "holds no sound files. Known endings: .wav"
    if words[0] == "vocode":
        soundfile.write(inside.folder / "one.wav", np.zeros(1), 16000)
    done = inside("audio", *words)
    assert done.returncode == 2, done.stderr + done.stdout
    assert message in done.stderr and "Traceback" not in done.stderr


def test_augmented_copies_are_reproducible_and_keep_labels(inside: Inside, tree: Path) -> None:
    for out in ("a", "b"):
        done = inside("audio", "augment", str(tree), "--transforms", "speed(0.9, 1.1) | noise(snr=10..30)", "--copies", "2",
                       "--seed", "7", "--out", out)
        assert done.returncode == 1 and "augmented 3 clips, 2 skipped" in done.stderr
    clips = manifests.read(inside.folder / "a" / "manifest.jsonl", check_files=True)
    assert [clip.label for clip in clips] == ["no", "no", "yes", "yes", "yes", "yes"]
    for name in ("yes/one-1.wav", "yes/one-2.wav", "yes/two-1.flac"):
        assert (inside.folder / "a" / name).read_bytes() == (inside.folder / "b" / name).read_bytes()
    assert (inside.folder / "a" / "yes/one-1.wav").read_bytes() != (inside.folder / "a" / "yes/one-2.wav").read_bytes()


def test_denoising_keeps_rate_channels_and_encoding(inside: Inside, tmp_path: Path) -> None:
    samples = torch.stack([speech_like(2.0, 22050, seed) for seed in (0, 1)]) + noise(2 * 44100, 2, 0.05).view(2, -1)
    soundfile.write(tmp_path / "in.wav", samples.T.numpy(), 22050, "PCM_24")
    inside.json("audio", "denoise", "in.wav", "--out", "out.wav", "--method", "wiener")
    facts, cleaned = audio_io.info(tmp_path / "out.wav"), audio_io.load(tmp_path / "out.wav")[0]
    assert (facts.sample_rate, facts.channels, facts.subtype, facts.frames) == (22050, 2, "PCM_24", 44100)
    expected = registry.make("transform", "wiener", sample_rate=22050)(audio_io.load(tmp_path / "in.wav")[0])[0]
    torch.testing.assert_close(cleaned, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("given", "encoding", "target", "kept"), [
    ("WAVEX", "PCM_24", "out.wav", "PCM_24"), ("WAVEX", "FLOAT", "out.wav", "FLOAT"), ("WAV", "PCM_24", "out.flac", "PCM_24"),
    ("WAVEX", "FLOAT", "out.w64", "FLOAT"), ("WAV", "FLOAT", "out.flac", "PCM_16"),
    ("WAV", "PCM_24", "out.mp3", "MPEG_LAYER_III"), ("OGG", "VORBIS", "out.wav", "PCM_16"),
    ("WAV", "ULAW", "out.aiff", "PCM_16")])
@pytest.mark.parametrize("command", ["convert", "denoise"])
def test_lossless_formats_keep_the_samples_depth(inside: Inside, command: str, given: str, encoding: str, target: str,
                                                 kept: str) -> None:
    soundfile.write(inside.folder / "in.wav", noise(16000).numpy(), 16000, encoding, format=given)
    inside.json("audio", command, "in.wav", "--out", target)
    assert audio_io.info(inside.folder / target).subtype == kept


@pytest.mark.parametrize("words", [("convert",), ("denoise",), ("augment", "--transforms", "gain")])
def test_equal_names_in_the_folders_of_a_manifest_stay_apart(inside: Inside, words: tuple[str, ...]) -> None:
    rows = []
    for label in ("yes", "no"):
        (inside.folder / "rec" / label).mkdir(parents=True)
        soundfile.write(inside.folder / "rec" / label / "1.wav", noise(8000).numpy(), 16000)
        rows.append(f"../rec/{label}/1.wav,{label},")
    (inside.folder / "lists").mkdir()
    (inside.folder / "lists" / "a.csv").write_text("\n".join(["path,label,start", *rows, "../rec/no/1.wav,no,0.1", ""]))
    assert inside("audio", *words, "lists/a.csv", "--out", "out").returncode == 0
    made = sorted(str(path.relative_to(inside.folder / "out")) for path in (inside.folder / "out").rglob("*.wav"))
    assert made == ["no/1-0.100.wav", "no/1.wav", "yes/1.wav"]
    (inside.folder / "lists" / "b.csv").write_text("\n".join(["path,label,start", rows[0], "../rec/no/1.wav,no,0.1", ""]))
    assert inside("audio", *words, "lists/b.csv", "--out", "flat").returncode == 0
    assert {"1.wav", "1-0.100.wav"} <= set(os.listdir(inside.folder / "flat"))


def test_converting_and_refusing_to_overwrite(inside: Inside, tree: Path) -> None:
    words = ("audio", "convert", str(tree), "--out", "flac", "--format", "flac", "--sample-rate", "8000", "--mono")
    assert inside(*words).returncode == 1
    facts = audio_io.info(inside.folder / "flac" / "yes" / "two.flac")
    assert (facts.sample_rate, facts.channels, facts.frames, facts.format) == (8000, 1, 4000, "FLAC")
    again = inside(*words)
    assert again.returncode == 1 and again.stderr.count("exists. Name another --out, or add --overwrite") == 3
    assert "converted 3 clips" in inside(*words, "--overwrite").stderr
    assert "1000000000 is not in the range" in inside(*words[:-2], "1000000000").stderr


def test_a_manifest_of_a_tree_can_be_used(inside: Inside, tree: Path) -> None:
    (tree / "yes" / "one.txt").write_text("one two\n")
    done = inside("audio", "manifest", str(tree), "--out", "clips.csv", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 1 and said["clips"] == 3 and said["labels"] == {"no": 1, "yes": 2} and len(said["skipped"]) == 2
    assert [clip.text for clip in manifests.read(inside.folder / "clips.csv")] == [None, "one two", None]
    assert len(inside.json("audio", "info", "clips.csv")["files"]) == 3


@pytest.mark.parametrize("words", [
    "features clips.csv", "features clips.csv --out arrays", "augment clips.csv --transforms gain --out copies",
    "convert clips.csv --out copies", "denoise clips.csv --out copies"])
def test_a_stretch_past_the_end_of_its_file_is_skipped_and_not_cut_short(inside: Inside, chirp: Path, words: str) -> None:
    (inside.folder / "clips.csv").write_text("path,start,duration\ntone.wav,0.5,9\ntone.wav,,0.5\n")
    done = inside("audio", *words.split())
    assert done.returncode == 1
    assert f"skipped: {chirp}: the stretch from 0.5 s to 9.5 s reaches past its end at 1 s\n" in done.stderr


def test_comparing_front_ends(inside: Inside, chirp: Path) -> None:
    said = inside.json("audio", "compare", str(chirp), "--frontends", "log-mel", "log-mel", "--b.log", "db", "--plot", "c.png")
    assert said["settings"] == {"log": {"a": "natural", "b": "db"}}
    assert said["difference"]["scale"] == pytest.approx(10 / np.log(10), rel=1e-5) and said["difference"]["left"] < 1e-4
    assert (inside.folder / "c.png").read_bytes().startswith(b"\x89PNG")
    assert inside.json("audio", "compare", str(chirp), "--frontends", "mel", "mfcc")["difference"] is None


@pytest.mark.parametrize("name", ["log-mel", "spectrogram", "chroma", "waveform", "cqt", "lfcc"])
def test_pictures_have_seconds_hertz_and_units(name: str) -> None:
    frontend = registry.make("frontend", name)
    clip = tone(1000.0, 2.0, frontend.spec.sample_rate)
    drawn = plots.figure([plots.Panel(name, frontend(clip)[0].numpy(), frontend.spec)])
    axes = drawn.axes[0]
    assert axes.get_xlabel() == "time (s)"
    assert axes.get_xlim()[1] == pytest.approx(2.0, abs=0.1)
    expected = {"chroma": "pitch class", "waveform": "amplitude", "lfcc": "coefficient"}.get(name, "frequency (Hz)")
    assert axes.get_ylabel() == expected
    if name == "waveform":
        return
    unit = {"log-mel": "ln power", "spectrogram": "power (dB)", "chroma": "share of energy", "cqt": "magnitude (dB)",
            "lfcc": "cepstral coefficient"}[name]
    assert drawn.axes[1].get_ylabel() == unit
    if expected == "frequency (Hz)":
        loudest = int(axes.images[0].get_array().mean(axis=1).argmax())
        assert plots.bin_frequencies(frontend.spec)[loudest] == pytest.approx(1000.0, rel=0.06)
        marks = dict(zip((label.get_text() for label in axes.get_yticklabels()), axes.get_yticks()))
        nearest = min(marks, key=lambda mark: abs(float(mark) - 1000))
        place = np.interp(float(nearest), plots.bin_frequencies(frontend.spec), range(frontend.spec.bins))
        assert marks[nearest] == pytest.approx(place)


def test_exporting_a_front_end(inside: Inside, chirp: Path) -> None:
    assert inside.json("audio", "export", "--frontend", "mfcc", "--frontend.n-mfcc", "13", "--out", "mfcc.pt")["shortest"] == 1
    clip = audio_io.load(chirp)[0]
    expected = registry.make("frontend", "mfcc", n_mfcc=13)(clip)[0]
    torch.testing.assert_close(torch.jit.load(inside.folder / "mfcc.pt")(clip), expected, atol=2e-3, rtol=1e-3)
    again = inside("audio", "export", "--out", "mfcc.pt")
    assert again.returncode == 2 and "nothing is overwritten" in again.stderr
    assert "ending in .onnx or .pt" in inside("audio", "export", "--out", "a.txt").stderr


COMMANDS = """
import json, resource, sys
from toolkit.audio import store
from toolkit.cli import exit_code
store.LONG_SECONDS = 30.0
for words in json.loads(sys.argv[1]):
    assert exit_code(words) == 0
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def most_memory(*commands: tuple[str, ...]) -> list[float]:
    """Megabytes that a process had held at most when each of its commands was done, from which what the last needs beyond the
    others is seen; what is longer than half a minute is long to it."""
    done = subprocess.run([sys.executable, "-c", COMMANDS, json.dumps(commands)], capture_output=True, text=True, check=True)
    return [int(line) / 1024 for line in done.stderr.splitlines() if line.isdigit()]


def long_sound(path: Path, seconds: int) -> Path:
    with soundfile.SoundFile(path, "w", 16000, 1) as file:
        for start in range(0, seconds, 20):
            file.write(noise(20 * 16000, start, 0.1).numpy())
    return path


def test_converting_holds_as_much_memory_for_ten_minutes_as_for_one(tmp_path: Path) -> None:
    one, ten = (long_sound(tmp_path / f"{minutes}.wav", 60 * minutes) for minutes in (1, 10))
    words = ("--sample-rate", "22050", "--out")
    short, long = most_memory(("audio", "convert", str(one), *words, str(tmp_path / "short.flac")),
                              ("audio", "convert", str(ten), *words, str(tmp_path / "long.flac")))
    assert long < short + 10  # ten minutes at 22050 Hz are 53 MB of float samples
    whole = audio_io.read(ten, 22050)[0]
    np.testing.assert_allclose(audio_io.read(tmp_path / "long.flac")[0], whole, atol=2 ** -15)


def test_what_cannot_be_converted_leaves_nothing(inside: Inside, tmp_path: Path) -> None:
    samples = noise(20 * 16000).numpy().copy()
    samples[-5] = np.nan  # found in the second block, after the first was written
    soundfile.write(tmp_path / "bad.wav", samples, 16000, "FLOAT")
    done = inside("audio", "convert", "bad.wav", "--out", "good.wav")
    assert done.returncode == 1 and "bad.wav: 1 samples are NaN or infinite, the first at" in done.stderr
    assert os.listdir(tmp_path) == ["bad.wav"]


@pytest.mark.parametrize("words", [(), ("--method", "wiener", "--method.adaptive")])
def test_denoising_holds_as_much_memory_however_long_the_sound(tmp_path: Path, words: tuple[str, ...]) -> None:
    one, two = (long_sound(tmp_path / f"{minutes}.wav", 60 * minutes) for minutes in (1, 2))
    short, long = most_memory(*(("audio", "denoise", str(given), "--out", str(tmp_path / out), *words)
                                for given, out in ((one, "short.wav"), (two, "long.wav"))))
    assert long < short + 20  # in whole, a minute more takes over fifty megabytes
    assert audio_io.info(tmp_path / "long.wav").frames == 120 * 16000


def test_augmenting_holds_as_much_memory_however_long_the_sound(tmp_path: Path) -> None:
    one, two = (long_sound(tmp_path / f"{minutes}.wav", 60 * minutes) for minutes in (1, 2))
    words = ("--transforms", "noise(10..30) | speed(0.9, 1.1) | reverb | normalize", "--out")
    short, long = most_memory(*(("audio", "augment", str(given), *words, str(tmp_path / out))
                                for given, out in ((one, "short.wav"), (two, "long.wav"))))
    assert long < short + 20  # in whole, a minute more takes over fifty megabytes
    clips = audio_io.info(tmp_path / "long.wav").frames / (120 * 16000)
    assert clips == pytest.approx(1 / 0.9, rel=1e-6) or clips == pytest.approx(1 / 1.1, rel=1e-6)


def test_long_files_are_augmented_as_short_ones_are(inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "in.flac", speech_like(15.0, 22050).numpy(), 22050, "PCM_24")
    words = ("audio", "augment", "in.flac", "--transforms", "noise(10..30) | speed(0.9, 1.1)", "--copies", "2",
             "--sample-rate", "16000")
    inside.json(*words, "--out", "whole")
    monkeypatch.setattr(augment, "LONG_SECONDS", 1.0)
    said = inside.json(*words, "--out", "blocks")
    assert said["files"][0]["duration"] == 15.0
    for name in ("in-1.flac", "in-2.flac"):
        one, other = (audio_io.read(tmp_path / folder / name)[0] for folder in ("whole", "blocks"))
        np.testing.assert_allclose(one, other, atol=1e-4)
    rows = [[(clip.path.rpartition("/")[2], clip.duration) for clip in manifests.read(tmp_path / folder / "manifest.jsonl")]
            for folder in ("whole", "blocks")]
    assert rows[0] == rows[1]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[Any, list[float], str]:
    """What a command answers with --json, the seconds it told its bar one after another, and what a terminal shows."""
    done: list[float] = []
    shown, heard = Terminal(), _files.Bar.heard

    def counted(bar: _files.Bar, seconds: float, total: float) -> None:
        done.append(seconds)
        heard(bar, seconds, total)

    monkeypatch.setattr(_files.Bar, "heard", counted)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with contextlib.redirect_stderr(shown), contextlib.redirect_stdout(io.StringIO()) as printed:
        assert exit_code(["audio", *words, "--json"]) == 0
    return json.loads(printed.getvalue()), done, shown.getvalue()


@pytest.mark.parametrize("words", [("denoise",), ("denoise", "--method.adaptive"), ("convert", "--sample-rate", "4000"),
                                   ("augment", "--transforms", "noise(20) | trim", "--copies", "2")])
def test_a_long_recording_shows_how_many_seconds_are_done(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    soundfile.write(tmp_path / "long.wav", noise(130 * 8000).numpy(), 8000)
    said, done, shown = on_a_terminal(monkeypatch, *words, str(tmp_path / "long.wav"), "--out", str(tmp_path / "out.wav"))
    assert said["files"][0]["duration"] == 130.0
    assert re.search(r"(denois|convert|augment)ing.* of 130 s of sound", shown)
    assert sum(done) == pytest.approx(130.0, rel=1e-3) and len(done) > 10, "as the recording is read, and no further"


@pytest.mark.parametrize("kept", [False, True])
def test_the_features_of_a_long_recording_show_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
    soundfile.write(tmp_path / "long.wav", noise(130 * 16000).numpy(), 16000)
    words = ("features", str(tmp_path / "long.wav"), *(("--out", str(tmp_path / "out")) if kept else ()))
    said, done, shown = on_a_terminal(monkeypatch, *words)
    assert (said if kept else said["files"][0])["frames"] == 13001
    assert re.search(r"computing.* of 130 s of sound", shown)
    assert sum(done) == pytest.approx(130.0, rel=1e-3) and len(done) > 10


COMPILED = """
import json, sys
from pathlib import Path
from toolkit.audio import manifests, store

def written():
    return {str(path): path.stat().st_mtime_ns for path in Path(sys.argv[2]).rglob("*") if path.is_file()}

if __name__ == "__main__":
    before = {}

    class Pool(store.ProcessPoolExecutor):
        def __init__(self, *facts):
            before.update(written())
            super().__init__(*facts)

    store.ProcessPoolExecutor = Pool
    clips = [manifests.Clip(name) for name in sys.argv[3:]]
    found = store.extract(clips, "pyin", {}, sys.argv[1], workers=2)
    print(json.dumps([len(found.clips), len(before), before == written()]))
"""


@pytest.mark.slow
def test_functions_are_compiled_before_workers_begin(tmp_path: Path) -> None:
    """Two that compile the same functions at once can leave a cache that crashes them."""
    pytest.importorskip("librosa")
    names = [str(tmp_path / f"{index}.wav") for index in range(4)]
    for index, name in enumerate(names):
        soundfile.write(name, tone(220.0 + 20 * index, 1.0, 16000).numpy(), 16000)
    (tmp_path / "compile.py").write_text(COMPILED)
    cache = tmp_path / "numba"
    done = subprocess.run([sys.executable, tmp_path / "compile.py", tmp_path / "kept", cache, *names], check=False,
                          capture_output=True, text=True, env={**os.environ, "NUMBA_CACHE_DIR": str(cache)})
    assert done.returncode == 0, done.stderr
    clips, files, same = json.loads(done.stdout)
    assert clips == 4 and files > 2, "the front end compiles nothing any more: the test is of no use"
    assert same, "a worker has compiled something"


def test_a_command_that_is_ended_leaves_nothing_half_written(tmp_path: Path) -> None:
    long = long_sound(tmp_path / "long.wav", 9 * 60)
    process = subprocess.Popen([sys.executable, "-m", "toolkit", "audio", "denoise", str(long), "--method", "wiener",
                                "--out", str(tmp_path / "clean.wav")])
    while len(os.listdir(tmp_path)) < 2 and process.poll() is None:  # what it writes is there, under another name
        time.sleep(0.02)
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert os.listdir(tmp_path) == ["long.wav"]


def test_a_clip_without_a_frame_has_no_features(inside: Inside, tmp_path: Path) -> None:
    soundfile.write(inside.folder / "short.wav", noise(100).numpy(), 16000)
    for words in ((), ("--out", "kept"), ("--out", "kept")):  # there is nothing to be found again
        done = inside("audio", "features", "short.wav", "--frontend", "kaldi-fbank", *words)
        assert done.returncode == 1 and "short.wav: 100 samples at 16000 Hz are too short for one frame of 400" in done.stderr


def test_a_manifest_that_is_there_is_not_replaced_unasked(inside: Inside, chirp: Path) -> None:
    (inside.folder / "data").mkdir()
    own = inside.folder / "data" / "manifest.jsonl"
    own.write_text('{"path": "../tone.wav", "label": "mine"}\n')
    words = ("audio", "augment", "tone.wav", "--transforms", "gain", "--out", "data")
    refused = inside(*words)
    assert refused.returncode == 2 and os.listdir(inside.folder / "data") == ["manifest.jsonl"]
    assert "data/manifest.jsonl exists, and the manifest of the copies would replace it. Name another" in refused.stderr
    assert "mine" in own.read_text()
    assert inside(*words, "--overwrite").returncode == 0 and "mine" not in own.read_text()


def test_mixing_files_one_by_one_is_refused(inside: Inside, chirp: Path) -> None:
    done = inside("audio", "augment", "tone.wav", "--transforms", "gain | mix", "--out", "data")
    assert done.returncode == 2 and not (inside.folder / "data").exists()
    assert ("--transforms: mix does nothing here, where files are changed one by one: a clip is mixed with others of its batch"
            in done.stderr)


@pytest.mark.parametrize(("words", "why"), [
    (("noise",), "noise draws at random"), (("trim",), "trim may change how long sound is"),
    (("speed",), "speed draws at random"),
    (("vad",), "vad may change how long"), (("time-mask",), "time-mask draws at random")])
def test_what_does_not_take_noise_out_is_no_method(inside: Inside, chirp: Path, words: tuple[str, ...], why: str) -> None:
    done = inside("audio", "denoise", "tone.wav", "--out", "out.wav", "--method", *words)
    assert done.returncode == 2 and f"--method: {why}" in done.stderr and "Allowed: spectral-gate, wiener" in done.stderr
    assert os.listdir(inside.folder) == ["tone.wav"]
    muted = inside("audio", "denoise", "tone.wav", "--out", "out.wav", "--method", "vad", "--method.action", "mute")
    assert muted.returncode == 0


@pytest.mark.parametrize("words", [("features", "tone.wav"), ("compare", "tone.wav", "--frontends", "mel", "mfcc")])
def test_a_picture_that_exists_is_not_replaced_unasked(inside: Inside, chirp: Path, words: tuple[str, ...]) -> None:
    (inside.folder / "a.png").write_text("mine")
    refused = inside("audio", *words, "--plot", "a.png")
    assert refused.returncode == 2 and "a.png exists. Choose another name, or add --overwrite" in refused.stderr
    assert (inside.folder / "a.png").read_text() == "mine"
    assert inside("audio", *words, "--plot", "a.png", "--overwrite").returncode == 0
    assert (inside.folder / "a.png").read_bytes().startswith(b"\x89PNG")
    alone = inside("audio", *words, "--overwrite")
    assert alone.returncode == 2 and "--overwrite is for --plot FILE" in alone.stderr


def test_features_of_other_clips_do_not_drop_those_that_are_listed(inside: Inside, chirp: Path) -> None:
    for name in ("a.wav", "b.wav"):
        soundfile.write(inside.folder / name, noise(4000, ord(name[0])).numpy(), 16000)
    assert inside("audio", "features", "a.wav", "--out", "kept").returncode == 0
    refused = inside("audio", "features", "b.wav", "--out", "kept")
    assert refused.returncode == 2
    assert f"kept lists 1 clips that are not among these, such as {inside.folder}/a.wav" in refused.stderr
    both = inside.json("audio", "features", "b.wav", "a.wav", "--out", "kept")
    assert (both["clips"], both["reused"]) == (2, 1)
    assert inside.json("audio", "features", "a.wav", "--out", "kept", "--overwrite")["clips"] == 1
    (inside.folder / "a.wav").unlink()
    assert inside.json("audio", "features", "b.wav", "--out", "kept")["clips"] == 1


def test_copies_never_keep_times_that_no_longer_hold(inside: Inside) -> None:
    soundfile.write(inside.folder / "a.wav", noise(8000).numpy(), 16000)
    (inside.folder / "clips.jsonl").write_text('{"path": "a.wav", "segments": [[0.1, 0.2]]}\n')
    refused = inside("audio", "augment", "clips.jsonl", "--transforms", "gain | shift(0.1)", "--out", "moved")
    assert refused.returncode == 2 and "after shift sound is elsewhere in time, and the column 'segments'" in refused.stderr
    assert inside("audio", "augment", "clips.jsonl", "--transforms", "gain", "--out", "louder").returncode == 0
    assert manifests.read(inside.folder / "louder" / "manifest.jsonl")[0].more == {"segments": [[0.1, 0.2]]}
