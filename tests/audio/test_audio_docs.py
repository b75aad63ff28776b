"""What docs/audio.md says runs."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
import soundfile
from signals import speech_like

from toolkit.cli import exit_code

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "audio.md").read_text()


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    for label, name in (("yes", "one"), ("no", "two")):
        (tmp_path / "recordings" / label).mkdir(parents=True)
        soundfile.write(tmp_path / "recordings" / label / f"{name}.wav", speech_like(1.0, 22050).numpy(), 22050)
    return tmp_path


def test_its_commands(recordings: Path) -> None:
    lines = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S) for line in block.splitlines()]
    assert len(lines) >= 10
    for line in lines:
        said = io.StringIO()
        with contextlib.chdir(recordings), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            assert exit_code(shlex.split(line)[1:]) == 0, f"{line}: {said.getvalue()}"


@pytest.mark.compiles
def test_its_python(recordings: Path) -> None:
    block = re.search(r"```python\n(.*?)```", TEXT, re.S)
    assert block is not None
    names: dict[str, object] = {}
    with contextlib.chdir(recordings):
        exec(block[1], names)
    assert names["slopes"].shape == names["features"][0].shape  # type: ignore[attr-defined,index]
    assert abs(len(names["sound"]) - 16000) < 400  # type: ignore[arg-type]
