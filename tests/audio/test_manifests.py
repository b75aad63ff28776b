"""Manifests: round trips, folders, and the row that is wrong; batches by seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signals import noise

from toolkit import audio
from toolkit.audio import manifests
from toolkit.audio.batching import batches_by_seconds, buckets
from toolkit.audio.manifests import Clip, ManifestError
from toolkit.errors import UsageError


def tree(folder: Path) -> Path:
    for label in ("no", "yes"):
        (folder / label).mkdir(parents=True)
        for index in range(2):
            audio.save(folder / label / f"{index}.wav", noise(1600 * (index + 1)), 16000)
    (folder / "yes" / "0.txt").write_text("yes please\n")
    (folder / "yes" / "bad.wav").write_bytes(b"")
    (folder / "yes" / "notes.md").write_text("no sound")
    return folder


def test_links_are_files_and_folders_under_their_own_names(tmp_path: Path) -> None:
    away, folder = tree(tmp_path / "away"), tmp_path / "data"
    (folder / "no").mkdir(parents=True)
    for link, target in (("no/a.wav", away / "no" / "0.wav"), ("no/b.wav", "a.wav"), ("ja", away / "yes"),
                         ("no/again", ".."), ("no/gone.wav", "nowhere.wav"), ("nein", "nowhere"), ("no/.lock", "nowhere"),
                         ("no/self", "self"), ("about.md", "gone"), ("no/b.txt", "b.txt.gone")):
        (folder / link).symlink_to(target)
    (tmp_path / "whole").symlink_to(folder)
    clips, problems = manifests.scan(tmp_path / "whole")
    assert [(clip.path, clip.label, clip.text) for clip in clips] == [
        (str(folder / "ja" / "0.wav"), "ja", "yes please"), (str(folder / "ja" / "1.wav"), "ja", None),
        (str(folder / "no" / "a.wav"), "no", None)]
    assert [problem.removeprefix(f"{tmp_path}/whole/") for problem in problems] == [
        "ja/bad.wav: it is empty (0 bytes)", "nein: it is a link to nowhere, which is not there",
        f"no/b.wav: its text {tmp_path}/whole/no/b.txt is a link to b.txt.gone, which is not there",
        "no/gone.wav: it is a link to nowhere.wav, which is not there", "no/self: Too many levels of symbolic links"]


def test_what_is_in_hidden_folders_is_hidden(tmp_path: Path) -> None:
    folder = tree(tmp_path / ".data")
    for name in (".Trash-1000/files/a.wav", "yes/.ipynb_checkpoints/b.wav", "yes/.c.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        audio.save(folder / name, noise(1600), 16000)
    clips, problems = manifests.scan(folder)
    assert [clip.label for clip in clips] == ["no", "no", "yes", "yes"] and len(problems) == 1


@pytest.mark.parametrize("form", [".jsonl", ".csv"])
def test_a_folder_becomes_a_manifest_and_comes_back(tmp_path: Path, form: str) -> None:
    clips, problems = manifests.scan(tree(tmp_path / "data"))
    assert [(clip.label, clip.duration) for clip in clips] == [("no", 0.1), ("no", 0.2), ("yes", 0.1), ("yes", 0.2)]
    assert clips[2].text == "yes please"
    assert len(problems) == 1 and "bad.wav: it is empty" in problems[0]
    target = tmp_path / f"all{form}"
    manifests.write(target, clips)
    assert manifests.read(target, check_files=True) == clips
    assert str(tmp_path) not in target.read_text()  # paths are relative, so that the folder can move
    with pytest.raises(UsageError, match="exists"):
        manifests.write(target, clips)


def test_columns_of_ones_own_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"path": "x.wav", "snr": 5, "speaker": 7, "duration": 2}\n\n')
    clip, = manifests.read(tmp_path / "a.jsonl")
    assert (clip.more, clip.speaker, clip.duration, clip.path) == ({"snr": 5}, "7", 2.0, str(tmp_path / "x.wav"))


def test_a_clip_loads_its_stretch(tmp_path: Path) -> None:
    audio.save(tmp_path / "a.wav", noise(16000), 16000)
    waveform, rate = Clip(str(tmp_path / "a.wav"), 0.5, 0.25).load(8000)
    assert waveform.shape == (1, 2000) and rate == 8000


def test_columns_of_other_capitals_may_be_targets_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"path": "a.wav", "Label": "x", "Text": "y"}\n')
    assert manifests.read(path)[0].more == {"Label": "x", "Text": "y"}


@pytest.mark.parametrize(("text", "message"), [
    ('{"path": "a.wav"}\n{"path": ""}\n', "row 2: path: got ''"),
    ('{"pth": "a.wav"}\n', "no column 'path', which names.*has pth. Did you mean 'pth'.*toolkit audio manifest FOLDER"),
    ('{"path": "a.wav"}\n{"path": "a.wav", "Duration": 1}\n', "column 'Duration' is not read as 'duration', which says how"),
    ('{"path": "a.wav", "start": -1}\n', "row 1: start: got -1"),
    ('{"path": "a.wav", "duration": "long"}\n', "duration: got 'long'"),
    ('{"path": "a.wav", "duration": 0}\n', "duration: got 0"), ('{"path": "a.wav", "start": NaN}\n', "start: got nan"),
    ('{"path": "a.wav", "text": ["x"]}\n', "text: got"), ("[1]\n", "row 1: a row is an object"), ("{\n", "row 1: it is not JSON"),
    ("\n", "it holds no rows")])
def test_a_wrong_row_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(ManifestError, match=message):
        manifests.read(tmp_path / "a.jsonl")


@pytest.mark.parametrize(("text", "message"), [
    ("file,label\na.wav,x\n", "it has no column 'path', which names the sound file of each row; it has file, label"),
    ("path,label\na.wav\n", "row 2: it has 1 cells and the header 2"), ("path,path\na.wav,b\n", "empty or repeated names"),
    ('path,text\na.wav,"two\nlines"\nb.wav\n', "row 4: it has 1 cells"), ('path,text\na.wav,"x"y\n', "row 2: it is not CSV"),
    ("path,start\na.wav,0\nb.wav,x\n", "row 3: start: got 'x'"),
    ("path,offset,duration\na.wav,1,2\n", "column 'offset' is not read, and none is called 'start': each clip would begin with"),
    ("path,start,End\na.wav,1,2\n", "column 'End' is not read.*would reach to the end of its file.*write the column duration")])
def test_a_wrong_csv_row_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        manifests.read(tmp_path / "a.csv")


def test_a_manifest_that_a_spreadsheet_or_pandas_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\ufeff;path;label;;\r\n0;a.wav;x;;\r\n", encoding="utf-8")
    clip, = manifests.read(tmp_path / "a.csv")
    assert (clip.path, clip.label, clip.more) == (str(tmp_path / "a.wav"), "x", {})


def test_all_wrong_rows_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"path": "a.wav"}\n\n{\n{"path": 3}\n{"path": "b.wav", "duration": 1}\n{"path": "c.wav", "start": "x"}\n')
    with pytest.raises(ManifestError, match=r"a.jsonl, row 3: it is not JSON.* \(2 more cannot be used: rows 4, 6\)$"):
        manifests.read(path)
    assert [(row.number, clip if isinstance(clip, str) else None) for row, clip in manifests.tried(path)][2:] == [
        (4, "path: got 3, allowed: a file's name"), (5, None), (6, "start: got 'x', allowed: a number of seconds")]


def test_files_are_checked_when_asked(tmp_path: Path) -> None:
    audio.save(tmp_path / "a.wav", noise(16000), 16000)
    rows = [{"path": "a.wav", "duration": 1.0}, {"path": "a.wav", "start": 0.9, "duration": 0.2}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ManifestError, match="row 2: .*a.wav: the stretch from 0.9 s to 1.1 s reaches past its end at 1 s"):
        manifests.read(tmp_path / "a.jsonl", check_files=True)
    with pytest.raises(ManifestError, match="there is no such file"):
        manifests.read(tmp_path / "b.jsonl")
    with pytest.raises(UsageError, match="ends in .jsonl or .csv"):
        manifests.read(tmp_path / "a.xml")


# -- batches


durations = st.lists(st.floats(0.1, 30.0), min_size=1, max_size=80)


@given(durations, st.floats(1.0, 60.0), st.integers(1, 8), st.none() | st.integers(0, 3))
def test_every_clip_is_in_one_batch_that_fits(seconds: list[float], limit: float, most: int, seed: int | None) -> None:
    batches = batches_by_seconds(seconds, limit, max_clips=most, n_buckets=5, seed=seed)
    assert sorted(index for batch in batches for index in batch) == list(range(len(seconds)))
    for batch in batches:
        assert len(batch) <= most
        assert len(batch) == 1 or max(seconds[index] for index in batch) * len(batch) <= limit
    assert batches == batches_by_seconds(seconds, limit, max_clips=most, n_buckets=5, seed=seed)


def test_epochs_differ_and_come_back() -> None:
    seconds = [1.0 + index / 50 for index in range(50)]
    first, second = (batches_by_seconds(seconds, 10.0, seed=1, epoch=epoch) for epoch in (0, 1))
    assert first != second and first == batches_by_seconds(seconds, 10.0, seed=1, epoch=0)


@given(durations, st.integers(1, 10))
def test_buckets_rise_and_end_at_the_longest(seconds: list[float], count: int) -> None:
    bounds = buckets(seconds, count)
    assert bounds == sorted(set(bounds)) and len(bounds) <= count and bounds[-1] == max(seconds)


def test_buckets_hold_like_totals() -> None:
    assert buckets([1, 1, 1, 1, 2, 2, 4], 3) == [1, 2, 4]
    with pytest.raises(UsageError):
        buckets([], 1)


def test_texts_beside_sounds_are_utf8_whatever_they_begin_with(tmp_path: Path) -> None:
    folder = tree(tmp_path / "data")
    (folder / "yes" / "0.txt").write_bytes("\ufeffyes please\r\n".encode())
    (folder / "yes" / "1.txt").write_bytes(b"caf\xe9")
    clips, problems = manifests.scan(folder)
    assert [clip.text for clip in clips] == [None, None, "yes please"]
    assert any("1.wav: its text" in problem and "is not UTF-8" in problem for problem in problems)
    assert [clip.duration for clip in manifests.scan(folder, damaged=True)[0]] == [0.1, 0.2, 0.1, None, None]


def test_a_manifest_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        manifests.write(tmp_path / "a.jsonl", [Clip("a.wav", more={"x": object()})])
    assert not list(tmp_path.iterdir())
