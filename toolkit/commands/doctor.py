"""``toolkit doctor``: tries what is installed by using it, and names the first true cause of each failure.

Each probe runs in its own process with a time limit, so that a crash or a hang of one library is a
line in the report and not the end of it.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import click

from toolkit.commands import _output as output

TIME_LIMIT = 90.0  # seconds a probe


@dataclass(frozen=True)
class Probe:
    """Code that must print one line of findings, and what to do when it does not."""

    name: str
    code: str
    remedy: str
    required: bool = True


PROBES = (
    Probe("torch", "import torch; x = torch.ones(64, 64); assert float((x @ x).sum()) == 64.0 ** 3; "
          "print(torch.__version__, 'device', 'cuda' if torch.cuda.is_available() else 'cpu', 'threads', torch.get_num_threads())",
          'pip install "torch>=2.11,<2.14"'),
    Probe("numpy", "import numpy as n; assert n.ones(3).sum() == 3; print(n.__version__)", "pip install numpy"),
    Probe("gymnasium", "import gymnasium as g; e = g.make('CartPole-v1'); e.reset(seed=0); e.step(0); print(g.__version__)",
          "pip install gymnasium"),
    Probe("torchaudio", "from toolkit.audio import _torchaudio; print(_torchaudio.probe())", "pip install torchaudio"),
    Probe("torchrl", "import torch, torchrl.data as d; b = d.ReplayBuffer(storage=d.LazyTensorStorage(4), batch_size=2); "
          "b.extend(torch.arange(4)); b.sample(); "
          "import torchrl; print(torchrl.__version__)", "pip install torchrl"),
    Probe("torchrl prioritized buffer", "import torch, torchrl.data as d; "
          "b = d.PrioritizedReplayBuffer(alpha=.6, beta=.4, storage=d.LazyTensorStorage(4), batch_size=2); "
          "b.extend(torch.arange(4)); b.sample(); print('works')",
          "its compiled extension is missing beside this torch; use --buffer prioritized, which needs none", required=False),
    Probe("stable-baselines3", "from stable_baselines3 import DQN; m = DQN('MlpPolicy', 'CartPole-v1', device='cpu'); "
          "m.predict([0, 0, 0, 0]); import stable_baselines3 as s; print(s.__version__)", "pip install stable-baselines3"),
    Probe("librosa", "import numpy, librosa; librosa.feature.melspectrogram(y=numpy.ones(4096, 'f'), sr=16000); "
          "print(librosa.__version__)", 'pip install "librosa<1.0"'),
    Probe("soundfile", "import io, numpy, soundfile; b = io.BytesIO(); soundfile.write(b, numpy.zeros(800), 8000, format='WAV'); "
          "b.seek(0); assert soundfile.read(b)[1] == 8000; print(soundfile.__version__, soundfile.__libsndfile_version__)",
          "pip install soundfile"),
    Probe("safetensors", "import torch, safetensors, safetensors.torch as s; assert s.load(s.save({'a': torch.ones(2)}))['a'].sum() == 2; "
          "print(safetensors.__version__)", "pip install safetensors"),
    Probe("tensorboard", "from tensorboard.compat.proto.event_pb2 import Event; import tensorboard; print(tensorboard.__version__)",
          "pip install tensorboard"),
    Probe("worker process", "from toolkit.envs import factory; from toolkit.envs.base import EnvSpec; "
          "e = factory.make(EnvSpec('CartPole-v1'), [1, 2], workers=1); e.reset(); e.step([0, 1]); e.close(); "
          "print('a worker steps CartPole-v1')", "allow this user to start processes and to use shared memory (/dev/shm)"),
    Probe("write access", "import pathlib, tempfile; f = tempfile.NamedTemporaryFile(dir='.'); f.write(b'x'); f.flush(); "
          "print(pathlib.Path('.').resolve())", "change to a folder that you may write, or use --out DIR"),
    Probe("cache", "from toolkit.files import cache_directory as c; import tempfile; d = c(); d.mkdir(parents=True, exist_ok=True); "
          "tempfile.NamedTemporaryFile(dir=d).write(b'x'); print(d)", "set TOOLKIT_CACHE to a folder that you may write", required=False),
    Probe("box2d", "import gymnasium as g; e = g.make('LunarLander-v3'); e.reset(seed=0); e.step(0); print('LunarLander-v3 steps')",
          'pip install "gymnasium[box2d]"', required=False),
    Probe("mujoco", "import gymnasium as g; e = g.make('Hopper-v5'); e.reset(seed=0); print('Hopper-v5 resets')",
          'pip install "gymnasium[mujoco]"', required=False),
    Probe("envpool", "import envpool; e = envpool.make('CartPole-v1', env_type='gymnasium', num_envs=2); e.reset(); "
          "print(envpool.__version__)", "pip install envpool", required=False),
    Probe("atari", "import gymnasium as g, ale_py; g.register_envs(ale_py); g.make('ALE/Pong-v5').reset(seed=0); "
          "print('ALE/Pong-v5 resets')", 'pip install "gymnasium[atari]"', required=False),
)

NAME_WIDTH, STATUS_WIDTH = max(len(probe.name) for probe in PROBES), len("absent")

# Runs a probe's code; on failure prints the innermost cause of the exception alone.
RUNNER = """
import sys
try:
    exec(sys.argv[1], {'__name__': '__probe__'})
except BaseException as error:
    while error.__cause__ or (error.__context__ and not error.__suppress_context__):
        error = error.__cause__ or error.__context__
    print(f'{type(error).__name__}: {error}'.split(chr(10))[0][:300], file=sys.stderr)
    sys.exit(1)
"""


@click.command("doctor")
@output.json_option
def doctor_command(as_json: bool) -> int:
    """Try every library, the device, a worker process and write access; exit 1 when something needed fails."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        rows = []
        for row in pool.map(examine, PROBES):
            rows.append(row)
            if not as_json:
                print(line_of(row), flush=True)  # at once: all of them take half a minute
    if as_json:
        output.emit(rows)
    return int(any(row["status"] == "failed" for row in rows))


def line_of(row: dict[str, Any]) -> str:
    """A probe's line of the table whose other lines are not known yet."""
    said = row["finding"] if row["status"] == "ok" else f"{row['finding']}  ->  {row['remedy']}"
    return f"{row['name']:<{NAME_WIDTH}}  {row['status']:<{STATUS_WIDTH}}  {said}".rstrip()


def examine(probe: Probe) -> dict[str, Any]:
    """Run one probe; its status is ok, absent (optional) or failed."""
    command = [sys.executable, "-W", "ignore", "-c", RUNNER, probe.code]
    bad = "failed" if probe.required else "absent"
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIME_LIMIT,
                              stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return {"name": probe.name, "status": bad, "finding": f"no answer within {TIME_LIMIT:g} s", "remedy": probe.remedy}
    if done.returncode == 0:
        finding = (done.stdout.strip().split("\n") or [""])[-1]
        return {"name": probe.name, "status": "ok", "finding": finding, "remedy": ""}
    finding = (done.stderr.strip().split("\n") or [""])[-1] or f"its process ended with code {done.returncode}"
    return {"name": probe.name, "status": bad, "finding": finding, "remedy": probe.remedy}
