"""``toolkit audio ...`` in real processes, good files and bad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
from signals import noise, tone

from toolkit.commands.audio import SUBCOMMANDS


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
    import os

    path = f"{block}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    said = toolkit("audio", "--help", PYTHONPATH=path)
    assert said.returncode == 0 and all(name in said.stdout for name in SUBCOMMANDS), said.stderr
    for name in SUBCOMMANDS:
        done = toolkit("audio", name, "--help", PYTHONPATH=path)
        assert done.returncode == 0 and "--json" in done.stdout, done.stderr


def test_an_unknown_subcommand_is_answered_with_the_nearest(toolkit: Any) -> None:
    done = toolkit("audio", "inf")
    assert done.returncode == 2 and "Did you mean 'info'" in done.stderr


def test_info_reports_bad_files_and_goes_on(toolkit: Any, tree: Path) -> None:
    done = toolkit("audio", "info", str(tree), "nowhere.wav", "--json")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    said = json.loads(done.stdout)
    assert {(Path(row["path"]).name, row["channels"], row["frames"], row["subtype"]) for row in said["files"]} == {
        ("one.wav", 1, 22050, "PCM_16"), ("two.flac", 2, 11025, "PCM_16"), ("three.ogg", 1, 15435, "VORBIS")}
    assert len(said["skipped"]) == 3
    for cause in ("bad.wav: it is not audio: it holds text", "empty.wav: it is empty (0 bytes)", "nowhere.wav: there is no such"):
        assert cause in done.stderr
