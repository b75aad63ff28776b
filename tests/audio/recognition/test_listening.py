"""Times of letters, language models by hand, windows over long sound, and the commands that listen."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Toolkit, server
from hypothesis import example, given, settings
from hypothesis import strategies as st

from toolkit.audio import io
from toolkit.audio.decoding import align, greedy, prefix_beam
from toolkit.audio.language_model import Fusion, read_arpa
from toolkit.audio.listening import Ear, at_rate, can_follow, cut, follow, outputs_of, over
from toolkit.audio.models.base import HeardSpec
from toolkit.errors import UsageError
from toolkit.registry import registry

ARPA = """\\data\\
ngram 1=5
ngram 2=2

\\1-grams:
-1.0\t<s>\t-0.5
-1.0\t</s>
-0.5\tred\t-0.25
-2.0\tread\t-0.25
-3.0\t<unk>

\\2-grams:
-0.1\t<s> red
-0.2\tred </s>

\\end\\
"""
LETTERS = " _abcder"  # place 0 is the blank


def text_of(ids: list[int]) -> str:
    return "".join(" " if LETTERS[place] == "_" else LETTERS[place] for place in ids)


def sharp(path: list[int], classes: int = 4, top: float = 0.9) -> np.ndarray:
    rows = np.full((len(path), classes), (1 - top) / (classes - 1))
    rows[range(len(path)), path] = top
    return np.log(rows)


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    path = tmp_path / "words.arpa"
    path.write_text(ARPA)
    return path


def test_an_alignment_is_where_the_letters_are() -> None:
    assert align(sharp([0, 1, 1, 0, 1, 2, 0]), [1, 1, 2]) == [(1, 3), (4, 5), (5, 6)]
    assert align(sharp([0, 0]), []) == []
    with pytest.raises(ValueError, match="2 ids do not fit in 2 positions"):
        align(sharp([1, 1]), [1, 1])  # a blank is needed between


@given(st.integers(1, 5), st.integers(0, 500))
def test_an_alignment_is_the_likeliest_of_all_paths_that_spell_the_ids(length: int, seed: int) -> None:
    logs = np.log(np.random.default_rng(seed).dirichlet(np.ones(3), length))
    ids = greedy(logs)
    paths = [path for path in itertools.product(range(3), repeat=length)
             if [letter for letter, _ in itertools.groupby(path) if letter] == ids]
    best = max(sum(logs[place, letter] for place, letter in enumerate(path)) for path in paths)
    spans = align(logs, ids)
    path = [0] * length
    for letter, (first, last) in zip(ids, spans, strict=True):
        path[first:last] = [letter] * (last - first)
    assert sum(logs[place, letter] for place, letter in enumerate(path)) == pytest.approx(best)


def test_back_off_by_hand(arpa: Path) -> None:
    """Known pairs as they stand; else the backoff of what came before and the word alone, in powers of ten."""
    model = read_arpa(arpa)
    ten = math.log(10)
    assert model.score(["<s>"], "red") == pytest.approx(-0.1 * ten)
    assert model.score(["<s>"], "read") == pytest.approx((-0.5 - 2.0) * ten)
    assert model.score(["red"], "zebra") == pytest.approx((-0.25 - 3.0) * ten)
    assert model.sentence(["red"]) == pytest.approx((-0.1 - 0.2) * ten)


@pytest.mark.parametrize(("lower", "text"), [(True, "grün, ja!"), (False, "Grün, JA!")])
def test_texts_are_made_small_unless_told_otherwise(lower: bool, text: str) -> None:
    assert registry.make("task", "speech-recognition", lower=lower).text({"text": "  Grün,\tJA! "}) == text


def test_capitals_become_small_where_texts_are(arpa: Path) -> None:
    """A model in capitals hears as its twin in small letters; of two words that become one the likelier counts."""
    small = read_arpa(arpa)
    arpa.write_text(ARPA.replace("red", "RED").replace("zebra", "Zebra"))
    assert read_arpa(arpa).score(["<s>"], "red") != pytest.approx(small.score(["<s>"], "red"))
    assert read_arpa(arpa, lower=True).probabilities == small.probabilities
    assert read_arpa(arpa, lower=True).backoffs == small.backoffs
    arpa.write_text(ARPA.replace("-1.0\t<s>", "-inf\t<s>"))
    assert read_arpa(arpa, lower=True).score(["<s>"], "read") == pytest.approx(small.score(["<s>"], "read"))
    arpa.write_text(ARPA.replace("read", "RED"))
    assert read_arpa(arpa, lower=True).score(["zebra"], "red") == pytest.approx(small.score(["zebra"], "red"))


@pytest.mark.parametrize(("old", "new", "said"), [
    ("\\end\\", "", "does not end in"), ("ngram 2=2", "ngram 2=3", "its header promises"),
    ("-0.1\t<s> red", "-0.1\t<s>", "line 13: got"), ("-0.5\tred", "much\tred", "allowed: a number, 1 words"),
    ("ngram 1=5", "ngram 1=x", "allowed: a whole number")])
def test_a_broken_model_is_named(arpa: Path, old: str, new: str, said: str) -> None:
    arpa.write_text(ARPA.replace(old, new))
    with pytest.raises(UsageError, match=said):
        read_arpa(arpa)
    with pytest.raises(UsageError, match="cannot be read"):
        read_arpa(arpa.parent / "none.arpa")


def test_a_language_model_turns_a_close_choice(arpa: Path) -> None:
    """Heard: r e (a or nothing) d, the a a little likelier; the model knows "red" to begin a sentence."""
    r, e, a, d = (LETTERS.index(letter) for letter in "read")
    rows = np.full((4, len(LETTERS)), 1e-4)
    rows[0, r] = rows[1, e] = rows[3, d] = 0.99
    rows[2, a], rows[2, 0] = 0.55, 0.44
    logs = np.log(rows / rows.sum(1, keepdims=True))
    assert text_of(prefix_beam(logs, 8)) == "read"
    fusion = Fusion(read_arpa(arpa), text_of, 0.5, 0.0)
    assert text_of(prefix_beam(logs, 8, fusion.score)) == "red"
    assert prefix_beam(logs, 1, fusion.score) == greedy(logs)


def test_only_complete_words_are_scored_until_the_end(arpa: Path) -> None:
    fusion = Fusion(read_arpa(arpa), text_of, 1.0, 2.0)
    red = tuple(LETTERS.index(letter) for letter in "red")
    ten = math.log(10)
    assert fusion.score(red, False) == 0.0
    assert fusion.score((*red, LETTERS.index("_")), False) == pytest.approx(2.0 - 0.1 * ten)
    assert fusion.score(red, True) == pytest.approx(2.0 - 0.3 * ten)


def test_a_window_is_cut_in_a_pause_best_between_words() -> None:
    path = [1] * 60 + [0] * 4 + [1] + [0] * 3 + [2] + [0] * 2 + [1] * 29
    assert cut(sharp(path), 10) == 62  # the longest run of blanks
    assert cut(sharp(path), 10, spaces=(2,)) == 68  # where the space is
    assert cut(sharp([1] * 50), 10) == 40  # none: the last position with its context


@given(st.lists(st.integers(0, 7), max_size=8), st.integers(1, 9))
def test_what_is_heard_does_not_depend_on_the_pieces(sizes: list[int], size: int) -> None:
    sound = np.arange(sum(sizes), dtype=np.float32)
    ear = Ear(np.split(sound, np.cumsum(sizes)[:-1]) if sizes else [])
    heard = []
    while len(piece := ear.hear(size)):
        assert ear.begin == sum(map(len, heard))
        heard.append(piece.copy())
        ear.forget(len(piece))
    assert np.array_equal(np.concatenate(heard) if heard else sound[:0], sound)
    assert all(len(piece) == size for piece in heard[:-1])


def test_another_rate_and_more_channels_become_mono_at_the_models_rate() -> None:
    tone = np.sin(np.arange(8000) * 2 * np.pi * 440 / 8000).astype(np.float32)
    both = np.stack([tone, tone])
    found = np.concatenate(list(at_rate((both[:, begin:begin + 999] for begin in range(0, 8000, 999)), 8000, 16000)))
    assert len(found) == 16000
    assert np.allclose(found[200:-200], np.sin(np.arange(16000) * 2 * np.pi * 440 / 16000)[200:-200], atol=2e-3)


# -- models that hear sound as it comes


@pytest.fixture(scope="module")
def streaming() -> tuple[Any, Any]:
    """A problem of letters and a model of random weights, whose outputs move from letter to letter."""
    torch.manual_seed(0)
    model = {"name": "streaming-conformer", "width": 16, "heads": 2, "hidden": 16, "layers": 1, "chunk": 4, "left": 1}
    problem: Any = registry.make("task", "speech-recognition", model=model)
    rng = np.random.default_rng(0)
    problem.fit([{"audio": rng.uniform(-1, 1, 16000).astype(np.float32), "text": "a bad cab"}])
    built = problem.build().eval()
    torch.nn.init.normal_(built.output.weight)
    torch.nn.init.zeros_(built.output.bias)
    return problem, built


@settings(max_examples=12)
@given(sizes=st.lists(st.integers(0, 9000), max_size=12))
@example(sizes=[7039])  # whose words are over in the last position, which reaches past the end
def test_following_hears_the_words_of_the_whole_clip(streaming: Any, sizes: list[int]) -> None:
    problem, model = streaming
    steps = np.random.default_rng(3).uniform(-1, 1, 1 + sum(sizes)).astype(np.float32)
    pieces = np.split(steps, np.cumsum(sizes))
    stretches = list(follow(problem, model, pieces))
    wanted = problem.tokenizer.decode(greedy(outputs_of(problem, model, steps))).split()
    assert [word.text for stretch in stretches for word in stretch.words] == wanted
    times = [time for stretch in stretches for time in (stretch.start, stretch.end)]
    assert times == sorted(times) and stretches[-1].end == pytest.approx(len(steps) / 16000, abs=1e-3)


def test_words_come_while_the_sound_goes_on(streaming: Any) -> None:
    problem, model = streaming
    rng = np.random.default_rng(4)
    endless = (rng.uniform(-1, 1, 1600).astype(np.float32) * (number % 2) for number in itertools.count())
    first = list(itertools.islice(follow(problem, model, endless), 5))
    assert len(first) == 5 and all(stretch.words for stretch in first)
    assert list(follow(problem, model, [])) == []


def test_what_cannot_be_followed_is_heard_in_windows(streaming: Any) -> None:
    problem, model = streaming
    assert can_follow(problem, model)
    assert not can_follow(problem, registry.make("model", "tdnn", inputs=40, outputs=5, spec=HeardSpec("frames")))
    whole = registry.make("task", "speech-recognition", frontend={"name": "nemo-mel"})
    assert not can_follow(whole, model)


def test_a_word_is_over_at_a_space_or_after_a_pause() -> None:
    """2 is the space. A run of three blanks and spaces is a pause."""
    for path, stop in (([1, 3, 0, 3], 0), ([1, 2, 3], 2), ([1, 2, 0, 3, 2, 1], 5), ([1, 0, 0, 3], 0), ([1, 0, 0, 0], 4),
                       ([1, 0, 0, 0, 0, 3, 0], 5), ([], 0)):
        assert over(np.array(path, int), [2], 3) == stop
    assert over(np.array([1, 2, 3]), [], 3) == 0  # for a beam a space is a letter


def heard(toolkit: Toolkit, *words: str) -> subprocess.CompletedProcess[str]:
    """``audio transcribe`` of what is in the file raw, on stdin."""
    return server().run(300, ("audio", "transcribe", *words), ["watched:hear", "raw"], module="toolkit",
                        folder=str(toolkit.folder), environment=toolkit.environment, sites=[str(Path(__file__).parent.parent)])


def test_listening_from_the_command_line_and_from_python(toolkit: Toolkit) -> None:
    pytest.importorskip("espeakng_loader")
    folder = toolkit.folder
    small = ("--data.count", "40", "--data.held-out", "8", "--model.channels", "4,6", "--model.time-strides", "2,1",
             "--model.hidden-size", "12", "--model.layers", "1", "--epochs", "1")
    toolkit.json("run", "speech-recognition", "--data", "spoken-digit-strings", *small, "--out", "said")
    rng = np.random.default_rng(0)
    long = (0.1 * rng.standard_normal((2, 12 * 22050))).astype(np.float32)
    io.save(folder / "long.wav", long, 22050)
    io.save(folder / "short.flac", long[0, :16000], 16000)
    (folder / "none.wav").write_bytes(b"")
    found = toolkit("audio", "transcribe", "said", "long.wav", "short.flac", "none.wav", "--window", "4", "--json")
    assert found.returncode == 1 and "skipped: none.wav" in found.stderr
    long_row, short_row = json.loads(found.stdout)["files"]
    assert long_row["duration"] == pytest.approx(12, abs=0.1) and short_row["duration"] == pytest.approx(1, abs=0.05)
    times = [time for word in long_row["words"] for time in (word["start"], word["end"])]
    assert times == sorted(times) and long_row["text"] == " ".join(word["text"] for word in long_row["words"])
    # One window over one clip is what predict answers.
    import toolkit as package

    run = package.load(str(folder / "said"))
    samples = io.load(folder / "short.flac")[0][0]
    said = " ".join(stretch.text for stretch in run.transcribe(samples, 16000))
    assert said.split() == run.predict([samples])[0]["text"].split() == short_row["text"].split()
    (folder / "raw").write_bytes((np.asarray(samples) * 32767).astype("<i2").tobytes())
    piped = heard(toolkit, "said", "-", "--json")
    assert piped.returncode == 0, piped.stderr
    assert json.loads(piped.stdout)["files"][0]["duration"] == pytest.approx(1, abs=0.05)
    for model in ("said", "followed"):
        if model == "followed":
            toolkit.json("run", "speech-recognition", "--data", "spoken-digit-strings", *small[:4], "--model",
                         "streaming-conformer", "--model.width", "16", "--model.layers", "1", "--epochs", "1", "--out", model)
        streamed = heard(toolkit, model, "-", "--stream")
        assert streamed.returncode == 0, streamed.stderr
    # A beam and a language model of after the training: its evaluation takes them as transcribe does.
    (folder / "texts.txt").write_text("one two\ntwo\n")
    toolkit.json("audio", "language-model", "texts.txt", "--out", "texts.arpa")
    words = ("--beam", "4", "--language-model", "texts.arpa", "--word-bonus", "9")
    toolkit.json("evaluate", "said", *words)
    kept = json.loads(max((folder / "said" / "evaluations").iterdir(), key=lambda path: path.stat().st_mtime_ns).read_text())
    assert kept["settings"] == {"beam": 4, "language_model": "texts.arpa", "word_bonus": 9.0}
    wider = package.load(str(folder / "said"), beam=4, language_model=str(folder / "texts.arpa"), word_bonus=9.0)
    assert kept["wer"] == wider.evaluate().summary["wer"]
    heard_so = toolkit.json("audio", "transcribe", "said", "short.flac", *words)["files"][0]["text"]
    asked = toolkit.json("predict", "said", "short.flac", *words)["answers"][0]["text"]
    assert heard_so.split() == asked.split() == wider.predict([samples])[0]["text"].split()
    assert " --beam N " in toolkit("evaluate", "said", "--help").stdout
    for flag, said in (("--beam=0", "--beam: got 0, allowed: a whole number at least 1"), ("--word-bonus=1", "has none. Name"),
                       ("--epochs=2", "--epochs: a trained run of speech-recognition keeps it as it is; it can be given --me"),
                       ("--beams=2", "no such option '--beams'"), ("--env.deaf=1", "--env.deaf does not go with said")):
        wrong = toolkit("evaluate", "said", flag)
        assert wrong.returncode == 2 and said in wrong.stderr
    for words, said in ((("classify", "said", "short.flac"), "does not tell sounds apart"),
                        (("transcribe", "said", "short.flac", "--window", "1"), "allowed: at least 3"),
                        (("transcribe", "said", "short.flac", "--word-bonus", "2"), "the run has none. Name one"),
                        (("transcribe", "said", "short.flac", "--language-model", "x.arpa"), "--beam 2 or more")):
        wrong = toolkit("audio", *words)
        assert wrong.returncode == 2 and said in wrong.stderr and "Traceback" not in wrong.stderr


def test_sounds_are_told_apart_whole_and_stretch_by_stretch(toolkit: Toolkit) -> None:
    toolkit.json("run", "audio-classification", "--data", "synthetic-sounds", "--data.count", "40", "--data.held-out", "10",
                 "--model.channels", "4,6", "--model.time-strides", "2,2", "--model.hidden-size", "8", "--epochs", "1",
                 "--out", "told")
    io.save(toolkit.folder / "a.wav", 0.1 * np.ones((1, 24000), np.float32), 8000)
    whole = toolkit.json("audio", "classify", "told", "a.wav")["files"][0]
    assert 0 < whole["probability"] <= 1 and whole["end"] == 3.0
    stretches = toolkit.json("audio", "classify", "told", "a.wav", "--every", "1.25")["files"][0]["stretches"]
    assert [(item["start"], item["end"]) for item in stretches] == [(0.0, 1.25), (1.25, 2.5), (2.5, 3.0)]
    shown = toolkit("audio", "classify", "told", "a.wav")
    assert whole["label"] in shown.stdout and shown.returncode == 0
    wrong = toolkit("audio", "transcribe", "told", "a.wav")
    assert wrong.returncode == 2 and "does not write down what is said" in wrong.stderr


def test_texts_that_do_not_fit_are_counted_before_training(toolkit: Toolkit) -> None:
    """Row 3 has more letters than its half second has positions; row 4 says nothing; one test text has a letter of its own."""
    folder = toolkit.folder
    for name in ("a", "b", "c", "d", "e", "f"):
        io.save(folder / f"{name}.wav", 0.1 * np.ones((1, 8000), np.float32), 16000)
    rows = [("a", "ab", "train"), ("b", "ab" * 40, "train"), ("c", "  ", "train"), ("d", "ba", "train"), ("e", "abq", "test"),
            ("f", "ab", "test")]
    (folder / "said.csv").write_text("path,text,split\n" + "".join(f"{name}.wav,{text},{split}\n" for name, text, split in rows))
    small = ("run", "speech-recognition", "--data", "said.csv", "--model.channels", "4,6", "--model.time-strides", "2,1",
             "--model.hidden-size", "8", "--model.layers", "1", "--epochs", "1")
    refused = toolkit(*small)
    assert refused.returncode == 2 and f"2 of 4 clips (train) cannot be used: row 3 ({folder}/b.wav): its text" in refused.stderr
    assert f"needs 80 positions and its sound gives 26; row 4 ({folder}/c.wav): its text is empty. 1 of 2 clips" in refused.stderr
    assert f"(test) cannot be used: row 6 ({folder}/e.wav): its text 'abq' holds letters that no training text" in refused.stderr
    (folder / "said.csv").write_text((folder / "said.csv").read_text().replace("c.wav,  ,", "none.wav,q,"))
    refused = toolkit(*small)
    assert f"row 4 ({folder}/none.wav): there is no such file. Mend them" in refused.stderr  # its letter is known then
    (folder / "said.csv").write_text((folder / "said.csv").read_text().replace("none.wav,q,", "c.wav,bb,"))
    assert not list(folder.glob("runs/*")), "nothing may be left behind"
    done = toolkit(*small, "--skip-bad", "true", "--out", "said", "--json")
    assert done.returncode == 0, done.stderr
    (folder / "said.csv").write_text((folder / "said.csv").read_text().replace("ab" * 40, "ab"))
    refused = toolkit(*small)
    assert refused.stderr.startswith("toolkit: 1 of 2 clips (test) cannot be used: row 6 (")
