"""``toolkit new-plugin DIR --kind KIND``: a small distribution that installs, passes its tests and runs at once."""

from __future__ import annotations

import re
from pathlib import Path

import click

from toolkit.commands import _output as output
from toolkit.errors import ToolkitError, UsageError

TEMPLATES = Path(__file__).parent / "templates"
# kind: its config, what it accepts, its summary, and the command that tries it.
CONFIGS = {
    "agent": '''learning_rate: float = setting(3e-3, "Adam's step size", above=0)
    gamma: float = setting(0.99, "discount factor; higher looks further ahead", minimum=0, maximum=1)
    n_steps: int = setting(8, "steps of each environment in one rollout", unit="steps", minimum=1)
    network: Part = part("network", "mlp", "the body of policy and value")''',
    "env": '''length: int = setting(10, "steps from one end to the other", unit="steps", minimum=1)''',
}
FACTS = {
    "agent": (', accepts=("Discrete",)', "Policy gradient with a learned baseline.",
              "toolkit run {name} --env CartPole-v1 --n-envs 8 --steps 50000"),
    "env": ("", "A corridor to walk along.", "toolkit run ppo --env {name} --preset none --steps 5000"),
}
# What the suite may spend on learning: an update needs a rollout, so many short ones.
SUITES = {"agent": '    learning_options = {"n_steps": 8, "learning_rate": 1e-2}\n', "env": ""}
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@click.command("new-plugin")
@click.argument("directory", metavar="DIR")
@click.option("--kind", type=click.Choice(sorted(CONFIGS)), required=True, help="What the plugin adds.")
@click.option("--name", help="The component's name; without it the folder's.")
@output.json_option
def new_plugin_command(directory: str, kind: str, name: str | None, as_json: bool) -> None:
    """Write a plugin with one component into DIR: metadata, declaration, code, a test of all its promises, README.

    \b
    toolkit new-plugin my-agent --kind agent
    """
    path = Path(directory)
    chosen = name or path.resolve().name
    if not NAME.fullmatch(chosen):
        raise UsageError(f"new-plugin: the name {chosen!r} is not allowed: small letters, digits and single hyphens, "
                         "beginning with a letter. Give another with --name")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"new-plugin {directory}: it exists and is not an empty folder; nothing is overwritten")
    written = write(path, files_of(kind, chosen))
    if as_json:
        output.emit({"directory": str(path.resolve()), "name": chosen, "kind": kind, "files": written})
        return
    print("\n".join(str(path / item) for item in written))
    output.talk(f"next: pip install -e {directory} && toolkit check {chosen} && {FACTS[kind][2].format(name=chosen)}")


def files_of(kind: str, name: str) -> dict[str, str]:
    """Every file of the distribution by its path."""
    package, title = name.replace("-", "_") + "_plugin", "".join(word.capitalize() for word in name.split("-"))
    accepts, summary, command = FACTS[kind]
    code = (TEMPLATES / f"{kind}.py").read_text(encoding="utf-8")
    code = code.replace("class Component", f"class {title}").replace('"component"', f'"{name}"')
    needs = "Part, part, setting" if "part(" in CONFIGS[kind] else "setting"
    return {
        "setup.cfg": f"[metadata]\nname = toolkit-{name}\nversion = 0.1.0\ndescription = {summary}\n\n[options]\n"
                     f"packages = {package}\npython_requires = >=3.11\n\n[options.entry_points]\n"
                     f"toolkit.plugins =\n    {name} = {package}:declare\n",
        "pyproject.toml": '[build-system]\nrequires = ["setuptools>=64"]\nbuild-backend = "setuptools.build_meta"\n',
        f"{package}/__init__.py": f'"""What this distribution adds to toolkit. Nothing heavy is imported here."""\n\n\n'
                                  f'def declare(registry):\n    """One line a component."""\n'
                                  f'    registry.add("{kind}", "{name}", "{package}.{kind}:{title}", '
                                  f'config="{package}.configs:{title}Config",\n                 summary="{summary}"{accepts})\n',
        f"{package}/configs.py": f'"""Every setting: these are the flags."""\n\nfrom dataclasses import dataclass\n\n'
                                 f'from toolkit.config import {needs}\n\n\n@dataclass(frozen=True)\nclass {title}Config:\n'
                                 f'    """{summary}"""\n\n    {CONFIGS[kind]}\n',
        f"{package}/{kind}.py": code,
        f"tests/test_{package}.py": f'"""All that toolkit promises of its components, proven for this one."""\n\n'
                                    f'from toolkit.testing import {kind.capitalize()}Suite\n\n\n'
                                    f'class Test{title}({kind.capitalize()}Suite):\n    name = "{name}"\n{SUITES[kind]}',
        "README.md": f"# toolkit-{name}\n\n{summary}\n\n    pip install -e .\n    toolkit check {name}\n"
                     f"    python -m pytest\n    {command.format(name=name)}\n",
    }


def write(path: Path, files: dict[str, str]) -> list[str]:
    try:
        for name, text in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ToolkitError(f"new-plugin {path}: it cannot be written: {error.strerror or error}") from error
    return list(files)
