"""What all tests share."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """One folder for whatever tests, the processes that they start and kill, and the libraries in use put into the system's
    for temporary files; it goes with the session. Folders of `tmp_path` stay where pytest has them."""
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    folder = tempfile.mkdtemp(prefix="toolkit-tests-")
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


if "PYTEST_XDIST_WORKER" in os.environ:  # one process per core already: threads of their own would only queue
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Two processes that compile librosa's functions at once can leave a cache that crashes every later one (numba issue 10128).
    own = Path(__file__).parent.parent / ".pytest_cache" / "numba" / os.environ["PYTEST_XDIST_WORKER"]
    os.environ.setdefault("NUMBA_CACHE_DIR", str(own))


class Toolkit:
    """The command line in a real process, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "TOOLKIT_CACHE": str(folder / "cache"), "TOOLKIT_PLUGINS": "0"}

    def __call__(self, *words: str, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "toolkit", *words], cwd=self.folder, capture_output=True, text=True, timeout=timeout,
            env={**self.environment, **environment}, stdin=subprocess.DEVNULL)

    def json(self, *words: str, **environment: str) -> Any:
        done = self(*words, "--json", **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-m", "toolkit", *words], cwd=self.folder, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=self.environment, stdin=subprocess.DEVNULL)


@pytest.fixture
def toolkit(tmp_path: Path) -> Toolkit:
    return Toolkit(tmp_path)
