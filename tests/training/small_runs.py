"""Small runs for the tests of this room, in real processes that start quickly.

`command` is the command line in a process of its own, forked from the server of all tests; ``die``
makes the process send itself a signal at an exact point, which no test that watches from outside
can do.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from conftest import SHARED, server
from dying import Die

from toolkit.entries import Entry
from toolkit.registry import registry

DISCRETE, CONTINUOUS = "CartPole-v1", "Pendulum-v1"
# Flags that make any agent small, for those settings that it has.
SMALL = {"learning_starts": "60", "batch_size": "16", "buffer_size": "300", "n_steps": "16", "n_epochs": "2",
         "network.hidden_sizes": "8,8", "net_arch": "8,8", "train_freq": "4", "target_update_interval": "50",
         "episodes_per_update": "3",
         "evaluation_episodes": "3", "final_episodes": "5", "threads": "1"}
STEPS = {"steps": 480, "checkpoint_every": 100, "evaluate_every": 120, "record_every": 30}  # a run with some of everything


class Done(NamedTuple):
    """How a process ended: its exit code (negative for a signal) and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


def command(*words: str, cwd: Path, die: Die | None = None, file_limit: int | None = None, timeout: float = 120) -> Done:
    """``toolkit WORDS`` in a process of its own, in the folder ``cwd``."""
    environment = {**os.environ, "TOOLKIT_PLUGINS": "0", "TOOLKIT_CACHE": tempfile.gettempdir()}
    done = server().run(timeout, words, ["dying:prepare", die, file_limit], module="toolkit", folder=str(cwd),
                        environment=environment, sites=[str(Path(__file__).parent)])
    return Done(done.returncode, done.stdout, done.stderr)


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
    if chosen["env"] == CONTINUOUS:
        chosen.setdefault("max_episode_steps", "40")
    return ["run", agent, "--preset", "none", *(word for name, value in chosen.items() for word in (f"--{name}", value))]


def finished(agent: str = "dqn", **settings: Any) -> Path:
    """A finished run of an agent that several tests share."""
    return shared_run(*flags(agent, **settings))


@functools.cache
def shared_run(*words: str, file: str = "", text: str = "") -> Path:
    """A finished run that several tests share, whichever process they run in; none may change it (see `copy_of`).

    ``words`` are those of the command; ``text`` is in a ``file`` that they may name, in the run's folder.
    """
    folder = Path(os.environ[SHARED]) / hashlib.sha256(" ".join((*words, text)).encode()).hexdigest()[:16]
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            if file:
                (folder / file).write_text(text)
            done = command(*words, "--out", "run", "--json", cwd=folder)
            assert done.code == 0, done.err
            (folder / "done").touch()
    return folder / "run"


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
