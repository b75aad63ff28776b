"""A plugin that is wrong in any way is shown with its reason and remedy, and harms nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from toolkit import plugins

LINE = 'registry.add("op", "{name}", "{package}:work", summary="Does its work.")'
WRONG = {  # body of the module: what the reason says
    "raises": ("raise ValueError('no luck')", "raised ValueError: no luck"),
    "exits": ("import sys\ndef declare(registry): sys.exit(3)", "called sys.exit(3)"),
    "dies": ("import os\ndef declare(registry): os._exit(4)", "ended its process with exit code 4"),
    "prints": ("def declare(registry): print('hello')", "printed 'hello"),
    "needs": ("import not_installed_anywhere\ndef declare(registry): pass", "needs the module 'not_installed_anywhere'"),
    "newer": ("TOOLKIT_PROTOCOL = 99\ndef declare(registry): pass", "written for protocol 99"),
    "twice": ("def declare(registry):\n"
              + "".join(f"    registry.add('op', 'same', 'twice_plugin:{name}', summary='One.')\n" for name in "ab"),
              "is declared twice"),
    "empty": ("", "has no attribute 'declare'"),
}


def install(site: Path, name: str, body: str) -> None:
    """A distribution as pip leaves it."""
    (site / f"{name}_plugin.py").write_text(body + "\n")
    facts = site / f"{name}-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[toolkit.plugins]\n{name} = {name}_plugin:declare\n")


@pytest.fixture
def around(tmp_path: Path) -> dict[str, str]:
    """An environment with every wrong plugin, and a good one that also takes the name of a built-in."""
    site = tmp_path / "site"
    site.mkdir()
    for name, (body, _) in WRONG.items():
        install(site, name, body)
    lines = "".join("    " + LINE.format(name=name, package="good_plugin") + "\n" for name in ("mine", "einsum"))
    install(site, "good", "def declare(registry):\n" + lines + "def work(x): return x")
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    return {"PYTHONPATH": path, "TOOLKIT_PLUGINS": ",".join(["good", *WRONG])}


def test_each_wrong_plugin_is_shown_with_its_reason_and_harms_nothing(toolkit: Any, around: dict[str, str]) -> None:
    rows = {row["distribution"]: row for row in toolkit.json("plugins", **around)}
    for name, (_, reason) in WRONG.items():
        assert rows[name]["status"] == "broken" and reason in rows[name]["reason"] and rows[name]["remedy"], rows[name]
    assert rows["good"]["status"] == "ok" and rows["good"]["components"] == ["op einsum", "op mine"]
    listed = {row["id"]: row["status"] for row in toolkit.json("list", **around)}
    assert listed["good/mine"] == listed["toolkit/dqn"] == "ok"
    only = {row["id"] for row in toolkit.json("list", **{**around, "TOOLKIT_PLUGINS": "0"})}
    assert "toolkit/dqn" in only and "good/mine" not in only


def test_one_that_hangs_is_stopped_at_the_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toolkit: Any) -> None:
    install(tmp_path, "hangs", "import time\ndef declare(registry): time.sleep(600)")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    outcome = plugins.read(plugins.Guest("hangs", "1.0", "hangs_plugin:declare"), time_limit=2.0)
    assert outcome["broken"]["reason"] == "hangs_plugin:declare did not return within 2 s"
    assert f"at most {plugins.TIME_LIMIT:g} s each" in " ".join(toolkit("plugins", "--help").stdout.split())
