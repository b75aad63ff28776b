"""The command line in real processes: answers, errors, exit codes, and what is not imported."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Event

import pytest
from conftest import Server, Toolkit

from toolkit.cli import exit_code
from toolkit.commands import doctor
from toolkit.commands._output import evaluation_rows, session_text, table
from toolkit.commands._settings import in_flags

BLOCKED = ("torch", "numpy", "gymnasium", "librosa", "rich")


@functools.cache
def light_server() -> Server:
    """Where the heavy libraries cannot be imported, from the first line on."""
    block = Path(tempfile.mkdtemp())
    (block / "sitecustomize.py").write_text(
        "import sys\nclass Block:\n    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {BLOCKED!r}:\n            raise ImportError('blocked: ' + name)\n"
        "sys.meta_path.insert(0, Block())\n")
    return Server("light", "light", PYTHONPATH=f"{block}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


def light(toolkit: Toolkit, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a process that none of the heavy libraries is in or comes into."""
    return light_server().run(60, words, module="toolkit", folder=str(toolkit.folder), environment=toolkit.environment, sites=[])


@pytest.mark.parametrize("words", [
    ("--help",), ("--version",), ("list",), ("list", "agents"), ("list", "--json"), ("info", "dqn"), ("info", "network", "mlp"),
    ("run", "--help"), ("run", "dqn", "--help"), ("run", "ppo", "--network", "nature-cnn", "--help"), ("resume", "--help"),
    ("evaluate", "--help"), ("doctor", "--help"), ("plugins",), ("run", "dqn", "--env", "CartPole-v1", "--print-config")])
def test_answers_about_names_and_flags_import_nothing_heavy(toolkit: Toolkit, words: tuple[str, ...]) -> None:
    done = light(toolkit, *words)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("words", "message"), [
    (("rnu",), "Did you mean 'run'"),
    (("run", "dqm", "--env", "CartPole-v1"), "unknown agent or task 'dqm'. Did you mean 'dqn'"),
    (("run", "dqn", "--env", "CartPole-v1", "--device", "gpu"), "allowed: one of auto, cpu, cuda. Did you mean 'cuda'?\n"),
    (("run", "dqn", "--lerning-rate", "1"), "Did you mean '--learning-rate'"),
    (("run", "dqn", "--env", "CartPole-v1", "--learning_rate", "-1"), "toolkit: --learning-rate: got -1.0, allowed: a number"),
    (("run", "dqn", "--env", "CartPole-v1", "--network.hiden-sizes", "3"),
     "'--network.hiden-sizes'. Did you mean '--network.hidden-sizes'? Allowed: --network.activation, --network.hidden-sizes"),
    (("run", "dqn", "--env", "CartPole-v1", "--network.hidden-sizes", "0"), "--network.hidden-sizes: got 0, allowed: whole"),
    (("run", "dqn", "--env", "CartPole-v1", "--network", "mpl"), "Did you mean 'mlp'"),
    (("run", "dqn", "--env", "CartPole-v1", "--network.nonsense", "3"), "unknown setting '--network.nonsense'. Allowed: --netw"),
    (("run", "dqn", "--env", "CartPole-v1", "--network.frontend.n-mels", "3"),
     "unknown setting '--network.frontend.n-mels'. Allowed: --network.activation, --network.hidden-sizes, --network.layer-norm. "
     "It belongs to hearing: --network hearing.\n"),
    (("run", "audio-classification", "--data", "spoken-digits", "--model.width", "3"),
     "--model.time-strides. It belongs to conformer or streaming-conformer or transformer or wav2vec2: --model conformer.\n"),
    (("run", "audio-classification", "--model", "hifigan-v9"),
     "toolkit: unknown model 'hifigan-v9'. Allowed here: conformer, conv-pool, crnn, streaming-conformer, tdnn, transformer, "
     "wav2vec2. See: toolkit info model NAME\n"),
    (("run", "text-classification", "--model", "crnn"),
     "toolkit: --model: the model 'crnn' is not one for text: it is for clip, frames. Allowed here: bert, gru-classifier, "),
    (("run", "speech-recognition", "--model", "transformer-lm"), "one for frames: it is for next. Allowed here: conformer, crnn"),
    (("run", "tabular-regression", "--loss", "cross-entropy"), "'cross-entropy' is not one for numbers: it is for classes."),
    (("run", "dqn", "--env", "CartPole-v1", "--buffer", "rolout"), "unknown buffer 'rolout'. Allowed here: n-step, prioritized"),
    (("run", "ppo", "--learning-rate-schedule", "plateau"), "--learning-rate-schedule: the scheduler 'plateau' is not one for"),
    (("run", "vocoder", "--model", "griffin-lim"), "it has nothing to learn; use it as it is: toolkit audio vocode griffin-lim"),
    (("run", "dqn", "--env", "CartPole-v1", "--clip-range", "0.2"),
     "toolkit: --clip-range is an option of ppo, sb3-ppo, torchrl-ppo; dqn has --learning-rate, --learning-rate-schedule, "),
    (("run", "text-classification", "--tokenizr.size", "3"), "text-classification has no option '--tokenizr.size'. Did you mean"),
    (("run", "tabular-regression", "--tokenizer.size", "3"), "--tokenizer.size is an option of masked-language-model, "),
    (("run", "dqn", "--env", "CartPole-v1", "--preset", "zo"), "Did you mean 'zoo'"),
    (("run", "dqn", "CartPole-v1"), "run takes one NAME, here dqn, and everything else as a flag; got 'CartPole-v1'. "
                                    "Did you mean --env CartPole-v1?\n"),
    (("run", "ppo", "--env", "CartPole-v1", "--total-timesteps", "9"), "Did you mean '--steps'?"),
    (("run", "dqn", "--env", "CartPole-v1", "--lr", "1"), "dqn has no option '--lr'. Did you mean '--learning-rate'? See"),
    (("run", "dqn", "--env", "CartPole-v1", "-lr", "1"), "dqn has no option '-lr'. Did you mean '--learning-rate'? See them all"),
    (("run", "text-classification", "--data", "nope"), "toolkit: unknown dataset 'nope'. Allowed here: bracket-tagging, "),
    (("run", "text-clasification"), "See them all: toolkit list agent, toolkit list task\n"),
    (("run", "dqn", "--data", "foo"), "dqn is an agent and learns in an environment: --env ID. --data is for tasks"),
    (("run", "text-classification", "--env", "x"), "is a task and learns from data"),
    (("run", "lstm-classifier", "--data", "x.csv"), "is a model. A run takes it as --model lstm-classifier"),
    (("run", "dqn", "--env", "CartPole-v1", "--double", "maybe"), "--double: got 'maybe', allowed: true or false."),
    (("run", "dqn", "--env", "CartPole-v1", "--no-double=true"),
     "--no-double=true: --no-double takes no value. Allowed: --no-double, or --double true\n"),
    (("run", "dqn", "--network", "--env", "CartPole-v1"), "--network needs a value: the name of a network (see: toolkit list"),
    (("run", "dqn", "--network"), "--network needs a value: the name of a network"),
    (("run", "dqn", "--env", "CartPole-v1", "--steps", "inf"), "toolkit: --steps: got 'inf', allowed: a whole number at least 1"),
    (("check", "dqn", "--suite", "x"), "--suite x: allowed is NAME=VALUE"),
    (("run", "dqn"), "needs an environment: toolkit run dqn --env CartPole-v1"),
    (("run", "dqn", "--env", "CartPole-v1", "--config", "none.toml"), "--config none.toml: it cannot be read"),
    (("info", "nothing"), "unknown"),
    (("info", "dnq"), "unknown component 'dnq'. Did you mean 'dqn' (agent) or 'tdnn' (model)? See them all: toolkit list\n"),
    (("info", "CartPole-v1"), "unknown component 'CartPole-v1'. See them all: toolkit list. Of an environment: toolkit check "),
    (("info", "agents"), "'agents' is a kind of component. See its members: toolkit list agent\n"),
    (("new-plugin", "here"), "toolkit: missing option '--kind'. Choose from: agent, "),
    (("evaluate", "latest", "--episods", "3"),
     "no such option '--episods'. Did you mean '--episodes' or '--max-episode-steps' or '--plots'? See: "),
    (("info", "toolkit/dqm"), "Did you mean 'dqn' (agent)"),
    (("info",), "toolkit: missing argument '[KIND] NAME'. See: toolkit info --help\n"),
    (("resume", "latest", "--stps", "3"), "toolkit: no such option"),
    (("resume", "here", "there"), "unexpected extra argument (there). See: toolkit resume --help\n"),
    (("resume", "latest", "--steps", "0"), "toolkit: invalid value for '--steps': 0 is not in the range x>=1. See: toolkit"),
    (("resume", "nowhere"), "not a run"), (("evaluate", "latest"), "there is no run under")])
def test_wrong_usage_is_explained_without_anything_heavy(
        toolkit: Toolkit, words: tuple[str, ...], message: str) -> None:
    done = light(toolkit, *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(("words", "message"), [
    (("run", "dqn", "--env", "CartPole-v2"), "Did you mean 'CartPole-v1'"),
    (("run", "dqn", "--env", "Pendulum-v1"), "dqn acts in Discrete action spaces"),
    (("run", "dqn", "--env", "no_such_package_at_all:Env-v0"),
     "'no_such_package_at_all', which Python does not find. Install the package that it is from (pip install PACKAGE), or"),
    (("run", "dqn", "--env", "CartPole-v1", "--env.no-such-option", "3"), "has no option --env.no-such-option."),
    (("run", "ppo", "--env", "Pendulum-v1", "--env.gravity", "1"),
     "toolkit: environment 'Pendulum-v1' has no option --env.gravity. Allowed: --env.g.\n"),
    (("run", "ppo", "--env", "CartPole-v1", "--env.sutton-reward", "true"), "Did you mean --env.sutton-barto-reward? Allowed:"),
    (("run", "ppo", "--env", "toolkit/HearAndGo-v0", "--env.def", "true"),
     "mean --env.deaf? Allowed: --env.size, --env.words, --env.deaf, --env.held-out, --env.noise, --env.noise-db.\n"),
    (("run", "ppo", "--env", "toolkit/HearAndGo-v0", "--env.noise-db", "nan"),
     "toolkit: --env.noise-db nan: allowed is a finite number of decibels, for example 10\n")])
def test_environments_that_cannot_be_used_are_explained(toolkit: Toolkit, words: tuple[str, ...], message: str) -> None:
    done = toolkit(*words)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_flags_files_and_presets_each_leave_their_origin(toolkit: Toolkit, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("gamma = 0.5\nbatch-size = 7\n[network]\nhidden-sizes = [9]\n")
    rows = toolkit.json("run", "--gamma=0.25", "dqn", "--env", "CartPole-v1", "--config", "mine.toml", "--no-double",
                        "--buffer_size", "10", "--print-config")["config"]
    assert rows["gamma"] == {"value": 0.25, "origin": "flag"}
    assert rows["batch_size"] == {"value": 7, "origin": "file"}
    assert rows["network.hidden_sizes"] == {"value": [9], "origin": "file"}
    assert rows["double"] == {"value": False, "origin": "flag"}
    assert rows["buffer_size"] == {"value": 10, "origin": "flag"}
    assert rows["learning_rate"]["origin"] == "preset"
    assert rows["max_grad_norm"]["origin"] == "default"


@pytest.mark.parametrize(("content", "message"), [
    (b"# caf\xe9\n", "--config mine.toml: byte 5 is not UTF-8; save the file as UTF-8"),
    (b"steps = inf\n", "steps: got inf, allowed: a whole number at least 1"),
    (b"steps = 5\nsteps = 6\n", "it is not valid TOML")])
def test_a_file_that_cannot_be_read_is_explained(toolkit: Toolkit, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "mine.toml").write_bytes(content)
    done = toolkit("run", "dqn", "--env", "CartPole-v1", "--config", "mine.toml")
    assert done.returncode == 2 and message in done.stderr, done.stderr


def test_texts_of_a_file_stay_texts_and_those_of_flags_are_read(toolkit: Toolkit, tmp_path: Path) -> None:
    # Some editors begin a file with three bytes that say UTF-8.
    (tmp_path / "mine.toml").write_bytes(b'\xef\xbb\xbf[env]\nname = "CartPole-v1"\none = "5"\n')
    rows = toolkit.json("run", "dqn", "--config", "mine.toml", "--env.two", "5", "--env.three", "[1, 2]", "--env.four",
                        "2026-01-02", "--print-config")["config"]
    assert [rows[f"env.{name}"]["value"] for name in ("one", "two", "three", "four")] == ["5", 5, [1, 2], "2026-01-02"]


def test_of_two_budgets_that_of_the_stronger_layer_counts(toolkit: Toolkit, tmp_path: Path) -> None:
    words = ("run", "tabular-classification", "--data", "iris", "--config", "mine.toml", "--print-config")
    cases = (("steps = 7", ("--epochs", "2"), None), ("epochs = 7", ("--steps", "2"), 2), ("steps = 7", (), 7))
    for content, flags, steps in cases:
        (tmp_path / "mine.toml").write_text(content)
        assert toolkit.json(*words, *flags)["config"]["steps"]["value"] == steps
    (tmp_path / "mine.toml").write_text("steps = 7\nepochs = 3")
    assert "--steps and --epochs are both given, by the file; allowed: one" in toolkit(*words).stderr


def test_data_of_a_flag_replaces_a_files(toolkit: Toolkit, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('data = "gone.csv"\n')
    rows = toolkit.json("run", "tabular-classification", "--data", "iris", "--config", "mine.toml", "--print-config")["config"]
    assert rows["data"] == {"value": "iris", "origin": "flag"} and "data.path" not in rows


def test_a_value_from_a_file_keeps_the_name_it_has_there(toolkit: Toolkit, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("learning-rate = -1\n")
    done = toolkit("run", "dqn", "--env", "CartPole-v1", "--batch-size", "7", "--config", "mine.toml")
    assert done.stderr.startswith("toolkit: learning_rate: got -1.0, allowed: a number above 0")


def test_errors_about_flags_name_them() -> None:
    known = ["data", "mode", "batch_size", "frontend", "frontend.f_max", "frontend.f_min", "frontend.mode"]
    given = ["data", "frontend.f_max", "batch_size"]
    for message, said in (
            ("f_max: got 3, allowed: above f_min = 4.", "--frontend.f-max: got 3, allowed: above --frontend.f-min = 4."),
            ("batch_size is too large; the mode of /a/batch_size", "--batch-size is too large; the mode of /a/batch_size"),
            ("unknown setting 'f_max'. Allowed: f_min, mode.",
             "unknown setting '--frontend.f-max'. Allowed: --frontend.f-min, --frontend.mode."),
            ("f_min: got 3", "f_min: got 3"), ("data set x has no rows", "data set x has no rows")):
        assert in_flags(message, given, known) == said
    assert in_flags("f_max: got 3", ["a.f_max", "b.f_max"], []) == "f_max: got 3"  # whose is it?


def test_settings_of_a_parts_chosen_part_are_shown(toolkit: Toolkit) -> None:
    words = ("run", "ppo", "--env", "toolkit/KeywordGuard-v0", "--network", "hearing", "--network.frontend", "mfcc")
    shown = toolkit(*words, "--help").stdout
    assert "--network.frontend.n-mfcc N" in shown.partition("Settings of network.frontend mfcc:")[2]


def test_a_setting_of_another_part_names_that_part(toolkit: Toolkit) -> None:
    done = toolkit("run", "ppo", "--env", "CartPole-v1", "--network.init-from", "run")
    assert done.returncode == 2 and done.stderr.strip().endswith("It belongs to hearing: --network hearing.")


def test_splits_of_an_evaluation_have_a_line_each_and_intervals_stand_beside_their_value() -> None:
    summary = {"accuracy": 0.9, "accuracy_low": 0.8, "accuracy_high": 0.95, "loss": 0.25, "accuracy/accent": 0.5,
               "accuracy_low/accent": 0.25, "accuracy_high/accent": 0.75, "f1/cv": 0.5, "f1/cv_low": 0.4, "f1/cv_high": 0.6}
    assert evaluation_rows(summary) == [("", "accuracy 0.9 [0.8, 0.95], loss 0.25"), ("accent", "accuracy 0.5 [0.25, 0.75]"),
                                        ("cv", "f1 0.5 [0.4, 0.6]")]
    assert evaluation_rows({"split": "test", **summary})[0] == ("test", "accuracy 0.9 [0.8, 0.95], loss 0.25")


def test_speeds_are_said_where_they_were_measured() -> None:
    facts = {"run": "here", "steps": 64, "steps_per_second": 0.29, "wall_seconds": 250.0, "train_seconds": 219.2,
             "evaluation": {"split": "test", "accuracy": 0.5}}
    assert "64 (0.29 a second)" in session_text(facts) and "250.0 s, of which 219.2 s training" in session_text(facts)
    assert "(1,234 a second)" in session_text({**facts, "steps_per_second": 1234.4})
    unmeasured = session_text({**facts, "steps_per_second": None, "train_seconds": 0.0})
    assert "a second" not in unmeasured and "training" not in unmeasured


def test_bools_take_values_too(toolkit: Toolkit) -> None:
    rows = toolkit.json("run", "dqn", "--env", "CartPole-v1", "--double", "false", "--preset", "none", "--print-config")["config"]
    assert rows["double"] == {"value": False, "origin": "flag"}
    assert {row["origin"] for name, row in rows.items() if name not in ("double", "env")} == {"default"}


def test_listing_has_the_promised_keys(toolkit: Toolkit) -> None:
    rows = toolkit.json("list", "agent")
    assert {"id", "kind", "name", "summary", "origin", "status"} <= set(rows[0])
    assert "toolkit/dqn" in {row["id"] for row in rows}
    assert {row["name"] for row in toolkit.json("list", "dq")} >= {"dqn"}


def test_a_listing_of_nothing_names_what_is_near(toolkit: Toolkit) -> None:
    done = toolkit("list", "agnet")
    assert done.returncode == 2 and "nothing matches 'agnet'. Did you mean 'agent'" in done.stderr
    assert "there is no env: neither a built-in one nor one of a plugin. Environments are gymn" in toolkit("list", "env").stderr
    assert "nothing matches 'dqm'. Did you mean 'dqn'" in toolkit("list", "agent", "dqm").stderr
    assert toolkit.json("list", "dqm") == []


def test_doctor_prints_each_line_when_it_is_known(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    printed, said = Event(), []
    probes = doctor.Probe("first", "print(1)", "buy one"), doctor.Probe("second", "print(2)", "buy two", required=False)

    def examine(probe: doctor.Probe) -> dict[str, str]:
        status = "ok" if probe.name == "first" or printed.wait(20) else "absent"  # the second ends after the first is printed
        return {"name": probe.name, "status": status, "finding": "found", "remedy": probe.remedy}

    def print_line(line: str, flush: bool) -> None:
        said.append(line)
        printed.set()

    monkeypatch.setattr(doctor, "PROBES", probes)
    monkeypatch.setattr(doctor, "examine", examine)
    monkeypatch.setattr(doctor, "print", print_line, raising=False)
    assert exit_code(["doctor"]) == 0
    assert [line.split() for line in said] == [["first", "ok", "found"], ["second", "ok", "found"]]
    assert exit_code(["doctor", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["first", "second"] and len(said) == 2


def test_tables_have_no_spaces_at_their_ends() -> None:
    assert table([("name", "", "a "), ("n", "rest", "")], indent=2) == "  name        a\n  n     rest"


def test_a_run_is_quiet_when_piped_and_json_is_one_object(toolkit: Toolkit) -> None:
    done = toolkit("run", "dqn", "--env", "CartPole-v1", "--steps", "1200", "--final-episodes", "3", "--out", "here", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert set(facts) == {"run", "steps", "resumed_from", "wall_seconds", "train_seconds", "steps_per_second",
                          "parameters_sha256", "evaluation"}
    assert facts["steps"] == 1200 and facts["resumed_from"] is None and Path(facts["run"]).is_absolute()
    assert set(facts["evaluation"]) == {"mean_return", "std_return", "episodes", "returns"}
    assert done.stderr.count("\n") == 1 and "preset 'tuned'" in done.stderr and not done.stdout.rstrip("\n").count("\n")
    again = toolkit("run", "dqn", "--env", "CartPole-v1", "--out", "here")
    assert again.returncode == 2 and "no run is overwritten" in again.stderr
    judged = toolkit.json("evaluate", "here", "--episodes", "4", "--seed", "9")
    assert judged["episodes"] == 4 == len(judged["returns"])


def test_a_reader_that_has_gone_is_no_failure() -> None:
    process = subprocess.Popen([sys.executable, "-m", "toolkit", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 0


def test_a_pipe_that_is_not_our_output_ends_a_run_with_a_message(toolkit: Toolkit, tmp_path: Path) -> None:
    (tmp_path / "piping.py").write_text(
        "import os, gymnasium\n"
        "class Piping(gymnasium.Wrapper):\n"
        "    def __init__(self): super().__init__(gymnasium.make('CartPole-v1'))\n"
        "    def step(self, action):\n"
        "        reading, writing = os.pipe()\n"
        "        os.close(reading)\n"
        "        os.write(writing, b'to nobody')\n"
        "gymnasium.register('Piping-v0', Piping)\n")
    done = toolkit("run", "ppo", "--env", "piping:Piping-v0", "--steps", "60", "--out", "run")
    assert done.returncode == 1 and "Broken pipe" in done.stderr, done.stderr
    assert "toolkit resume" in done.stderr or "toolkit run" in done.stderr


@pytest.mark.parametrize("workers", ["0", "2"])
def test_json_is_one_object_whatever_an_environment_prints(toolkit: Toolkit, tmp_path: Path, workers: str) -> None:
    (tmp_path / "talking.py").write_text(
        "import os, gymnasium\nprint('imported')\n"
        "class Talking(gymnasium.Wrapper):\n"
        "    def __init__(self): super().__init__(gymnasium.make('CartPole-v1'))\n"
        "    def step(self, action):\n"
        "        print('stepped'); os.write(1, b'from C\\n')\n"
        "        return self.env.step(action)\n"
        "gymnasium.register('Talking-v0', Talking)\n")
    done = toolkit("run", "ppo", "--env", "talking:Talking-v0", "--steps", "60", "--n-steps", "30", "--batch-size", "10",
                   "--n-envs", "2", "--workers", workers, "--final-episodes", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 60
    assert all(text in done.stderr for text in ("imported\n", "stepped\n", "from C\n"))


def test_an_unwritable_folder_is_named(toolkit: Toolkit, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = toolkit("run", "dqn", "--env", "CartPole-v1", "--steps", "10", "--out", "file/inside")
    assert done.returncode == 1
    assert "the run folder file/inside cannot be written" in done.stderr and "--out DIR" in done.stderr
    assert done.stderr.count("\n") == 1, "what is refused has no notes before it"


@pytest.mark.parametrize(("words", "message"), [
    (("ppo", "--n-steps", str(10**13), "--steps", str(10**15)), "Unable to allocate"),
    (("dqn", "--network.hidden-sizes", str(10**13)), "")], ids=["array", "layer"])
def test_more_than_the_memory_is_explained(toolkit: Toolkit, words: tuple[str, ...], message: str) -> None:
    done = toolkit("run", *words, "--env", "CartPole-v1")
    assert done.returncode == 1, done.stderr
    assert f"toolkit: the memory of this machine is not enough: {message}" in done.stderr
    assert "Ask for less" in done.stderr and "Traceback" not in done.stderr


def test_a_budget_within_the_random_steps_is_said_to_teach_nothing(toolkit: Toolkit) -> None:
    done = toolkit("run", "dqn", "--env", "CartPole-v1", "--steps", "10", "--final-episodes", "1")
    assert done.returncode == 0
    assert "nothing is learned in 10 steps: --learning-starts is 1,000. Give more with --steps" in done.stderr
    assert done.stderr.startswith("preset 'tuned' of dqn for CartPole-v1")


@pytest.mark.skipif(os.name != "posix", reason="a program cannot become another there")
def test_wall_time_is_that_of_the_command_and_not_of_the_shell_that_became_it(toolkit: Toolkit, tmp_path: Path) -> None:
    words = "-m toolkit run dqn --env CartPole-v1 --steps 300 --final-episodes 1 --json"
    begin = time.monotonic()
    done = subprocess.run(["sh", "-c", f'sleep 1; exec "{sys.executable}" {words}'], cwd=tmp_path, env=toolkit.environment,
                          capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    assert facts["train_seconds"] < facts["wall_seconds"] <= time.monotonic() - begin - 1


def test_processes_of_tests_put_their_folders_where_they_are_removed() -> None:
    assert Path(tempfile.gettempdir()).name.startswith("toolkit-tests-") and os.environ["TMPDIR"] == tempfile.gettempdir()


def test_a_fork_answers_as_a_new_interpreter_does(toolkit: Toolkit) -> None:
    """Most tests run commands in forks of one process (see `command_server`), which must not be seen in what they say and do."""
    for words in (("list", "agents"), ("info", "dqm"), ("run",), ("evaluate", "latest"), ("doctor", "--help")):
        fork, interpreter = toolkit(*words), toolkit(*words, PYTHONHASHSEED="1")
        assert (fork.returncode, fork.stdout, fork.stderr) == (interpreter.returncode, interpreter.stdout, interpreter.stderr)
    words = ("run", "dqn", "--env", "CartPole-v1", "--preset", "none", "--steps", "200", "--learning-starts", "50",
             "--final-episodes", "2")
    one, other = toolkit.json(*words, "--out", "one"), toolkit.json(*words, "--out", "other", PYTHONHASHSEED="1")
    assert one["parameters_sha256"] == other["parameters_sha256"] and one["evaluation"] == other["evaluation"]
    with pytest.raises(subprocess.TimeoutExpired):
        toolkit(*words[:4], "--steps", "100000000", timeout=0.5)
