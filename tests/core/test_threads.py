"""A run sets the threads of both libraries that compute for it."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import numpy, threadpoolctl, torch
from toolkit.core.threads import use_threads
before = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
use_threads(2)
after = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
print(before, after, torch.get_num_threads())
assert before and set(after) == {1} and torch.get_num_threads() == 2
"""


def test_numpy_computes_on_one_thread_beside_torch() -> None:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "TOOLKIT_PLUGINS": "0"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
