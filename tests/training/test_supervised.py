"""Tasks on data, by the command line: they learn, resume to the bit, stop early, and say what is wrong."""

from __future__ import annotations

import functools
import itertools
import json
import random
import re
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import pytest
from click.testing import CliRunner
from dying import Die
from refusals import asked_here
from small_runs import command, copy_of, outcome, rows, shared_run, timeless

import toolkit
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training.checkpoints import Checkpoints
from toolkit.training.data import require_same_data
from toolkit.training.made_with import Outgrown
from toolkit.training.resolve import plan_of

pytest.importorskip("sklearn")
TABLES = ["tabular-classification", "tabular-regression"]


@functools.cache
def table() -> str:
    """A table with gaps, words and numbers; the class follows from them, and so does the number."""
    generator = random.Random(0)
    lines = ["age,town,income,note,risk,score"]
    for _ in range(160):
        age, town = generator.randint(18, 80), generator.choice(["Bonn", "Köln", "Ulm"])
        risk = "high" if age > 50 or town == "Ulm" else "low"
        shown = "" if generator.random() < 0.1 else str(age)
        lines.append(f"{shown},{town},{generator.gauss(3, 1):.2f},same,{risk},{age / 10 + len(town):.1f}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_text(table())
    return path


def run_words(task: str, path: Path, *more: str) -> list[str]:
    target, other = ("risk", "score") if task == "tabular-classification" else ("score", "risk")
    return ["run", task, "--data", str(path), "--target", target, "--ignore", other, "--epochs", "12", "--batch-size", "16",
            "--model.dropout", "0.1", *more]


def finished() -> Path:
    """A finished run of a classification of people, by a file of its own, that tests share and do not change."""
    return shared_run(*run_words(TABLES[0], Path("people.csv")), file="people.csv", text=table())


def test_a_users_table_is_learned_and_the_run_names_it(people: Path, tmp_path: Path) -> None:
    done = command(*run_words(TABLES[0], people, "--epochs", "30", "--json"), cwd=tmp_path).json
    assert done["evaluation"]["accuracy"] >= 0.8
    assert done["steps"] == 30 * 128  # 160 rows less a fifth held out
    assert Path(done["run"]).name.startswith("tabular-classification-people-s0-")
    facts = json.loads((Path(done["run"]) / "run.json").read_text())
    assert facts["config"]["steps"] == {"value": 3840, "origin": "epochs"} and facts["unit"] == "examples"
    again = command("evaluate", "latest", "--json", cwd=tmp_path).json
    assert again == done["evaluation"]


@pytest.mark.parametrize(("task", "die", "extra"), [
    (TABLES[0], Die("step", 700), ()), (TABLES[0], Die("part", 8), ("--scheduler", "plateau")),
    (TABLES[1], Die("step", 500), ("--prefetch", "2", "--accumulate", "2"))], ids=["step", "save", "prefetch"])
def test_a_killed_run_goes_on_to_the_bit(people: Path, tmp_path: Path, task: str, die: Die, extra: tuple[str, ...]) -> None:
    words = run_words(task, people, "--checkpoint-every", "300", *extra)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert command(*words, "--out", str(whole), cwd=tmp_path).code == 0
    assert command(*words, "--out", str(broken), cwd=tmp_path, die=die).code == -9
    assert command("resume", str(broken), cwd=tmp_path).code == 0
    assert outcome(broken) == outcome(whole)


def test_the_last_step_accumulates_no_more_than_the_budget_has_left(people: Path, tmp_path: Path) -> None:
    words = run_words(TABLES[0], people, "--epochs", "2", "--model.dropout", "0", "--json")
    assert command(*words, "--accumulate", "20000", "--out", "far", cwd=tmp_path).json["steps"] == 256
    same = command(*words, "--accumulate", "16", "--out", "all", cwd=tmp_path).json  # 16 batches of 16 rows are the budget
    norms = [[row["train/grad_norm"] for row in rows(tmp_path / name) if "train/grad_norm" in row] for name in ("far", "all")]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4) and len(norms[0]) == 1
    assert same["steps"] == 256


def test_a_stop_between_the_batches_of_a_step_goes_on_to_the_bit(people: Path, tmp_path: Path) -> None:
    words = run_words(TABLES[0], people, "--accumulate", "8")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert command(*words, "--out", str(whole), cwd=tmp_path).code == 0
    stopped = command(*words, "--out", str(broken), cwd=tmp_path, die=Die("supervised batch", 29, (signal.SIGTERM,)))
    assert stopped.code == 128 + signal.SIGTERM and "interrupted at step 384; a checkpoint is saved" in stopped.err
    assert command("resume", str(broken), cwd=tmp_path).code == 0
    assert outcome(broken)["sha256"] == outcome(whole)["sha256"] and timeless(broken) == timeless(whole)


def test_early_stopping_ends_the_run_and_can_be_extended(people: Path, tmp_path: Path) -> None:
    words = run_words(TABLES[0], people, "--epochs", "400", "--patience", "2", "--evaluate-every", "640", "--out", "run",
                      "--json")
    done = command(*words, cwd=tmp_path).json
    assert done["steps"] < 400 * 128
    more = command("resume", "run", "--steps", str(done["steps"] + 128), "--json", cwd=tmp_path).json
    assert more["steps"] == done["steps"] + 128


def test_a_run_is_lengthened_by_epochs_as_it_was_begun(people: Path, tmp_path: Path) -> None:
    words = run_words(TABLES[0], people, "--scheduler", "constant")
    whole = command(*words, "--json", cwd=tmp_path).json
    assert command(*words, "--epochs", "5", "--out", "run", cwd=tmp_path).code == 0
    said = command("resume", "run", cwd=tmp_path)
    assert said.code == 0 and "is finished (640 examples). Extend it: toolkit resume run --epochs N" in said.err
    longer = command("resume", "run", "--epochs", "12", "--json", cwd=tmp_path).json
    assert (longer["steps"], longer["parameters_sha256"]) == (whole["steps"], whole["parameters_sha256"])
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert config["steps"] == {"value": 1536, "origin": "epochs"} and config["epochs"] == {"value": 12.0, "origin": "flag"}
    for more, message in ((("--epochs", "12"), "--epochs 12: these are 1536 examples, and the run is at 1536 already; name a"),
                          (("--epochs", "12", "--steps", "3"), "--steps and --epochs are both given; allowed: one of them")):
        wrong = command("resume", "run", *more, cwd=tmp_path)
        assert wrong.code == 2 and message in wrong.err


def test_the_run_of_an_agent_has_no_epochs(tmp_path: Path) -> None:
    assert command("run", "dqn", "--env", "CartPole-v1", "--steps", "20", "--final-episodes", "1", "--out", "run",
                   cwd=tmp_path).code == 0
    wrong = command("evaluate", "run", "--skip-bad", cwd=tmp_path)
    assert wrong.code == 2 and "--skip-bad does not go with run, the run of an agent" in wrong.err
    wrong = command("resume", "run", "--epochs", "3", cwd=tmp_path)
    assert wrong.code == 2 and "--epochs 3: the budget of dqn is in steps. Extend it: toolkit resume" in wrong.err


def test_a_column_that_is_numbers_but_for_a_few_is_told_of(tmp_path: Path) -> None:
    rows = [f"{number},{'no' if number % 2 else 'yes'}" for number in range(20)]
    (tmp_path / "rows.csv").write_text("\n".join(["x,y", *rows, "inf,yes"]) + "\n")
    done = command("run", "tabular-classification", "--data", "rows.csv", "--target", "y", "--epochs", "1", "--holdout", "0.1",
                   "--split-seed", "1", "--out", "run", cwd=tmp_path)
    assert done.code == 0
    assert "toolkit: column 'x' is read as categories: 1 of its " in done.err
    assert "such as 'inf' in row 22. Correct them, or leave the column out: --ignore x\n" in done.err


def test_an_index_that_pandas_wrote_is_explained(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(",x,y\n0,1,a\n1,2,b\n")
    done = command("run", "tabular-classification", "--data", "rows.csv", "--target", "y", cwd=tmp_path)
    assert done.code == 2 and "save them with index=False" in done.err


def test_changed_data_is_refused_on_resume_and_where_the_run_is_judged(people: Path, tmp_path: Path) -> None:
    words = run_words(TABLES[0], people, "--out", "run")
    assert command(*words, cwd=tmp_path).code == 0
    head, *lines = people.read_text().splitlines()
    people.write_text("\n".join([head, *reversed(lines)]) + "\n")  # as many rows as before, others of them held out
    told = f"the data has changed since the run began: {people} is not what it was."
    for line, advice in (("resume run --steps 9999", "A run resumes on the same data; start a new one, from this one's"),
                         ("evaluate run", f"What a run held out is told by the data as it was: put that back, or judge this as "
                                          f"other data: toolkit evaluate RUN --data {people}\n")):
        done = command(*line.split(), cwd=tmp_path)
        assert done.code == 2 and f"{told} {advice}" in done.err
    assert command("evaluate", "run", "--data", str(people), cwd=tmp_path).code == 0
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    del facts["data_fingerprint"]  # as of a run that was begun before it was kept
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    assert command("evaluate", "run", cwd=tmp_path).code == 0
    people.write_text(people.read_text() + "30,Ulm,2.0,same,high,3.0\n" * 10)
    done = command("resume", "run", "--steps", "9999", cwd=tmp_path)
    assert done.code == 2 and "the data has changed since the run began: it had 128 training examples" in done.err


def test_a_folder_of_sound_has_changed_where_its_sounds_or_texts_have(tmp_path: Path) -> None:
    dataset = registry.make("dataset", "recordings", path=str(tmp_path))
    (tmp_path / "yes").mkdir()
    found = []
    for name, text in (("yes/a.wav", "1"), ("yes/a.txt", "2"), ("notes.md", "3"), ("yes/.b.wav", "4"), ("yes/a.wav", "56"),
                       ("yes/a.wav", "57")):
        (tmp_path / name).write_text(text)
        found.append(dataset.fingerprint())
    assert [one == other for one, other in itertools.pairwise(found)] == [False, True, True, False, False]
    assert found[-1].split()[0] == found[-2].split()[0]  # of names and sizes: what runs of before kept


def test_a_manifest_has_changed_where_the_sounds_that_it_names_have(tmp_path: Path) -> None:
    """However long they are: size, begin, middle and end are looked at. One that was never there may stay away."""
    (tmp_path / "clips.jsonl").write_text("".join(json.dumps({"path": name}) + "\n" for name in ("a.wav", "b.wav", "a.wav")))
    dataset = registry.make("dataset", "recordings", path=str(tmp_path / "clips.jsonl"))
    content = bytearray(100_000)
    found = []
    for place in (0, 0, 50_000, 99_999):
        content[place] = 1
        (tmp_path / "a.wav").write_bytes(content)
        found.append(dataset.fingerprint())
    assert [one == other for one, other in itertools.pairwise(found)] == [True, False, False]
    named = {"data": "recordings", "data.path": str(dataset.path)}
    data = {name: {"value": value, "origin": "flag"} for name, value in named.items()}
    plan = plan_of({"component": "toolkit/audio-classification", "preset": "none", "config": data})
    told = re.escape(f"the data has changed since the run began: files of {dataset.path} are not what they were. Go on")
    with pytest.raises(UsageError, match=told):
        require_same_data(plan, {"data_fingerprint": found[0]}, "Go on")
    require_same_data(plan, {"data_fingerprint": found[-1]}, "")
    require_same_data(plan, {"data_fingerprint": found[0].split()[0]}, "")  # as runs kept it of manifests alone
    with (tmp_path / "clips.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(UsageError, match="is not what it was"):
        require_same_data(plan, {"data_fingerprint": found[0]}, "")


def test_another_runs_parameters_can_be_taken_over(people: Path, tmp_path: Path) -> None:
    copy_of(finished(), tmp_path)
    done = command(*run_words(TABLES[0], people, "--epochs", "0.1", "--learning-rate", "1e-9", "--init-from", "run", "--json"),
                   cwd=tmp_path).json
    first = command("evaluate", "run", "--json", cwd=tmp_path).json
    assert done["evaluation"]["accuracy"] == first["accuracy"]
    wrong = command(*run_words(TABLES[0], people, "--init-from", "run", "--model.hidden-sizes", "9"), cwd=tmp_path)
    assert wrong.code == 2 and wrong.err.endswith(
        "its parameters do not fit this task: 3 differ, the first is model.layers.0.weight: [128, 6] there, [9, 6] here. The "
        "settings of its model must be those of that run: add --model.hidden-sizes 128\n")
    wrong = command(*run_words(TABLES[0], people, "--init-from", "run", "--ignore", "income"), cwd=tmp_path)
    assert wrong.code == 2 and "--ignore income: the run of --init-from has learned from the column 'income', and" in wrong.err


def test_another_run_is_read_once_and_warned_of_once(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, load = [], Checkpoints.load
    monkeypatch.setattr(Checkpoints, "load", lambda self, step: [loaded.append(step), load(self, step)][1])
    words: dict[str, Any] = {"data": str(people), "target": "risk", "steps": 32, "batch_size": 16, "evaluate_every": 0}
    toolkit.train(TABLES[0], out=str(tmp_path / "first"), **words)
    run = toolkit.train(TABLES[0], out=str(tmp_path / "second"), init_from=str(tmp_path / "first"), **words)
    assert loaded == [32]
    facts = run.facts
    run.directory.write({**facts, "config": {**facts["config"], "model.gone": {"value": 3, "origin": "flag"}}})
    with pytest.warns(UserWarning, match="model.gone = 3") as warned:
        assert toolkit.load(run.path).evaluate().summary["accuracy"] == run.evaluation["accuracy"]
    assert len(warned) == 1 and loaded == [32, 32]


def test_parameters_of_other_classes_are_not_taken_over(people: Path, tmp_path: Path) -> None:
    copy_of(finished(), tmp_path)
    people.write_text(people.read_text().replace("high", "aa").replace("low", "zz"))
    wrong = command(*run_words(TABLES[0], people, "--init-from", "run", "--out", "second"), cwd=tmp_path)
    assert wrong.code == 2 and wrong.err.endswith(
        "--init-from: that run tells apart high, low, and 'risk' here holds aa, zz: what it learned of one class would be taken "
        "for another. Name the classes as there, or leave out --init-from\n")


@pytest.mark.parametrize("kind", ["text", "token", "tabular", "audio"])
def test_classes_keep_the_order_of_the_run_whose_parameters_are_taken_over(kind: str) -> None:
    name = f"{kind}-classification"

    def made() -> Any:
        problem = registry.make("task", name)
        problem.target_name = "tags" if kind == "token" else "label"
        return problem

    rows = [{"x": place, "text": "a b", "audio": np.sin(np.arange(16000) / (3 + place)).astype(np.float32), "label": label,
             "tags": [label, label]} for place, label in enumerate(["ja", "nein"] * 4)]
    if kind == "tabular":
        rows = [{"x": row["x"], "label": row["label"]} for row in rows]
    first, second, other, more = made(), made(), made(), made()
    first.fit(rows)
    facts = first.facts()
    key = "tags" if kind == "token" else "classes"
    assert facts[key] == ["ja", "nein"]
    second.inherit({**facts, key: ["nein", "ja"]})
    second.fit(rows)
    assert second.facts()[key] == ["nein", "ja"]
    other.inherit({**facts, key: ["ja", "no"]})
    other.fit(rows)
    assert other.other_outputs == f"that run tells apart ja, no, and '{other.target}' here holds ja, nein"
    more.inherit({**facts, key: ["no", "nein", "ja"]})  # a model with a body takes that over alone
    more.fit(rows)
    assert more.facts()[key] == ["ja", "nein"] and not more.other_outputs


def test_folds_give_intervals_and_a_p_value(people: Path, tmp_path: Path) -> None:
    words = run_words(TABLES[0], people, "--folds", "4", "--epochs", "12", "--learning-rate", "0.01", "--json")
    found = command(*words, cwd=tmp_path).json["evaluation"]
    assert found["accuracy/cv_low"] < found["accuracy/cv"] < found["accuracy/cv_high"]
    assert found["folds"] == 4 and found["p_value/cv"] < 0.05 and found["baseline/cv"] < found["accuracy/cv"]


def test_a_small_table_is_not_learned_by_heart(tmp_path: Path) -> None:
    """Without weight decay and dropout the noise of half of the 442 patients is learned: r2 is 0.27 on the others, not 0.44."""
    found = command("run", TABLES[1], "--data", "diabetes", "--folds", "2", "--json", cwd=tmp_path).json["evaluation"]
    assert found["r2/cv"] > 0.36


def test_pictures_and_other_data(people: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    copy_of(finished(), tmp_path)
    done = command("evaluate", "run", "--data", str(people), "--plots", "pictures", "--json", cwd=tmp_path)
    assert 0.5 < done.json["accuracy"] <= 1
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"confusion-test.png", "roc-test.png"}
    again = command("evaluate", "run", "--data", str(people), "--plots", "pictures", cwd=tmp_path)
    assert again.code == 2 and "--plots pictures: it exists, and nothing is overwritten. Name another folder" in again.err
    assert len(list((tmp_path / "run" / "evaluations").iterdir())) > 1


def test_a_split_column_decides_what_is_held_out(people: Path, tmp_path: Path) -> None:
    head, *rows = people.read_text().splitlines()
    words = ["train"] * 100 + ["dev"] * 30 + ["test"] * 30
    people.write_text("\n".join([head + ",split", *(f"{row},{word}" for row, word in zip(rows, words, strict=True))]))
    found = command(*run_words(TABLES[0], people, "--json"), cwd=tmp_path).json
    assert found["steps"] == 1200 and {"accuracy", "accuracy/validation"} <= set(found["evaluation"])


def test_a_split_column_of_another_spelling_is_refused_unless_it_is_left_out(people: Path, tmp_path: Path) -> None:
    head, *rows = people.read_text().splitlines()
    halves = [f"{row},{'test' if place % 5 else 'train'}" for place, row in enumerate(rows)]
    people.write_text("\n".join([head + ",Split", *halves]))
    done = command(*run_words(TABLES[0], people), cwd=tmp_path)
    assert done.code == 2 and done.err.endswith("the data's column 'Split' is not read as 'split', which says what is held out. "
                                                "Rename it to split, or leave it out: --ignore Split\n")
    for wanted in (("--target", "Split"), ("--ignore", "Split,score", "--out", "run")):
        assert command(*run_words(TABLES[0], people, *wanted, "--epochs", "1"), cwd=tmp_path).code == 0
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    facts["config"]["ignore"]["value"] = ["score"]  # as of a run that was begun when such a column was not refused
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    for words in (("evaluate", "run"), ("resume", "run", "--epochs", "2")):
        done = command(*words, cwd=tmp_path)
        assert done.code == 0, done.err


@pytest.mark.parametrize(("words", "message"), [
    ((), "tabular-classification needs data: toolkit run tabular-classification --data NAME_OR_FILE"),
    (("--data", "none.csv"), "--data none.csv: there is no such file"),
    (("--data", "iri"), "unknown dataset 'iri'. Did you mean 'iris'"),
    (("--data", "spoken-digts"), "unknown dataset 'spoken-digts'. Did you mean 'digits'? Allowed here: breast-cancer, csv"),
    (("--data", "spoken-digits"), "--data: the dataset 'spoken-digits' is not one for columns: it is for sound, text. Allowed"),
    (("--data", "iris", "--steps", "3", "--epochs", "2"), "--steps and --epochs are both given"),
    (("--data", "iris", "--target", "petal"), "there is no column 'petal'"),
    (("--data", "nameless.csv", "--target", "y"), "Allowed for --target: 0.5, yes. The first line looks like data (0.5): a table "
     "needs a header above it, a line with the names of its columns.\n"),
    (("--data", "iris", "--ignore", "petal length"), "no column 'petal length' to leave out. Did you mean 'petal length (cm)'"),
    (("--data", "rare.csv", "--target", "b", "--ignore", "b"), "--ignore b: it is the column to be predicted, which is never"),
    (("--data", "both.csv", "--target", "split"), "--target split: a column of this name says what is held out, and is neither"),
    (("--data", "both.csv", "--target", "b", "--ignore", "a,split"), "--ignore split: a column of this name says what is held"),
    (("--data", "iris", "--batch-sise", "3"), "Did you mean '--batch-size'"),
    (("--data", "iris", "--model", "mpl"), "unknown model 'mpl'. Did you mean 'mlp'"),
    (("--data", "iris", "--patience", "3", "--scheduler", "plateau", "--evaluate-every", "0"), "--patience 3 and --scheduler "
     "plateau go by evaluations during the run, which --evaluate-every 0 leaves out. Leave out one of them\n"),
    (("--data", "iris", "--optimizer", "sgd", "--optimizer.nesterov", "true", "--optimizer.momentum", "0"),
     "--optimizer sgd: Nesterov momentum requires a momentum and zero dampening. Its settings: toolkit info optimizer sgd\n"),
    (("--data", "iris", "--folds", "1"), "--folds 1: allowed are 0 for none, or from 2 to 150 for these 150 rows"),
    (("--data", "iris", "--folds", "151"), "--folds 151: allowed are 0 for none, or from 2 to 150 for these 150 rows"),
    (("--data", "rare.csv", "--target", "b", "--folds", "2"), "--folds 2: only one row is of the class 'z', and the fold that"),
    (("--data", "gaps.csv", "--target", "b", "--data.delimiter", "||"), "--data.delimiter: got '||', allowed: auto, or one"),
    (("--data", "gaps.jsonl", "--target", "b"), "1 of 3 rows (train) hold no 'b': rows 2"),
    (("--data", "late.jsonl", "--target", "b"), "late.jsonl: row 1 has split None; allowed: train, validation, test"),
    (("--data", "people.csv"), "which column is to be predicted? Name it: --target COLUMN. Allowed: "
     "age, town, income, note, risk, score\n"),
    (("--data", "word.csv", "--target", "b"), "1 of 3 rows (train) hold no 'b' ('None' is read as a gap; give a class another "
     "name): rows 3. Take"),
    (("--data", "rare.csv", "--target", "b", "--ignore", "c"), "no column 'c' to leave out. Allowed for --ignore: a.\n"),
    (("--data", "people.csv", "--target", "income"), "To predict a number: toolkit run tabular-regression"),
    (("--data", "late.csv", "--target", "a"), "'a' holds '4' in row 11, which is not among the classes trained on: 1, 2, 3. To "
     "predict a number: toolkit run tabular-regression"),
    (("--data", "late.csv", "--target", "b"), "'b' holds 'z' in row 11, which is not among the classes trained on: x, y. Take"),
    (("--data", "bad.csv", "--target", "b"), "bad.csv, row 3: it has 1 cells and the header 2"),
    (("--data", "gaps.csv", "--target", "b"), "1 of 3 rows (train) hold no 'b': rows 3"),
    (("--data", "both.csv", "--target", "b"), "1 of 2 rows (train) hold no 'b': rows 3. 1 of 1 rows (test) hold no 'b': rows 5."),
    (("--data", "x.xls"), "no data set of tabular-classification reads .xls. Allowed: .csv, .jsonl, .ndjson, .parquet, .tsv.\n"),
    (("--data", "months"), "reads folders. Allowed: .csv, .jsonl, .ndjson, .parquet, .tsv. It holds files that fit: --data "
     "months/1.csv, or all of them joined below one header\n")])
def test_wrong_usage_is_explained(people: Path, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n3\n")
    (tmp_path / "gaps.csv").write_text("a,b\n1,x\n3,\n4,y\n")
    (tmp_path / "word.csv").write_text("a,b\n1,x\n3, None\n4,y\n")
    (tmp_path / "rare.csv").write_text("a,b\n1,x\n2,x\n3,y\n4,y\n5,z\n")
    (tmp_path / "late.csv").write_text("a,b,split\n" + "1,x,train\n2,y,train\n3,x,train\n" * 3 + "4,z,test\n")
    (tmp_path / "gaps.jsonl").write_text('\ufeff{"a": 1, "b": "x"}\n{"a": 3}\n{"a": 4, "b": "y"}\n')
    (tmp_path / "late.jsonl").write_text('{"a": 1, "b": "x"}\n{"a": 3, "b": "y", "split": "test"}\n')
    (tmp_path / "both.csv").write_text("a,b,split\n1,x,train\n3,,train\n\n4,,test\n")
    (tmp_path / "nameless.csv").write_text("0.5,yes\n1,no\n2,yes\n")
    (tmp_path / "x.xls").write_text("")
    (tmp_path / "months").mkdir()
    for name in ("1.csv", "2.csv", "about.txt"):
        (tmp_path / "months" / name).write_text("a,b\n1,2\n")
    done = asked_here("run", TABLES[0], *words, cwd=tmp_path)
    assert done.code == 2 and message in done.err and not done.out


def test_an_agents_and_a_tasks_flags_do_not_mix(tmp_path: Path) -> None:
    copy_of(finished(), tmp_path)
    done = command("evaluate", "run", "--env", "CartPole-v1", cwd=tmp_path)
    assert done.code == 2 and "--env does not go with run, the run of a task" in done.err
    done = command("evaluate", "run", "--episodes", "100", cwd=tmp_path)
    assert done.code == 2 and "--episodes does not go with run, the run of a task" in done.err


def test_answers_to_a_file_go_where_they_are_to_go(people: Path, tmp_path: Path) -> None:
    copy_of(finished(), tmp_path)
    assert command("predict", "run", "--input", str(people), "--output", "new/folder/answers.jsonl", cwd=tmp_path).code == 0
    assert len((tmp_path / "new" / "folder" / "answers.jsonl").read_text().splitlines()) == 160
    (tmp_path / "latin.csv").write_bytes(b"caf\xe9\n")
    done = command("predict", "run", "--input", "latin.csv", cwd=tmp_path)
    assert done.code == 2 and done.err.endswith("latin.csv: byte 3 is not UTF-8; save the file as UTF-8. Is it Windows-1252 or "
                                                "Latin-1? iconv -f CP1252 -t UTF-8 latin.csv > utf8.csv\n")
    done = command("predict", "run", "40", cwd=tmp_path)
    assert done.code == 2 and done.err.endswith("got '40'; allowed: rows with named columns. Ask about one: toolkit predict RUN "
                                                'COLUMN=VALUE COLUMN=VALUE. From Python: predict({"COLUMN": value}), or a '
                                                'DataFrame\n')
    done = command("predict", "run", "age=40", "town=Ulm", "income=3", "risk=low", cwd=tmp_path)
    assert done.code == 2 and done.err.endswith("risk=low: the model looks at no column 'risk'. Allowed: age, town, income\n")
    done = command("predict", "run", "age=40", "Ulm", cwd=tmp_path)
    assert done.code == 2 and done.err.endswith("predict: got 'Ulm' beside columns; allowed: COLUMN=VALUE\n")
    done = command("predict", "run", cwd=tmp_path)
    assert done.code == 2 and done.err.endswith("one of them: toolkit predict run COLUMN=VALUE COLUMN=VALUE\n")
    done = command("predict", "run", "--input", str(people), "--output", "answers.csv", cwd=tmp_path)
    assert done.code == 2 and done.err.endswith("--output answers.csv: the answers are JSON Lines, an object in each line. "
                                                "Name a file that ends in .jsonl, .ndjson, .json: --output answers.jsonl\n")
    (tmp_path / "lines.txt").write_text("a\n")
    done = command("predict", "run", "--input", "lines.txt", cwd=tmp_path)
    assert done.code == 2 and done.err.endswith("--input lines.txt: allowed are files ending in .csv, .jsonl, .ndjson, "
                                                ".parquet, .tsv\n")


def test_good_rows_are_answered_beside_bad_ones(people: Path, tmp_path: Path) -> None:
    copy_of(finished(), tmp_path)
    text = ",age,town,income\n0,40,Ulm,3\n1,41,Ulm,much\n2,42,Ulm\n3,43,Bonn,2\n"  # with the index that pandas writes
    (tmp_path / "some.csv").write_text(text)
    done = command("predict", "run", "--input", "some.csv", cwd=tmp_path)
    assert done.code == 1 and [bool(line) for line in done.out.splitlines()] == [True, False, False, True]
    assert done.err.endswith("some.csv, row 3: column 'income' was a number in training; got 'much'; "
                             "allowed: finite numbers, of a size below 3.4e38\n"
                             "some.csv, row 4: it has 3 cells and the header 4; quote cells that hold the delimiter\n")
    found = command("predict", "run", "--input", "some.csv", "--json", cwd=tmp_path)
    rows = json.loads(found.out)["answers"]
    assert found.code == 1 and [(row["row"], "error" in row, "label" in row) for row in rows] == [
        (2, False, True), (3, True, False), (4, True, False), (5, False, True)]
    assert command("predict", "run", "--input", "some.csv", "--output", "out.jsonl", cwd=tmp_path).code == 1
    kept = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["row"] for row in kept] == [2, 3, 4, 5] and kept[1]["input"]["income"] == "much" and "error" in kept[1]
    (tmp_path / "less.csv").write_text("age,twon\n40,Ulm\n")
    done = command("predict", "run", "--input", "less.csv", cwd=tmp_path)
    assert done.code == 2 and "less.csv: it has no columns 'town', 'income', which the model was trained on; it h" in done.err
    assert "it has age, twon. Did you mean 'twon'? Add what is missing; an empty cell is a gap" in done.err
    from toolkit.commands.predict import predict_command

    lines = '{"age": 40, "town": "Ulm", "income": 3}\n\n{"age": 41, "town": "Ulm"}\n[]\n'
    for given, numbers in (text, [2, 3, 4, 5]), (lines, [1, 3, 4]):
        answered = CliRunner().invoke(predict_command, [str(tmp_path / "run"), "-", "--json"], input=given)
        told = json.loads(answered.stdout)["answers"]
        assert [row["row"] for row in told] == numbers and told[0]["label"] == rows[0]["label"]
    assert told[1]["error"].startswith("it lacks the column 'income', which the model was trained on")
    words = [str(tmp_path / "run"), "-", "--output", str(tmp_path / "no.json")]
    for raw, place in (b"age,town,income\n40,Ulm,\xe9\n", 23), (b'{"age": "\xff"}\n', 9):
        answered = CliRunner().invoke(predict_command, words, input=raw)
        assert str(answered.exception) == f"stdin: byte {place} is not UTF-8; give it as UTF-8"
        assert not (tmp_path / "no.json").exists()
    raw = b'{"age": 40, "town": "\\ud800", "income": "1e39"}\r\n'
    CliRunner().invoke(predict_command, [*words[:-1], str(tmp_path / "half.json")], input=raw)
    (half,) = map(json.loads, (tmp_path / "half.json").read_text().splitlines())
    assert half["input"]["town"] == "\ud800" and half["error"].startswith("column 'income' was a number in training; got '1e39'")
    empty = CliRunner().invoke(predict_command, [str(tmp_path / "run"), "-"], input="age,town,income\n")
    assert "stdin holds no rows; allowed: CSV with a header, or JSON Lines" in str(empty.exception)


ODD = ["a", "a=b", "height, cm", 'é "q"', "(x", "%", "#1", "$ & °", "it's:", "[0]", "-"]


@pytest.mark.parametrize(("words", "row"), [
    ([f"{name}={name}=1" for name in ODD if name != "a"], {name: f"{name}=1" for name in ODD if name != "a"}),
    (["a=", "height, cm= 1"], {"a": "", "height, cm": " 1"}), (["a=c=d"], {"a": "c=d"}),
    (["a=1", "a=b=2"], {"a": "1", "a=b": "2"})])
def test_a_row_may_have_columns_of_any_name(words: list[str], row: dict[str, str]) -> None:
    from toolkit.commands.predict import parsed

    for by_rows in True, False:
        (asked,) = parsed(tuple(words), SimpleNamespace(asked_columns=ODD, asked_by_rows=by_rows))
        assert asked.value == row


def test_words_that_name_no_column_are_refused_by_name_or_are_texts() -> None:
    from toolkit.commands.predict import parsed

    table = SimpleNamespace(asked_columns=["a", "height, cm"], asked_by_rows=True)
    with pytest.raises(UsageError, match=r"height, mm=1: the model looks at no column 'height, mm'. Did you mean 'height, cm'\?"):
        parsed(("a=1", "height, mm=1"), table)
    words = ("text=yes", "is 'E = mc²' = true?")
    assert [asked.value for asked in parsed(words, SimpleNamespace(asked_columns=["text"], asked_by_rows=False))] == list(words)


@pytest.mark.parametrize(("value", "told"), [(1234599.423, "1234599.4"), (3.0, "3"), (0.1, "0.1"), (-1 / 3, "-0.33333333"),
                                             (0.0, "0"), (16777216.0, "16777216"), (1e39, "1e+39"), (float("nan"), "nan")])
def test_numbers_are_told_as_exactly_as_they_were_computed(value: float, told: str) -> None:
    from toolkit.commands.predict import answer_text

    assert answer_text({"value": value}) == told


def test_other_data_is_judged_by_the_rules_of_training(people: Path, tmp_path: Path) -> None:
    copy_of(finished(), tmp_path)
    head, *rows = people.read_text().splitlines()
    (tmp_path / "Split.csv").write_text("\n".join([head + ",Split", *(f"{row},test" for row in rows)]))
    done = command("evaluate", "run", "--data", "Split.csv", cwd=tmp_path)
    assert done.code == 2 and done.err.endswith("the data's column 'Split' is not read as 'split', which says what is held out. "
                                                "Rename it to split, or take it out\n")
    (tmp_path / "test.csv").write_text("\n".join([head + ",split", *(f"{row},test" for row in rows)]))
    assert "accuracy" in command("evaluate", "run", "--data", "test.csv", "--json", cwd=tmp_path).json
    (tmp_path / "new.csv").write_text("\n".join([head, rows[0], "40,Ulm,1,same,odd,3", "40,Ulm,1,same,even,3"]))
    done = command("evaluate", "run", "--data", "new.csv", cwd=tmp_path)
    assert done.code == 2 and "'risk' holds 'odd' in row 3, which is not among the classes trained on: high, low" in done.err
    (tmp_path / "asked.csv").write_text("age,town,income,note\n40,Ulm,1,same\n")
    done = command("evaluate", "run", "--data", "asked.csv", cwd=tmp_path)
    assert done.code == 2 and done.err.endswith("the data has no column 'risk', which this run predicts. It has age, town, "
                                                "income, note. To ask without answers: toolkit predict RUN --input FILE\n")
    (tmp_path / "gap.csv").write_text("\n".join([head, rows[0], "40,Ulm,1,same,,3"]))
    done = command("evaluate", "run", "--data", "gap.csv", cwd=tmp_path)
    assert done.code == 2 and "1 of 2 rows (test) hold no 'risk': rows 3" in done.err
    done = command("evaluate", "run", "--data", "spoken-digts", cwd=tmp_path)
    assert done.code == 2 and "unknown dataset 'spoken-digts'. Did you mean 'digits'? Allowed here: breast-cancer" in done.err
    done = command("evaluate", "run", "--data", "new.csv", "--skip-bad", cwd=tmp_path)
    assert done.code == 2 and "--skip-bad does not go with run, the run of tabular-classification, which has no such" in done.err


def test_other_data_is_judged_whole_whatever_part_was_trained_on(people: Path, tmp_path: Path) -> None:
    words = run_words(TABLES[0], people, "--data.limit", "40", "--data.delimiter", ",", "--epochs", "2", "--out", "part")
    assert command(*words, cwd=tmp_path).code == 0
    command("evaluate", "part", "--data", str(people), cwd=tmp_path)
    found = json.loads(next((tmp_path / "part" / "evaluations").glob("*-people.json")).read_text())
    assert found["splits"]["test"]["count"] == 160
    again = command("run", *words[1:-1], "more", "--folds", "3", "--init-from", "part", cwd=tmp_path)
    assert again.code == 2 and "--folds 3: each fold begins anew, without what --init-from part has learned" in again.err


def test_answers_about_dates_are_written_as_text(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"day": pandas.date_range("2026-01-01", periods=40), "x": range(40), "y": list("ab" * 20)})
    frame.to_parquet(tmp_path / "days.parquet")
    assert command("run", "tabular-classification", "--data", "days.parquet", "--target", "y", "--ignore", "day", "--steps", "40",
                   "--out", "days", cwd=tmp_path).code == 0
    done = command("predict", "days", "--input", "days.parquet", "--output", "answers.jsonl", cwd=tmp_path)
    assert done.code == 0, done.err
    first = json.loads((tmp_path / "answers.jsonl").read_text().splitlines()[0])
    assert first["input"]["day"] == "2026-01-01 00:00:00" and first["label"] in "ab"


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".tsv"])
def test_other_files_give_the_same_rows(people: Path, tmp_path: Path, suffix: str) -> None:
    reader = registry.get("dataset", {".tsv": "csv"}.get(suffix, suffix[1:]))
    rows = registry.make("dataset", "csv", path=str(people)).splits()["train"]
    path = people.with_suffix(suffix)
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif suffix == ".tsv":
        path.write_text("\n".join("\t".join(row) for row in [list(rows[0]), *(row.values() for row in rows)]))
    else:
        pytest.importorskip("pyarrow")
        from pyarrow import Table, parquet

        parquet.write_table(Table.from_pylist(rows), path)
    assert suffix in reader.accepts
    assert registry.make("dataset", reader.name, path=str(path)).splits()["train"] == rows


def test_a_copy_of_a_run_answers_without_its_data(people: Path, tmp_path: Path) -> None:
    from toolkit.training.api import load
    from toolkit.training.supervised_run import TaskRun

    words = run_words(TABLES[1], people, "--out", "first", "--epochs", "50", "--learning-rate", "0.01")
    assert command(*words, cwd=tmp_path).code == 0
    (tmp_path / "elsewhere").mkdir()
    run = load(copy_of(tmp_path / "first", tmp_path / "elsewhere"))
    people.unlink()
    assert isinstance(run, TaskRun)
    row = {"age": "40", "town": "Ulm", "income": "3", "note": "same"}
    near = run.predict(row)["value"]
    assert [answer["value"] for answer in run.predict(pandas.DataFrame([row, row]))] == pytest.approx([near, near], abs=1e-5)
    assert abs(near - 7.0) < 1.5
    with pytest.warns(UserWarning, match="column .town. holds .unheard of., none of the categories trained on: Bonn, K"):
        both = run.predict([row, {**row, "town": "unheard of"}])
    assert round(both[0]["value"], 4) == round(near, 4) != round(both[1]["value"], 4)
    facts = run.facts
    facts["config"]["model.hidden_sizes"]["value"] = [3]
    run.directory.write(facts)
    with pytest.raises(Outgrown, match=r"do not fit what the code makes now: .* differ, the first is .* there, \[3, .*\] here. "
                                       "The versions are those of the run, so the code, or run.json, has been edited since"):
        load(run.path).predict(row)
