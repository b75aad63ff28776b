"""torchaudio beside any torch; threads; what importing costs."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from signals import noise

from toolkit.audio import _torchaudio
from toolkit.audio.threads import in_threads, one_thread
from toolkit.registry import registry


def python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


def test_torchaudio_can_be_imported_after_the_module() -> None:
    if _torchaudio.torchaudio is None:
        pytest.skip("torchaudio is not installed")
    said = python("import toolkit.audio._torchaudio as t; import torchaudio; assert t.torchaudio is torchaudio\n"
                  "assert t.case in ('complete', 'without extension') and bool(t.cause) == (t.case != 'complete')\n"
                  "print(t.probe())")
    assert _torchaudio.torchaudio.__version__ in said


BROKEN = """
import sys, types
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == 'torchaudio._extension' and name not in sys.modules:
            raise OSError('libcudart.so.99: cannot open shared object file')
sys.meta_path.insert(0, Blocker())
import toolkit.audio._torchaudio as t
assert t.case == 'without extension', t.case
assert t.cause == 'OSError: libcudart.so.99: cannot open shared object file', t.cause
import torchaudio
print(torchaudio._extension._IS_TORCHAUDIO_EXT_AVAILABLE)
"""
ABSENT = """
import sys
sys.modules['torchaudio'] = None
import toolkit.audio._torchaudio as t
from toolkit.errors import MissingExtra
assert t.case == 'absent'
try:
    t.require()
except MissingExtra as error:
    print(error)
"""


def test_an_extension_that_does_not_load_is_replaced() -> None:
    if _torchaudio.torchaudio is None:
        pytest.skip("torchaudio is not installed")
    assert python(BROKEN) == "False"


def test_without_torchaudio_its_install_command_is_named_and_front_ends_work() -> None:
    assert "pip install" in python(ABSENT)
    python("import sys; sys.modules['torchaudio'] = None; import torch; from toolkit.registry import registry\n"
           "registry.make('frontend', 'log-mel')(torch.zeros(1600))")


def test_front_ends_import_neither_librosa_nor_torchaudio() -> None:
    assert python("import sys, torch; from toolkit.registry import registry; registry.make('frontend', 'mfcc')(torch.ones(800))\n"
                  "print({'librosa', 'torchaudio', 'soundfile', 'scipy', 'numba', 'matplotlib'} & set(sys.modules))") == "set()"


def test_threads_share_jobs_and_give_the_number_back() -> None:
    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        done: list[tuple[int, int]] = []
        in_threads([lambda index=index: done.append((index, torch.get_num_threads())) for index in range(20)])
        assert sorted(done) == [(index, 1) for index in range(20)]
        assert torch.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError):
            in_threads([lambda: 1 / 0] * 5)
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(usual)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_threads_change_no_number(mode: type) -> None:
    frontend = registry.make("frontend", "librosa-mfcc", n_mels=64)
    clips, lengths = noise(5 * 20000).view(5, 20000), torch.tensor([20000, 0, 9000, 500, 16000])
    with one_thread(), mode():
        expected = frontend(clips, lengths)[0]
    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with mode():
            assert torch.equal(frontend(clips, lengths)[0], expected)
    finally:
        torch.set_num_threads(usual)


def test_dither_is_drawn_in_order_whatever_the_threads() -> None:
    clips = noise(4 * 16000).view(4, 16000)
    usual = torch.get_num_threads()
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(registry.make("frontend", "kaldi-fbank", dither=1.0)(clips)[0])
    torch.set_num_threads(usual)
    assert torch.equal(*found)
