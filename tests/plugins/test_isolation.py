"""A plugin that is wrong in any way is shown with its reason and remedy, and harms nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Toolkit

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
    "letters": ("def declare(registry): registry.add('op', 'a', 'b:c', summary='d', aliases='lr')",
                "aliases='lr' is one text; allowed is a tuple of them: aliases=('lr',)"),
    "typo": ("from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Settings: a: int = 1\n"
             "def declare(registry): registry.add('op', 'a', 'typo_plugin:work', config='typo_plugin:Setings', summary='d')",
             "op 'a', config='typo_plugin:Setings': the module 'typo_plugin' has no attribute 'Setings'. Did you mean 'Sett"),
    "lost": ("def declare(registry): registry.add('op', 'a', 'b:c', config='lost_plugin.configs:C', summary='d')",
             "op 'a', config='lost_plugin.configs:C': there is no module 'lost_plugin.configs'"),
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
    lines = "".join("    " + LINE.format(name=name, package="good_plugin") + "\n" for name in ("mine", "transpose"))
    install(site, "good", "def declare(registry):\n" + lines + "def work(x): return x")
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    return {"PYTHONPATH": path, "TOOLKIT_PLUGINS": ",".join(["good", *WRONG])}


def test_each_wrong_plugin_is_shown_with_its_reason_and_harms_nothing(toolkit: Any, around: dict[str, str]) -> None:
    rows = {row["distribution"]: row for row in toolkit.json("plugins", **around)}
    for name, (_, reason) in WRONG.items():
        assert rows[name]["status"] == "broken" and reason in rows[name]["reason"] and rows[name]["remedy"], rows[name]
    assert rows["good"]["status"] == "ok" and rows["good"]["components"] == ["op mine", "op transpose"]
    listed = {row["id"]: row["status"] for row in toolkit.json("list", **around)}
    assert listed["good/mine"] == listed["toolkit/dqn"] == "ok"
    assert listed["good/transpose"] == "name taken: transpose means the built-in toolkit/transpose, not this. " \
                                    "Remedy: write good/transpose, or ask the authors of good to rename it"
    only = {row["id"] for row in toolkit.json("list", **{**around, "TOOLKIT_PLUGINS": "0"})}
    assert "toolkit/dqn" in only and "good/mine" not in only


def test_one_that_is_broken_is_named_where_its_component_is_asked_for(tmp_path: Path, toolkit: Any) -> None:
    install(tmp_path, "torn", "def declare(registry): raise ValueError('no luck')")
    around = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]), "TOOLKIT_PLUGINS": "torn"}
    run = ("run", "tabular-regression", "--data", "diabetes", "--loss", "my-loss")
    for words in (run, ("info", "my-loss"), ("check", "my-loss"), ("check", "torn")):
        done = toolkit(*words, **around)
        assert done.returncode == 2 and done.stderr.endswith(". torn is broken; see: toolkit plugins\n"), done.stderr
    for words in (run, ("info", "my-loss")):
        said = toolkit(*words, **{**around, "TOOLKIT_PLUGINS": "0"}).stderr
        assert re.search(r"\. TOOLKIT_PLUGINS=0 leaves out (.* and )?torn\b", said), said
    said = toolkit("plugins", **{**around, "TOOLKIT_PLUGINS": "nope"}).stderr
    assert said.startswith("TOOLKIT_PLUGINS=nope leaves out what is installed: ") and "torn" in said
    assert "Unset it, or name some of them" in said


def test_what_it_writes_to_stderr_may_be_in_any_encoding(tmp_path: Path, toolkit: Any) -> None:
    install(tmp_path, "loud", "import sys\ndef declare(registry):\n    sys.stderr.buffer.write(b'caf\\xe9\\n')\n    "
                              + LINE.format(name="mine", package="loud_plugin") + "\ndef work(x): return x")
    around = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]), "TOOLKIT_PLUGINS": "loud"}
    (row,) = toolkit.json("plugins", **around)
    assert (row["status"], row["components"]) == ("ok", ["op mine"])


def test_the_folder_that_one_stands_in_is_not_read_from(tmp_path: Path, toolkit: Any) -> None:
    """What is read is kept for every folder: a stray file must not break it, nor a source that is not installed be listed."""
    site = tmp_path / "site"
    site.mkdir()
    line = LINE.format(name="mine", package="mine_plugin")
    install(site, "mine", f"def declare(registry):\n    {line}\ndef work(x): return x")
    (tmp_path / "json.py").write_text("print('hi')")
    (tmp_path / "mine_plugin.py").write_text("def declare(registry): raise ValueError('not what is installed')")
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))  # an empty one is the present folder
    around = {"TOOLKIT_PLUGINS": "mine", "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-P", "-m", "toolkit", "plugins", "--json"], cwd=tmp_path, capture_output=True,
                          text=True, env={**toolkit.environment, **around}, check=False)
    (row,) = json.loads(done.stdout)
    assert (row["status"], row["components"]) == ("ok", ["op mine"]), row


PRESETS = '[tuned.here]\nlearning_rate = 0.5\n[wrong."here"]\nlerning_rate = 1\n[low.here]\nlearning_rate = -1.0\n'


def test_presets_of_a_plugin_go_by_both_names_of_its_environment_and_say_where_they_err(tmp_path: Path, toolkit: Any) -> None:
    env = "registry.add('env', 'here', 'gymnasium.envs.classic_control:CartPoleEnv', summary='Balance.')\n"
    agent = AGENT.format(name="mine", by="mine", aliases=())[:-2] + ", presets='mine_presets:its.toml')\n"
    install(tmp_path, "mine", "def declare(registry):\n    " + env + agent)
    (tmp_path / "mine_presets").mkdir()
    (tmp_path / "mine_presets" / "__init__.py").write_text("")
    (tmp_path / "mine_presets" / "its.toml").write_text(PRESETS)
    around = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]), "TOOLKIT_PLUGINS": "mine"}
    for name in ("here", "mine/here"):
        facts = toolkit.json("run", "mine/mine", "--env", name, "--print-config", **around)
        assert facts["config"]["learning_rate"] == {"value": 0.5, "origin": "preset"} and facts["preset"] == "tuned"
    for preset, said in (("wrong", "unknown setting 'lerning_rate'. Did you mean"), ("low", "allowed: a number above 0")):
        done = toolkit("run", "mine", "--env", "here", "--preset", preset, **around)
        assert done.returncode == 2 and said in done.stderr
        assert f"the preset {preset!r} of mine/mine, in {tmp_path}" in done.stderr
        assert done.stderr.rstrip().endswith("Leave it out: --preset none"), done.stderr


def test_code_that_is_not_python_is_said_where_the_component_is_described(tmp_path: Path, toolkit: Any) -> None:
    install(tmp_path, "torn", "def declare(registry):\n    registry.add('op', 'mine', 'torn_code:work', summary='Works.')")
    (tmp_path / "torn_code.py").write_text("def work(:\n")
    around = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]), "TOOLKIT_PLUGINS": "torn"}
    done = toolkit("info", "mine", **around)
    assert done.returncode == 0 and "torn_code.py is not Python: invalid syntax" in done.stdout, done.stderr


def test_one_that_hangs_is_stopped_at_the_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toolkit: Any) -> None:
    install(tmp_path, "hangs", "import time\ndef declare(registry): time.sleep(600)")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    outcome = plugins.read(plugins.Guest("hangs", "1.0", "hangs_plugin:declare"), time_limit=2.0)
    assert outcome["broken"]["reason"] == "hangs_plugin:declare did not return within 2 s"
    assert f"at most {plugins.TIME_LIMIT:g} s each" in " ".join(toolkit("plugins", "--help").stdout.split())


AGENT = ("    registry.add('agent', {name!r}, 'toolkit.agents.dqn:DQN', config='toolkit.agents.configs:DQNConfig', "
         "accepts=('Discrete',), summary='Of {by}.', aliases={aliases!r})\n")


def test_names_that_others_have_are_shown_and_take_nothing_away(tmp_path: Path) -> None:
    # An agent with a built-in's name, one with a built-in's alias, one whose own alias is a built-in task, two with one new name.
    declared = {"greedy": (("dqn", ()), ("a2c", ()), ("fine", ("audio-classification",))), "one": (("novel", ("shared",)),),
                "two": (("novel", ()), ("shared", ()))}
    for name, agents in declared.items():
        install(tmp_path, name, "def declare(registry):\n" + "".join(
            AGENT.format(name=agent, by=name, aliases=aliases) for agent, aliases in agents))
    around = Toolkit(tmp_path, tmp_path, "greedy,one,two")
    listed = {row["id"]: row["status"] for row in around.json("list")}
    for name, owner in (("dqn", "dqn"), ("a2c", "actor-critic")):
        assert listed[f"greedy/{name}"] == (f"name taken: {name} means the built-in toolkit/{owner}, not this. "
                                            f"Remedy: write greedy/{name}, or ask the authors of greedy to rename it")
    assert "audio-classification means the built-in" in listed["greedy/fine"] and "Remedy: write fine," in listed["greedy/fine"]
    assert "novel alone is refused: two/novel has it too" in listed["one/novel"] and "write one/novel" in listed["one/novel"]
    assert "shared alone is refused: two/shared has it too" in listed["one/novel"]
    assert "shared alone is refused: one/novel has it too" in listed["two/shared"]
    assert listed["toolkit/dqn"] == listed["toolkit/actor-critic"] == "ok"
    shown = around("list", "agent").stdout
    assert "[name taken: dqn means the built-in" in shown
    rows = {row["distribution"]: row for row in around.json("plugins")}
    assert rows["greedy"]["status"] == "ok" and "a2c means the built-in toolkit/actor-critic" in rows["greedy"]["reason"]
    assert "write greedy/dqn" in rows["greedy"]["remedy"] and "write two/novel" in rows["two"]["remedy"]
    for word, summary in (("dqn", "Deep Q-learning"), ("a2c", "Synchronous advantage"), ("greedy/dqn", "Of greedy."),
                          ("two/shared", "Of two."), ("fine", "Of greedy.")):
        assert summary in around("info", "agent", word).stdout, word
    for word, ids in (("novel", "one/novel or two/novel"), ("shared", "one/novel or two/shared")):
        refused = around("run", word, "--env", "CartPole-v1")
        assert refused.returncode == 2 and f"Write {ids}" in refused.stderr
    words = ("--env", "CartPole-v1", "--preset", "none", "--steps", "40", "--final-episodes", "1")
    assert around.json("run", "dqn", *words, "--out", "theirs")["steps"] == 40
    assert around.json("run", "greedy/dqn", *words, "--out", "mine")["steps"] == 40
    ran = {name: json.loads((around.folder / name / "run.json").read_text())["component"] for name in ("theirs", "mine")}
    assert ran == {"theirs": "toolkit/dqn", "mine": "greedy/dqn"}


def test_one_distribution_with_a_name_and_the_same_alias_is_told_so(tmp_path: Path, toolkit: Any) -> None:
    install(tmp_path, "muddled", "def declare(registry):\n" + AGENT.format(name="mine", by="it", aliases=("other",))
            + AGENT.format(name="other", by="it", aliases=()))
    around = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH", "")])]),
              "TOOLKIT_PLUGINS": "muddled"}
    (row,) = toolkit.json("plugins", **around)
    assert row["status"] == "broken" and row["remedy"] == "rename one of the two"
    assert "agent 'muddled/other' goes by 'other', and so does 'muddled/mine'" in row["reason"]


def test_what_is_not_of_its_kind_is_told_when_it_is_used(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install(site, "odd", "def declare(registry):\n"
                         "    registry.add('command', 'plainly', 'odd_plugin:work', summary='A function.')\n"
                         "    registry.add('command', 'nowhere', 'odd_plugin:wrok', summary='Misspelled.')\n"
                         "    registry.add('optimizer', 'wordy', 'odd_plugin:word', summary='A text.')\n"
                         "def work(): pass\n"
                         "def word(parameters, learning_rate): return 'sgd'")
    around = Toolkit(tmp_path, site, "odd")
    for words, message in (
            (("plainly",), "the command 'odd/plainly' is function 'odd_plugin:work', promised: a click.Command."),
            (("nowhere",), "from 'odd_plugin:wrok': the module 'odd_plugin' has no attribute 'wrok'. Did you mean 'work'?"),
            (("run", "tabular-classification", "--data", "iris", "--optimizer", "wordy"),
             "the optimizer 'wordy' gives str, promised: a torch.optim.Optimizer over the parameters. See")):
        done = around(*words)
        assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert "odd 1.0: ok, 3 components" in around("plugins").stdout
