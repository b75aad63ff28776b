"""What all tests share."""

from __future__ import annotations

import atexit
import compileall
import fcntl
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from multiprocessing.util import Finalize
from pathlib import Path
from threading import Event, Timer
from typing import Any

import pytest

FINDERS = sys.meta_path[:]
sys.meta_path[:] = [finder for finder in FINDERS if not type(finder).__module__.startswith("_pytest.")]
import hypothesis  # noqa: E402  # pytest would rewrite its own assertions, in each process of tests for 1.5 seconds
import hypothesis.strategies  # noqa: E402

sys.meta_path[:] = FINDERS
hypothesis.settings.register_profile("toolkit", deadline=None)  # a busy machine breaks no law
hypothesis.settings.load_profile("toolkit")
SHARED = "TOOLKIT_TESTS_SHARED"  # the variable that names a folder for what all processes of the tests share
MEMORY, ROOM = Path("/dev/shm"), 4 << 30  # where a system has files in memory; bytes, more than all tests write together
BEFORE: dict[str, str] = {}  # the environment before any test has changed it: the server keeps what it is started with


def temporary() -> str:
    """Where temporary files go: into memory where there is room for all, since a run writes a hundred files that it syncs."""
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return tempfile.gettempdir()
    there = os.statvfs(MEMORY)
    fits = there.f_bavail * there.f_frsize >= ROOM and not there.f_flag & os.ST_NOEXEC
    return str(MEMORY) if fits else tempfile.gettempdir()


def pytest_configure(config: pytest.Config) -> None:
    """One folder for whatever tests, the processes that they start and kill, and the libraries in use put into the system's
    for temporary files; it goes with the session. Folders of `tmp_path` are beside it, and those of failed tests stay."""
    root = temporary()
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", root)
    folder = tempfile.mkdtemp(prefix="toolkit-tests-", dir=root)
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    os.environ.setdefault(SHARED, folder)  # the first process's
    if not hasattr(config, "workerinput"):  # once: each of hundreds of commands would compile all that it imports
        compileall.compile_dir(Path(__file__).parent.parent / "toolkit", quiet=2)
    # After multiprocessing has removed its own folder in it, which has the priority -100.
    Finalize(None, shutil.rmtree, (folder,), {"ignore_errors": True}, exitpriority=-200)
    BEFORE.update(os.environ)


if "PYTEST_XDIST_WORKER" in os.environ:  # one process per core already: threads of their own would only queue
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Two processes that compile librosa's functions at once can leave a cache that crashes every later one (numba issue 10128).
    own = Path(__file__).parent.parent / ".pytest_cache" / "numba" / os.environ["PYTEST_XDIST_WORKER"]
    os.environ.setdefault("NUMBA_CACHE_DIR", str(own))


# Components whose code numba compiles when it is first used: up to a minute in a new clone.
COMPILED = (("frontend", "pyin"), ("vocoder", "wavenet"), ("buffer", "prioritized"), ("agent", "rainbow"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need compiled code come first and together: xdist deals out tests in a row, so one process compiles.

    They are marked `compiles`, or are given one of `COMPILED`, or its name, as a parameter.
    """
    from toolkit.entries import Entry
    from toolkit.registry import registry

    entries = [registry.get(kind, name) for kind, name in COMPILED]
    compiled = [*entries, *(entry.name for entry in entries)]

    def compiles(item: pytest.Item) -> bool:
        given = item.callspec.params.values() if hasattr(item, "callspec") else ()
        return item.get_closest_marker("compiles") is not None or any(
            isinstance(value, (str, Entry)) and value in compiled for value in given)

    items.sort(key=lambda item: not compiles(item))


class Server:
    """The process that commands of this one are forked from: itself a fork of one for all processes of tests.

    It is named ``commands``; another begins with the ``words`` of `command_server`, in an environment of its own.
    """

    def __init__(self, name: str = "commands", *words: str, **environment: str) -> None:
        self.start = [sys.executable, str(Path(__file__).with_name("command_server.py"))], words, {**BEFORE, **environment}
        folder = Path(os.environ[SHARED])
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            connection = self._connected(folder / name)
        self.asks, self.answers = connection.makefile("w"), connection.makefile("r")
        self.number = int(self.answers.readline())

    def _connected(self, address: Path) -> socket.socket:
        """A connection, to a server that is started if there is none."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(address))
        except (FileNotFoundError, ConnectionRefusedError):
            address.unlink(missing_ok=True)  # of one whose process of tests has ended
            program, words, environment = self.start
            process = subprocess.Popen([*program, str(address), *words], text=True, env=environment, stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
            assert process.stdin and process.stdout
            atexit.register(process.wait)
            atexit.register(process.stdin.close)  # called first: it ends when that does
            assert process.stdout.readline() == "ready\n"
            connection.connect(str(address))
        return connection

    def run(self, timeout: float, words: Sequence[str], first: Sequence[Any] = (),
            **request: Any) -> subprocess.CompletedProcess[str]:
        """One command. Raises TimeoutExpired for one that had to be killed after ``timeout`` seconds."""
        late = Event()

        def kill() -> None:
            late.set()
            os.kill(number, signal.SIGKILL)

        with tempfile.NamedTemporaryFile("r+") as stdout, tempfile.NamedTemporaryFile("r+") as stderr:
            request |= {"words": words, "first": first, "stdout": stdout.name, "stderr": stderr.name}
            print(json.dumps(request), file=self.asks, flush=True)
            number = int(self.answers.readline())
            watch = Timer(timeout, kill)
            watch.start()
            code = int(self.answers.readline())
            watch.cancel()
            if late.is_set():
                raise subprocess.TimeoutExpired(words, timeout, stdout.read(), stderr.read())
            return subprocess.CompletedProcess(words, code, stdout.read(), stderr.read())


@functools.cache
def server() -> Server:
    return Server()


class Toolkit:
    """The command line in a process and a folder of its own.

    The process is a fork of one that has imported torch; or a new interpreter, where the command gets an environment, where it
    is started to be watched, and where forks are not to be trusted.
    """

    def __init__(self, folder: Path, site: Path | None = None, plugins: str = "0") -> None:
        """``plugins`` are what TOOLKIT_PLUGINS names, installed in ``site``."""
        self.folder, self.sites = folder, [str(site)] if site else []
        self.environment = {**os.environ, "TOOLKIT_CACHE": str(folder / "cache"), "TOOLKIT_PLUGINS": plugins}
        if site:
            self.environment["PYTHONPATH"] = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH", "")])])

    def __call__(self, *words: str, module: str = "toolkit", timeout: float = 300,
                 **environment: str) -> subprocess.CompletedProcess[str]:
        if sys.platform == "linux" and not environment:
            return server().run(timeout, words, module=module, folder=str(self.folder), environment=self.environment,
                                sites=self.sites)
        return subprocess.run(
            [sys.executable, "-m", module, *words], cwd=self.folder, capture_output=True, text=True, timeout=timeout,
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


@pytest.fixture
def only_here() -> Iterator[None]:
    """What a test registers is gone after it."""
    from toolkit.registry import registry

    registry.entries()
    before = dict(registry._entries)
    yield
    registry._entries.clear()
    registry._entries.update(before)


def recordings(folder: Path, rate: int = 16000) -> None:
    """In ``folder`` one folder of sounds at ``rate`` (Hz) for each of two labels, and what is said in each."""
    from toolkit.audio import io

    for label, period in (("high", 9), ("low", 40)):
        (folder / label).mkdir(parents=True)
        for number in range(6):
            path = folder / label / f"{number}.wav"
            io.save(path, [0.1 * (-1) ** (step // (period + number)) for step in range(rate // 2)], rate)
            path.with_suffix(".txt").write_text(label)
