"""``toolkit new-plugin DIR --kind KIND``: a small distribution that installs, passes its tests and runs at once."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from pathlib import Path

import click

from toolkit.commands import _output as output
from toolkit.errors import ToolkitError, UsageError
from toolkit.files import occupied
from toolkit.registry import registry

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Template:
    """What a plugin of one kind is made of, beside its code in ``templates/KIND.py``.

    ``settings`` is the body of its config class (empty: it has none), over ``base``, a class to import; ``accepts`` what its
    declaration says; ``trial`` the command that runs it; ``suite`` what its test sets.
    """

    summary: str
    trial: str
    settings: str = ""
    base: str = ""
    accepts: tuple[str, ...] = ()
    suite: str = ""


KINDS = {
    "agent": Template(
        "Policy gradient with a learned baseline.", "toolkit run {name} --env CartPole-v1 --n-envs 8 --steps 50000",
        '''learning_rate: float = setting(3e-3, "Adam's step size", above=0)
    gamma: float = setting(0.99, "discount factor; higher looks further ahead", minimum=0, maximum=1)
    n_steps: int = setting(32, "steps of each environment in one rollout", unit="steps", minimum=1)
    network: Part = part("network", "mlp", "the body of policy and value")''',
        accepts=("Discrete",),
        # What the suite may spend on learning: an update needs a rollout, so many short ones.
        suite='    learning_options = {"n_steps": 8, "learning_rate": 1e-2}\n'),
    "buffer": Template(
        "Replay that prefers what is new.", "toolkit run dqn --env CartPole-v1 --buffer {name} --steps 20000",
        'emphasis: float = setting(2.0, "1 draws all steps alike; 2 draws half from the newest quarter", minimum=1)',
        base="toolkit.agents.configs.UniformConfig"),
    "dataset": Template(
        "Two spirals that wind around each other.", "toolkit run tabular-classification --data {name}",
        '''count: int = setting(1000, "of each split", unit="points", minimum=2)
    turns: float = setting(1.0, "of a spiral from its middle to its end", above=0)
    noise: float = setting(0.02, "deviation of a point; a spiral ends at 1", minimum=0)
    seed: int = setting(0, "of the draws", minimum=0)'''),
    "env": Template(
        "A corridor to walk along.", "toolkit run ppo --env {name} --preset none --steps 5000",
        'length: int = setting(10, "steps from one end to the other", unit="steps", minimum=1)'),
    "network": Template(
        "Layers with a way around each.", "toolkit run dqn --env CartPole-v1 --network {name} --steps 20000",
        '''width: int = setting(64, "of every layer", unit="units", minimum=1)
    blocks: int = setting(2, "layers with a way around", minimum=0)'''),
    "frontend": Template(
        "The loudness of a few bands of equal width.",
        "toolkit run audio-classification --data synthetic-sounds --frontend {name}",
        '''sample_rate: int = setting(16000, "rate of the waveforms", unit="Hz", minimum=1)
    n_fft: int = setting(512, "samples that one spectrum is taken of", unit="samples", minimum=2)
    hop_length: int = setting(256, "samples from one frame to the next", unit="samples", minimum=1)
    bands: int = setting(32, "of equal width, from 0 to half the rate", minimum=1)
    floor: float = setting(1e-8, "keeps the logarithm finite", above=0)'''),
    "loss": Template(
        "Squared near zero, a line further out, smooth in between.",
        "toolkit run tabular-regression --data diabetes --loss {name}",
        'scale: float = setting(1.0, "errors well below it count squared, those well above as a line", above=0)'),
    "model": Template(
        "Convolutions over the frames of sound.", "toolkit run audio-classification --data synthetic-sounds --model {name}",
        '''channels: int = setting(64, "of every layer", minimum=1)
    layers: int = setting(3, "convolutions with a way around", minimum=0)
    dropout: float = setting(0.1, "share dropped before the output layer", minimum=0, below=1)''',
        accepts=("clip", "frames")),
    "tokenizer": Template(
        "Text in pairs of letters.", "toolkit run text-classification --data FILE.csv --tokenizer {name}",
        'letters: int = setting(2, "of a piece", unit="letters", minimum=1)', base="toolkit.nlp.configs.VocabularyConfig"),
    "op": Template("Soft thresholding.", "toolkit op {name} --values=-2,0.25,1"),
    "transform": Template(
        "An echo.", "toolkit run audio-classification --data synthetic-sounds --transforms {name}",
        '''delay: tuple[float, ...] = setting((0.05, 0.3), "of the echo; two numbers: drawn between them", unit="s", minimum=0)
    level: tuple[float, ...] = setting((-20.0, -6.0), "of the echo; two numbers: drawn between them", unit="dB", maximum=0)
    sample_rate: int = setting(16000, "rate of the waveforms", unit="Hz", minimum=1)''',
        base="toolkit.audio.transforms.configs.RandomConfig"),
    "vocoder": Template(
        "Convolutions and an inverse Fourier transform.",
        "toolkit run vocoder --model {name} --data synthetic-sounds --steps 5000 --warm-up 5000 --learning-rate 2e-3",
        '''channels: int = setting(128, "of every layer", minimum=1)
    layers: int = setting(3, "convolutions with a way around", minimum=0)''',
        base="toolkit.audio.vocoder_configs.VocoderConfig"),
    "task": Template(
        "A number of each row that a share of the rows lies below.", "toolkit run {name} --data FILE.csv --target COLUMN",
        'quantile: float = setting(0.5, "share of the rows that lie below", above=0, below=1)',
        base="toolkit.core.configs.TabularRegressionConfig"),
}
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@click.command("new-plugin")
@click.argument("directory", metavar="DIR")
@click.option("--kind", type=click.Choice(sorted(KINDS)), required=True, help="What the plugin adds.")
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
    if keyword.iskeyword(chosen) or keyword.iskeyword(chosen.capitalize()):
        raise UsageError(f"new-plugin: the name {chosen!r} is not allowed: it is a word of Python's. Give another with --name")
    if any(chosen in (entry.name, *entry.aliases) for entry in registry.entries(kind, plugins=False)):
        raise UsageError(f"new-plugin: the name {chosen!r} is not allowed: it means a built-in {kind}. Give another with --name")
    if occupied(path):
        raise UsageError(f"new-plugin {directory}: it exists and is not an empty folder; nothing is overwritten")
    written = write(path, files_of(kind, chosen))
    if as_json:
        output.emit({"directory": str(path.resolve()), "name": chosen, "kind": kind, "files": written})
        return
    print("\n".join(str(path / item) for item in written))
    output.talk(f"next: pip install -e {directory} && toolkit check {chosen} && {KINDS[kind].trial.format(name=chosen)}")


def files_of(kind: str, name: str) -> dict[str, str]:
    """Every file of the distribution by its path."""
    template = KINDS[kind]
    package, title = name.replace("-", "_") + "_plugin", "".join(word.capitalize() for word in name.split("-"))
    function = name.replace("-", "_")  # of an op, which is a function
    code = (TEMPLATES / f"{kind}.py").read_text(encoding="utf-8")
    for mine, theirs in (("class Component", f"class {title}"), ('"component"', f'"{name}"'), ("component(", f"{function}(")):
        code = code.replace(mine, theirs)
    found = {
        "setup.cfg": f"[metadata]\nname = toolkit-{name}\nversion = 0.1.0\ndescription = {template.summary}\n\n[options]\n"
                     f"packages = {package}\npython_requires = >=3.11\n\n[options.entry_points]\n"
                     f"toolkit.plugins =\n    {name} = {package}:declare\n",
        "pyproject.toml": '[build-system]\nrequires = ["setuptools>=64"]\nbuild-backend = "setuptools.build_meta"\n',
        f"{package}/__init__.py": declaration(template, kind, name, package, function if kind == "op" else title, title),
        f"{package}/{kind}.py": code,
        f"tests/test_{package}.py": f'"""All that toolkit promises of its components, proven for this one."""\n\n'
                                    f'from toolkit.testing import {kind.capitalize()}Suite\n\n\n'
                                    f'class Test{title}({kind.capitalize()}Suite):\n    name = "{name}"\n{template.suite}',
        "README.md": f"# toolkit-{name}\n\n{template.summary}\n\n    pip install -e .\n    toolkit check {name}\n"
                     f"    python -m pytest\n    {template.trial.format(name=name)}\n",
    }
    if template.settings:
        found[f"{package}/configs.py"] = settings_file(template, title)
    return found


def declaration(template: Template, kind: str, name: str, package: str, target: str, title: str) -> str:
    """The package's ``__init__``."""
    config = f'config="{package}.configs:{title}Config", ' if template.settings else ""
    accepts = f", accepts={template.accepts!r}".replace("'", '"') if template.accepts else ""
    return (f'"""What this distribution adds to toolkit. Nothing heavy is imported here."""\n\n\n'
            f'def declare(registry):\n    """One line a component."""\n'
            f'    registry.add("{kind}", "{name}", "{package}.{kind}:{target}",\n'
            f'                 {config}summary="{template.summary}"{accepts})\n')


def settings_file(template: Template, title: str) -> str:
    """The config class; its fields are the flags."""
    needs = "Part, part, setting" if "part(" in template.settings else "setting"
    module, _, base = template.base.rpartition(".")
    imported = sorted([f"from toolkit.config import {needs}", *([f"from {module} import {base}"] if base else [])])
    return ('"""Every setting: these are the flags."""\n\nfrom dataclasses import dataclass\n\n'
            + "\n".join(imported) + f'\n\n\n@dataclass(frozen=True)\n'
            f'class {title}Config{f"({base})" if base else ""}:\n    """{template.summary}"""\n\n    {template.settings}\n')


def write(path: Path, files: dict[str, str]) -> list[str]:
    try:
        for name, text in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ToolkitError(f"new-plugin {path}: it cannot be written: {error.strerror or error}") from error
    return list(files)
