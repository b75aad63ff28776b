"""A run with a plugin's parts finds the same ones again, and says what of its settings they have no more."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import Toolkit
from test_isolation import install

from toolkit.errors import UsageError
from toolkit.training.made_with import made_with

DECLARED = """
from dataclasses import dataclass
from toolkit.config import setting
@dataclass(frozen=True)
class Config:
    {price}: float = setting(1.0, "what an error costs")
    {room}: float = setting(0.0, "errors that cost nothing")
def declare(registry):
    registry.add("loss", "priced", "{name}_code:Priced", config="{name}_plugin:Config", summary="Priced.")
"""
CODE = """
from toolkit.core.losses import Elementwise
class Priced(Elementwise):
    def __init__(self, config):
        super().__init__()
        self.price = config.{price}
    def each(self, outputs, targets):
        return self.price * (outputs - targets).square()
"""


def offer(site: Path, name: str, price: str = "price", room: str = "room") -> None:
    """Install the distribution ``name`` with a loss ``priced``, or another version of it."""
    facts = {"name": name, "price": price, "room": room}
    if (site / f"{name}_plugin.py").exists():
        # Of another length: by that alone Python tells files of the same second from what it has compiled.
        (site / f"{name}_plugin.py").write_text(DECLARED.format(**facts) + "# another version\n")
    else:
        install(site, name, DECLARED.format(**facts))
    (site / f"{name}_code.py").write_text(CODE.format(**facts))


def test_a_part_is_kept_with_its_distribution_and_lost_settings_are_named(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    around = Toolkit(tmp_path, site, "one,two")
    (tmp_path / "rows.csv").write_text("x,y\n" + "".join(f"{x},{2 * x}\n" for x in range(40)))
    offer(site, "one")
    words = ("run", "tabular-regression", "--data", "rows.csv", "--target", "y", "--loss", "priced", "--loss.price", "3",
             "--steps")
    around.json(*words, "64", "--out", "run")
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["config"]["loss"] == {"value": "one/priced", "origin": "flag"}
    assert facts["config"]["optimizer"]["value"] == "adamw" and facts["distributions"]["one"] == "1.0"
    again = around("evaluate", "run")
    assert again.returncode == 0 and "has no more" not in again.stderr
    offer(site, "two")
    refused = around(*words, "64")
    assert refused.returncode == 2 and "Write one/priced or two/priced" in refused.stderr
    assert around.json("resume", "run", "--steps", "96")["steps"] >= 96
    offer(site, "one", price="cost", room="margin")  # of other lengths: one second tells files of the same no apart
    again = around("evaluate", "run")
    assert again.returncode == 0 and again.stderr.count("has no more") == 1, again.stderr  # room was as it is by default
    assert "toolkit: the run was made with loss.price = 3.0, which loss one/priced has no more: it is passed over. " \
           "What it has: toolkit info loss one/priced\n" in again.stderr


def test_an_earlier_run_without_the_distribution_is_of_the_same_part() -> None:
    from toolkit.training.resolve import same_part

    assert same_part("priced", "one/priced") and same_part("mlp", "mlp") and same_part(None, None)
    assert not same_part("one/priced", "two/priced") and not same_part("mlp", "one/priced") and not same_part(None, "mlp")


def test_a_transform_that_a_text_names_is_kept_with_its_distribution(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install(site, "loud", """
def declare(registry):
    registry.add("transform", "louder", "loud_code:Louder", summary="Louder.")
""")
    (site / "loud_code.py").write_text("""
class Louder:
    def __call__(self, waveform, lengths, generator):
        return 2 * waveform, lengths
""")
    Toolkit(tmp_path, site, "loud").json(
        "run", "audio-classification", "--data", "synthetic-sounds", "--data.count", "12", "--data.held-out", "4",
        "--preset", "none", "--transforms", "shift | loud/louder", "--steps", "8", "--batch-size", "4", "--out", "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["distributions"]["loud"] == "1.0"


NETWORK = """
import torch
class Net(torch.nn.Module):
    def __init__(self, *, observation_space):
        super().__init__()
        self.features = 4
        self.layers = torch.nn.Sequential({layers})
    def forward(self, observations):
        return self.layers(observations)
"""
PLUGIN = """
def declare(registry):
    registry.add("network", "net", "own_code:Net", summary="One layer or two.")
    registry.add("env", "hall", "gymnasium.envs.classic_control:CartPoleEnv", summary="CartPole.")
"""


def test_what_another_version_refuses_names_both() -> None:
    import numpy

    here = re.escape(numpy.__version__)
    with pytest.raises(UsageError, match=rf"^no such thing. The run was made with numpy 0.1 \(here {here}\)$"):  # noqa: SIM117
        with made_with({"distributions": {"toolkit": "0.0", "numpy": "0.1", "pytest": pytest.__version__}}):
            raise UsageError("no such thing.")


def test_a_run_says_which_plugin_it_was_made_with_where_that_was_edited_upgraded_or_removed(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install(site, "own", PLUGIN)
    (site / "own_code.py").write_text(NETWORK.format(layers="torch.nn.Linear(4, 4)"))
    toolkit = Toolkit(tmp_path, site, "own")
    words = ("run", "ppo", "--preset", "none", "--steps", "32", "--n-steps", "16", "--final-episodes", "1")
    for more in (("--network", "net", "--env", "CartPole-v1", "--out", "net"), ("--env", "own/hall", "--out", "hall",
                                                                                "--max-episode-steps", "9")):
        assert (done := toolkit(*words, *more)).returncode == 0, done.stderr
    (site / "own_code.py").write_text(NETWORK.format(layers="torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)"))
    edited = "so the code of own 1.0 has been edited since. Put it back as it was\n"
    for command, code in ((("evaluate", "net"), 1), (("resume", "net", "--steps", "64"), 1)):
        done = toolkit(*command)
        assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
        assert "do not fit what the code makes now: " in done.stderr and "layers.1.weight: none there, [4, 4] here" in done.stderr
        assert done.stderr.endswith(edited), done.stderr
    facts = site / "own-1.0.dist-info"
    (facts / "METADATA").write_text((facts / "METADATA").read_text().replace("1.0", "2.0"))
    done = toolkit("evaluate", "net")
    assert done.stderr.endswith("The run was made with own 1.0 (here 2.0). Install what it was made with\n"), done.stderr
    shutil.rmtree(facts)
    for command in (("evaluate", "net"), ("evaluate", "hall"), ("resume", "hall", "--steps", "64")):
        done = toolkit(*command)
        assert done.returncode == 2 and "own/" in done.stderr, done.stderr
        assert done.stderr.count("The run was made with own 1.0, which is not installed. Install: own==1.0\n") == 1, done.stderr
