"""What the documents say is so: the generated tables are current, links lead somewhere, and commands run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


def commands(text: str) -> list[str]:
    """The toolkit commands of a document's ``sh`` blocks, in order, without comments."""
    lines = [line.split("  #")[0].strip() for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.split("\n")]
    return [line for line in lines if line.startswith("toolkit ")]


def test_generated_documents_are_current() -> None:
    done = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def python(text: str) -> str:
    """The first ``python`` block of a document."""
    block = re.search(r"```python\n(.*?)```", text, re.S)
    assert block is not None
    return block[1]


def test_the_commands_of_runs_md_run(toolkit: Any) -> None:
    """With short budgets, each still beyond that of the run which it goes on from."""
    shorter = {"3000": "1200", "4000": "1600", "2000": "1024", "300": "150", "1000": "512"}
    for command in commands((ROOT / "docs" / "runs.md").read_text()):
        command = re.sub(r"--steps (\d+)", lambda steps: f"--steps {shorter[steps[1]]}", command)
        words = command.split()[1:]
        if words[0] == "run":
            words += ["--final-episodes", "5", "--evaluation-episodes", "2", "--threads", "1"]
        done = toolkit(*words)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_the_commands_of_hearing_md_run(toolkit: Any) -> None:
    """With short budgets, tones for words, noises for a recogniser: what is written takes minutes and may make speech first."""
    for command in commands((ROOT / "docs" / "hearing.md").read_text()):
        command = command.replace("--data spoken-commands --epochs 2",
                                  "--data synthetic-sounds --data.count 100 --data.held-out 20 --preset none --steps 64")
        words = command.replace("--episodes 200", "--episodes 4").split()[1:]
        if "audio-classification" in words:
            words += ["--threads", "1"]
        elif words[0] == "run":
            words += ["--steps", "256", "--n-envs", "8", "--n-steps", "16", "--batch-size", "64", "--final-episodes", "4",
                      "--evaluation-episodes", "2", "--evaluate-every", "256", "--threads", "1"]
            words += ["--env.words", "tones"] if "HearAndGo" in command else []
        done = toolkit(*words, *([] if words[0] == "run" or "--episodes" in words else ["--episodes", "4"]))
        assert done.returncode == 0, f"{command}: {done.stderr}"
    assert (toolkit.folder / "obeys.mp4").stat().st_size > 1000


def test_the_commands_of_plugins_md_run(toolkit: Any) -> None:
    for command in commands((ROOT / "docs" / "plugins.md").read_text()):
        done = toolkit(*command.split()[1:])
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def test_the_python_of_plugins_md_runs(toolkit: Any) -> None:
    """As a program's main part: the copies are processes that its main module is imported in."""
    # What it promises: the last observation of an episode is there.
    code = python((ROOT / "docs" / "plugins.md").read_text()) + (
        "after = env.rollout(62, break_when_any_done=False)['next']\n"
        "print(float(after['sound'][after['done'][..., 0]].std()))")
    (toolkit.folder / "block.py").write_text(f"if __name__ == '__main__':\n    exec({code!r})\n")
    done = toolkit(module="block")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.001


def test_the_commands_of_the_readme_run(toolkit: Any) -> None:
    """After its first command, made shorter here, has left a run."""
    assert toolkit("run", "dqn", "--env", "CartPole-v1", "--steps", "1500", "--final-episodes", "5").returncode == 0
    for command in commands((ROOT / "README.md").read_text()):
        words = command.replace("--steps 100000", "--steps 2000").replace("--episodes 100", "--episodes 5").split()[1:]
        done = toolkit(*words)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_the_python_of_the_readme_runs(toolkit: Any) -> None:
    code = python((ROOT / "README.md").read_text()).replace("steps=50_000", "steps=1500, final_episodes=5")
    (toolkit.folder / "block.py").write_text(code)
    done = toolkit(module="block")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 5
