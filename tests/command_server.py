"""Gives commands of tests a process each, without two seconds of imports each: they are forks of this one.

Run as a program by `conftest.Server`. It has imported what most commands need (or, with a second word ``light``, what all of them
do, which is nothing heavy), runs no thread, and forks for every process of tests that connects to the socket which its first word
names. The fork tells its number and forks in its turn at each line that it
is sent: a JSON object with a command's ``module``, ``words``, ``folder``, ``environment``, the ``sites`` where plugins are
installed, the paths of its ``stdout`` and ``stderr``, and ``first``, where something is to be done in the process before: a
function ``module:name`` and its arguments. It answers with the number of the process, then with its exit code as `subprocess`
writes it. That process goes on as ``python -m MODULE WORDS`` would, to the end of an interpreter: what it imports, breaks or
leaves behind meets no other command. What it shares with the others is the seed of hashes: a test that two processes agree gives
one of them an environment of its own, which makes it a new interpreter.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import socket
import sys
import tempfile
from importlib.util import find_spec
from typing import Any, TextIO
from weakref import finalize

HEAVY = ("torch", "torch._dynamo", "gymnasium", "tensorboard.summary.writer.record_writer", "click", "safetensors.torch",
         "threadpoolctl", "numba", "pandas", "stable_baselines3", "torchrl.objectives", "sklearn.datasets",
         "gymnasium.envs.classic_control")
OURS = ("toolkit.commands.run", "toolkit.commands.evaluate", "toolkit.commands.resume", "toolkit.training.sessions",
        "toolkit.training.api", "toolkit.agents.q_learning", "toolkit.agents.ppo", "toolkit.agents.networks.mlp",
        "toolkit.envs.native.cartpole", "toolkit.audio.frontends.stft", "toolkit.audio.tasks.classification",
        "toolkit.audio.models.crnn", "toolkit.audio.vocoders.task", "toolkit.nlp.tasks.classification",
        "toolkit.nlp.models.recurrent")
HUB = ("toolkit.core._torchaudio", "transformers.models.bert.modeling_bert", "transformers.models.auto.modeling_auto",
       "transformers.tokenization_utils_fast") if "light" not in sys.argv and find_spec("transformers") else ()
LIGHT = ("click", "toolkit.cli", "toolkit.commands.run")


def lend(listener: socket.socket) -> socket.socket | None:
    """A copy of this process for each that connects, which returns the connection; None when its starter has ended."""
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            return connection
        connection.close()
    return None


def serve(asks: TextIO, answers: TextIO) -> dict[str, Any] | None:
    """Answers requests; returns one in the process that is to become it, and None when nothing more is asked."""
    print(os.getpid(), file=answers, flush=True)
    while line := asks.readline():
        process = os.fork()
        if process == 0:
            asked: dict[str, Any] = json.loads(line)
            return asked
        print(process, file=answers, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), file=answers, flush=True)
    return None


def become(request: dict[str, Any]) -> None:
    """Makes of this process what a new one would have been."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, path in enumerate((os.devnull, request["stdout"], request["stderr"])):
        file = os.open(path, os.O_RDWR)
        os.dup2(file, number)
        os.close(file)
    sys.argv = [request["module"], *request["words"]]
    sys.path[:1] = [os.getcwd(), *request["sites"]]
    tempfile.tempdir = None
    if "numba" in sys.modules:
        sys.modules["numba"].config.reload_config()  # whose cache is that of the process of tests that asks
        # Unlike those of the standard library and of torch, NumPy's generator starts from nowhere known: a fork has the same.
        sys.modules["numpy"].random.seed()


def prepare(function: str, *arguments: Any) -> None:
    """Call ``function``, ``module:name``."""
    module, _, name = function.partition(":")
    getattr(importlib.import_module(module), name)(*arguments)


def run(module: str) -> None:
    """A module, to the end of an interpreter but for the taking down of its modules, a third of a second for torch's alone."""
    global code
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ending:  # with which commands end, always
        code = int(ending.code or 0)
        raise


def leave() -> None:
    """What has been registered first is called last: threads have been waited for, and all others have been called."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    code = 1  # what an exception that nothing catches leaves
    atexit.register(leave)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does before NumPy is imported
    for name in LIGHT if "light" in sys.argv else (*HEAVY, *OURS, *HUB):
        importlib.import_module(name)
    gc.freeze()  # no fork looks through what is here: it would have to copy it,
    for imported in list(finalize._registry):  # type: ignore[attr-defined]
        imported.atexit = False  # nor takes apart at its end what torch and others have registered
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen()
        print("ready", flush=True)
        connection = lend(listener)
    if connection:
        with connection, connection.makefile("r") as asks, connection.makefile("w") as answers:
            request = serve(asks, answers)
        if request:
            become(request)
            if request["first"]:
                prepare(*request["first"])
            run(request["module"])
    code = 0
