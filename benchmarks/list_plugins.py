"""How long ``toolkit list`` takes with 20 installed plugins of 10 components each, once they have been read.

    python benchmarks/list_plugins.py [--repeats 15]

Each is a real process. Beside it, in the same loop: ``list`` without plugins, and a bare ``python -c pass``.
Wall time, and processor time (user and system), which a busy machine changes less. The package is compiled before, as pip does
when it installs: without that, where Python is told to write no bytecode, an editable copy is compiled by each command.
"""

from __future__ import annotations

import argparse
import compileall
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import toolkit

PLUGINS, COMPONENTS = 20, 10


def install(site: Path, name: str) -> None:
    """A distribution as pip leaves it, with one config and ten components."""
    package = site / f"{name}_plugin"
    package.mkdir()
    lines = "".join(f'    registry.add("op", "{name}-{index}", "{name}_plugin.code:work", config="{name}_plugin.configs:Config", '
                    f'summary="Does its work, number {index}.")\n' for index in range(COMPONENTS))
    (package / "__init__.py").write_text(f"def declare(registry):\n{lines}")
    (package / "configs.py").write_text(
        "from dataclasses import dataclass\nfrom toolkit.config import setting\n\n\n@dataclass(frozen=True)\nclass Config:\n"
        + "".join(f'    s{index}: float = setting(0.5, "a setting", minimum=0)\n' for index in range(8)))
    facts = site / f"{name}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[toolkit.plugins]\n{name} = {name}_plugin:declare\n")


def measured(command: list[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Wall and processor milliseconds of one process, and what it printed."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall * 1e3, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    compileall.compile_dir(Path(toolkit.__file__).parent, quiet=2)
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        site.mkdir()
        names = [f"guest{index:02}" for index in range(PLUGINS)]
        for name in names:
            install(site, name)
        path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH", "")])])
        around = {**os.environ, "PYTHONPATH": path, "TOOLKIT_CACHE": folder}
        listing = [sys.executable, "-m", "toolkit", "list"]
        cases = {"20 plugins": (listing, {**around, "TOOLKIT_PLUGINS": ",".join(names)}),
                 "no plugins": (listing, {**around, "TOOLKIT_PLUGINS": "0"}),
                 "python -c pass": ([sys.executable, "-c", "pass"], around)}
        shown = measured(*cases["20 plugins"])[2]  # reads them
        assert sum("guest" in line for line in shown.splitlines()) == PLUGINS * COMPONENTS
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
        for _ in range(repeats):
            for name, case in cases.items():
                times[name].append(measured(*case)[:2])
    for name, pairs in times.items():
        wall, processor = zip(*pairs, strict=True)
        print(f"{name:16} wall {statistics.median(wall):6.1f} ms (least {min(wall):.1f}, most {max(wall):.1f}), "
              f"processor {statistics.median(processor):6.1f} ms (least {min(processor):.1f}, most {max(processor):.1f})")


if __name__ == "__main__":
    main()
