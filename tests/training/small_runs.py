"""Small runs for the tests of this room, in real processes that start quickly.

`command` is the command line in a process of its own. It is forked from a server that has imported
the heavy libraries once, so that it takes a fraction of a second; ``die`` makes the process send
itself a signal at an exact point, which no test that watches from outside can do.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from toolkit.registry import Entry, registry

FORKS = multiprocessing.get_context("forkserver")
PRELOADED = ["pytest", "toolkit.training.setup", "toolkit.training.api", "toolkit.agents.dqn",
             "toolkit.agents.ppo", "gymnasium.envs.classic_control", "toolkit.training.recorder"]
FORKS.set_forkserver_preload(PRELOADED)
DISCRETE, CONTINUOUS = "CartPole-v1", "Pendulum-v1"
# Flags that make any agent small, for those settings that it has.
SMALL = {"learning_starts": "60", "batch_size": "16", "buffer_size": "300", "n_steps": "16", "n_epochs": "2",
         "network.hidden_sizes": "8,8", "target_update_interval": "50", "episodes_per_update": "3",
         "evaluation_episodes": "3", "final_episodes": "5", "threads": "1"}


def preload(*modules: str) -> None:
    """Have the server import ``modules`` too: for tests whose every process needs them. It counts before the first `command`."""
    PRELOADED.extend(modules)
    FORKS.set_forkserver_preload(PRELOADED)


class Done(NamedTuple):
    """How a process ended: its exit code (negative for a signal) and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


class Die(NamedTuple):
    """Send the process ``signals`` at a call of ``where`` (see `_points`): at the ``at``-th, or from step ``at`` on."""

    where: str
    at: int
    signals: tuple[int, ...] = (signal.SIGKILL,)


def command(*words: str, cwd: Path, die: Die | None = None, file_limit: int | None = None, timeout: float = 120) -> Done:
    """``toolkit WORDS`` in a process of its own, in the folder ``cwd``."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = FORKS.Process(target=_child, args=(words, str(cwd), str(out), str(err), die, file_limit))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise AssertionError(f"toolkit {' '.join(words)} did not end: {err.read_text()}")
        return Done(process.exitcode, out.read_text(), err.read_text())


def _child(words: Sequence[str], cwd: str, out: str, err: str, die: Die | None, file_limit: int | None) -> None:
    for path, descriptor in ((out, 1), (err, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
        os.close(file)
    os.chdir(cwd)
    os.environ.update(TOOLKIT_PLUGINS="0", TOOLKIT_CACHE=tempfile.gettempdir())
    sys.path.insert(0, cwd)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    if die is not None:
        _arm(die)
    from toolkit.cli import main

    main(words)


def _arm(die: Die) -> None:
    owner, name, by_step = _points()[die.where]
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls = args[0].clock.step if by_step else calls + 1
        if calls >= die.at:
            setattr(owner, name, original)
            for signum in die.signals:
                os.kill(os.getpid(), signum)
        return original(*args, **kwargs)

    setattr(owner, name, wrapped)


def _points() -> dict[str, tuple[Any, str, bool]]:
    """Where a process may die: object, attribute, and whether the step counts instead of the calls."""
    from toolkit.training import checkpoints, evaluation, supervised, tasks, trainer

    return {"supervised step": (supervised.SupervisedTask, "advance", True),
            "step": (tasks.OnlineTask, "advance", True), "learn": (tasks.OnlineTask, "_learn", True),
            "play": (evaluation, "play", False), "evaluate": (tasks.OnlineTask, "evaluate", True),
            "save": (trainer.Trainer, "save", False), "part": (checkpoints, "write_part", False),
            "rename": (os, "rename", False), "link": (checkpoints.Checkpoints, "link", False),
            "remove": (shutil, "rmtree", False), "replace": (os, "replace", False)}


# -- which runs


def environment_of(entry: Entry) -> str | None:
    """A small environment that the agent acts in."""
    if "Discrete" in entry.accepts:
        return DISCRETE
    return CONTINUOUS if "Box" in entry.accepts else None


RESUMABLE = [entry.name for entry in registry.entries("agent", plugins=False)
             if "resume" not in entry.cannot and environment_of(entry)]


def flags(agent: str, **settings: Any) -> list[str]:
    """``run AGENT --env ... --...`` for a small run; ``settings`` with underscores, dots as ``__``."""
    entry = registry.get("agent", agent)
    known = {item.name for item in entry.settings} | {"evaluation_episodes", "final_episodes", "threads"}
    known |= {"network.hidden_sizes"} if "network" in known else set()
    chosen = {name: value for name, value in SMALL.items() if name in known}
    chosen |= {name.replace("__", "."): str(value) for name, value in settings.items()}
    chosen.setdefault("env", environment_of(entry) or "")
    return ["run", agent, "--preset", "none", *(word for name, value in chosen.items() for word in (f"--{name}", value))]


@functools.cache
def finished(agent: str = "dqn", **settings: Any) -> Path:
    """A finished run that several tests share; none may change it (see `copy_of`)."""
    folder = Path(_shared().name) / str(len(list(Path(_shared().name).iterdir())))
    folder.mkdir()
    done = command(*flags(agent, **settings), "--out", "run", "--json", cwd=folder)
    assert done.code == 0, done.err
    return folder / "run"


@functools.cache
def _shared() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="toolkit-tests-")
    atexit.register(folder.cleanup)
    return folder


def copy_of(run: Path, folder: Path) -> Path:
    """A copy of a run that a test may change."""
    return Path(shutil.copytree(run, folder / "run", symlinks=True))


# -- what they left


def rows(run: Path) -> list[dict[str, Any]]:
    """All lines of metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def timeless(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without times."""
    return [{name: value for name, value in row.items() if name != "time" and not name.startswith("time/")} for row in rows(run)]


def outcome(run: Path) -> dict[str, Any]:
    """All that must be equal between a run that was stopped and one that was not."""
    facts = json.loads((run / "run.json").read_text())
    assert facts["status"] == "finished", facts.get("reason")
    evaluations = {path.name: json.loads(path.read_text()) for path in sorted((run / "evaluations").iterdir())}
    links = {name: os.readlink(run / "checkpoints" / name) for name in ("best", "final")}
    return {"sha256": facts["parameters_sha256"], "evaluation": facts["evaluation"], "steps": facts["steps"],
            "metrics": timeless(run), "evaluations": evaluations, "links": links, "checkpoints": steps_of(run)}


def steps_of(run: Path) -> list[int]:
    """The steps of the checkpoints that are there."""
    return sorted(int(path.name) for path in (run / "checkpoints").iterdir() if path.name.isdigit())


def tree(folder: Path) -> dict[str, str]:
    """Every file and link below ``folder`` with its content's hash or its target."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@contextlib.contextmanager
def inside(folder: Path) -> Any:
    """The current folder is ``folder``."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)
