"""Runs of the text tasks, by the command line in real processes: they resume to the bit, answer, write on, explain."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from dying import Die
from refusals import asked_here
from small_runs import Done, command, copy_of, outcome, shared_run
from small_text import tiny_folder

from toolkit.config import Part
from toolkit.errors import UsageError
from toolkit.nlp.base import TextSpec
from toolkit.registry import registry
from toolkit.training.description import size_text
from toolkit.training.resolve import with_data_file

RECURRENT = ("--model.embedding-size", "8", "--model.hidden-size", "8")
ATTENTIVE = ("--model.width", "16", "--model.heads", "2", "--model.hidden", "32", "--model.layers", "2")
MADE = ("--data.count", "48", "--data.held-out", "8")
RUNS: dict[str, tuple[str, ...]] = {
    "lstm": ("text-classification", "--data", "template-reviews", *MADE, *RECURRENT, "--model.dropout", "0.3"),
    "gru": ("text-classification", "--data", "template-reviews", *MADE, "--model", "gru-classifier", *RECURRENT),
    "transformer": ("text-classification", "--data", "template-reviews", *MADE, "--model", "transformer-classifier", *ATTENTIVE),
    "tagger": ("token-classification", "--data", "bracket-tagging", *MADE, *RECURRENT),
    "pairs": ("text-generation", "--data", "reverse", *MADE, *ATTENTIVE),
    "words": ("text-generation", "--data", "python-docs", "--data.size", "10000", "--context", "32", "--tokenizer", "bpe",
              "--tokenizer.max-size", "300", *ATTENTIVE),
    "masked": ("masked-language-model", "--data", "template-reviews", *MADE, "--tokenizer.max-size", "300", *ATTENTIVE,
               "--model.longest", "64"),
}
TASKS = [entry.name for entry in registry.entries("task", plugins=False) if entry.target.startswith("toolkit.nlp.")]


def words_of(name: str, *more: str) -> list[str]:
    return ["run", *RUNS[name], "--preset", "none", "--batch-size", "8", "--epochs", "2", "--threads", "1", *more]


def finished(name: str, *more: str) -> Path:
    """A finished small run that tests share and do not change."""
    return shared_run(*words_of(name, *more))


def test_every_text_task_has_a_run_here() -> None:
    assert {words[0] for words in RUNS.values()} == set(TASKS)


@pytest.mark.parametrize("name", RUNS)
def test_a_killed_run_goes_on_to_the_bit(name: str, tmp_path: Path) -> None:
    whole = finished(name, "--scheduler", "cosine")
    steps = json.loads((whole / "run.json").read_text())["steps"]
    words = words_of(name, "--scheduler", "cosine", "--out", "broken")
    assert command(*words, cwd=tmp_path, die=Die("step", int(steps * 0.7))).code == -9
    assert command("resume", "broken", cwd=tmp_path).code == 0
    assert outcome(tmp_path / "broken") == outcome(whole)


# -- asking


def asked(name: str, *words: str, cwd: Path) -> Done:
    run = finished(name)
    return command(words[0], str(run), *words[1:], cwd=cwd)


def test_answers_are_the_same_alone_in_a_batch_from_files_and_from_python(tmp_path: Path) -> None:
    texts = ["The plot was brilliant.", "What a boring film!", "xyzzy", "The ending was, I thought, not at all bad; " * 3]
    answers = asked("lstm", "predict", *texts, "--json", cwd=tmp_path).json["answers"]
    for text, answer in zip(texts, answers, strict=True):
        alone, = asked("lstm", "predict", text, "--json", cwd=tmp_path).json["answers"]
        assert alone["label"] == answer["label"] and alone["probability"] == pytest.approx(answer["probability"], abs=1e-5)
    with open(tmp_path / "in.csv", "w", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *([number, text] for number, text in enumerate(texts))])
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / "in.txt").write_text("\n".join(texts) + "\n")
    for ending in ("csv", "jsonl", "txt"):
        done = asked("lstm", "predict", "--input", f"in.{ending}", "--output", f"out-{ending}.jsonl", cwd=tmp_path)
        assert done.code == 0 and "wrote 4 answers" in done.err, done.err
        rows = [json.loads(line) for line in (tmp_path / f"out-{ending}.jsonl").read_text().splitlines()]
        assert [row["label"] for row in rows] == [answer["label"] for answer in answers]
        assert [row["input"]["text"] if ending != "txt" else row["input"] for row in rows] == texts
    import toolkit
    from toolkit.commands.predict import predict_command

    for words, lines in (("-",), texts), (("--input", "-"), texts), (("-",), []):
        found = CliRunner().invoke(predict_command, [str(finished("lstm")), *words], input="\n".join(lines) + "\n")
        assert [line.split("\t")[0] for line in found.stdout.splitlines()] == [answer["label"] for answer in answers[:len(lines)]]
    assert "stdin holds no lines; allowed: a text, or the name of a file, in each" in str(found.exception)
    loaded = toolkit.load(str(finished("lstm")))
    assert [one["label"] for one in loaded.predict(texts)] == [answer["label"] for answer in answers]
    assert loaded.predict(texts[0])["probability"] == pytest.approx(answers[0]["probability"], abs=1e-5)


def test_answers_stand_beside_their_lines(tmp_path: Path) -> None:
    """Blank ones, rows that cannot be read and texts that are too long have none, and the others are not held up."""
    from toolkit.commands.predict import predict_command

    lines = ["The plot was brilliant.", "", "What a boring film!", "  ", "x"]
    (tmp_path / "in.txt").write_text("\n".join(lines) + "\n\n")
    run = str(finished("lstm"))
    for words, count in (("-",), 6), (("--input", str(tmp_path / "in.txt")), 6), ((*lines, ""), 6):
        found = CliRunner().invoke(predict_command, [run, *words], input="\n".join(lines) + "\n\n")
        assert [bool(line) for line in found.stdout.split("\n")] == [True, False, True, False, True, False, False]
        assert len(found.stdout.splitlines()) == count
        told = json.loads(CliRunner().invoke(predict_command, [run, *words, "--json"], input="\n".join(lines)).stdout)
        assert [row["row"] for row in told["answers"]] == [1, 3, 5]
    (tmp_path / "in.jsonl").write_text('{"text": "a film"}\n{"text": null}\nno\n{"text": "a plot"}\n')
    done = asked("lstm", "predict", "--input", "in.jsonl", cwd=tmp_path)
    assert done.code == 1 and [bool(line) for line in done.out.splitlines()] == [True, False, False, True]
    assert "in.jsonl, row 2: it holds no 'text'\n" in done.err and "in.jsonl, row 3: it is not JSON: Expecting value" in done.err
    done = asked("masked", "predict", "a <mask> film", "<mask> " * 400, "one <mask>", "--json", cwd=tmp_path)
    assert done.code == 1 and [(row["row"], "error" in row) for row in json.loads(done.out)["answers"]] == [
        (1, False), (2, True), (3, False)]
    assert "argument 2: a text has 400 tokens; allowed: at most 254" in done.err


def test_a_text_with_an_equals_sign_is_one_and_the_runs_own_column_may_be_named(tmp_path: Path) -> None:
    from toolkit.commands.predict import parsed

    problem = registry.make("task", "text-classification")
    assert [one.value for one in parsed(("Score=10 great film", "a=b"), problem)] == ["Score=10 great film", "a=b"]
    assert [one.value for one in parsed(("text=great film",), problem)] == [{"text": "great film"}]


def test_half_a_pair_is_learned_from_asked_about_and_answered(tmp_path: Path) -> None:
    rows = [{"text": f"the film \ud83d {number}", "label": ("\ud83d", "\udc00")[number % 2]} for number in range(12)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = command("run", "text-classification", "--data", "mine.jsonl", "--tokenizer", "bpe", "--tokenizer.max-size", "300",
                   "--preset", "none", *RECURRENT, "--epochs", "1", "--out", "run", cwd=tmp_path)
    assert done.code == 0, done.err
    done = command("predict", "run", "--input", "mine.jsonl", cwd=tmp_path)
    assert done.code == 0 and {line.split("\t")[0] for line in done.out.splitlines()} <= {r"\ud83d", r"\udc00"}, done.err


@pytest.mark.parametrize(("by", "found"), [
    ("line", [(1, "a\u2028b"), (2, "c\x85d\x0ce"), (5, "f"), (6, "g")]),
    ("paragraph", [(1, "a\u2028b\nc\x85d\x0ce"), (2, "f\ng\n")])])
def test_lines_of_a_text_file_are_those_of_an_editor(by: str, found: list[tuple[int, str]], tmp_path: Path) -> None:
    from toolkit.core.rows import number_of

    path = tmp_path / "mine.txt"
    path.write_bytes("a\u2028b\rc\x85d\x0ce\r\n \t\n \nf\ng\n".encode())
    rows = registry.make("dataset", "text", path=str(path), by=by).read()
    assert [(number_of(row, place), row["text"]) for place, row in enumerate(rows)] == found


def test_what_training_has_not_seen_is_named_with_its_row(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("text,label\na film,good\na film,odd\n")
    done = asked("lstm", "evaluate", "--data", "new.csv", cwd=tmp_path)
    assert done.code == 2 and "'label' holds 'odd' in row 3, which is not among the classes trained on" in done.err
    (tmp_path / "tags.jsonl").write_text('{"text": "a", "tags": "O"}\n\n{"text": "a b", "tags": "O Z"}\n')
    done = asked("tagger", "evaluate", "--data", "tags.jsonl", cwd=tmp_path)
    assert done.code == 2 and "the tag 'Z' in row 3 was not trained on; known: " in done.err


def test_a_tagger_answers_a_tag_a_word(tmp_path: Path) -> None:
    answer, = asked("tagger", "predict", "a ( b ] unknown", "--json", cwd=tmp_path).json["answers"]
    assert len(answer["tags"]) == 5 and set(answer["tags"]) <= set("BEIOX")


def test_a_masked_model_fills_masks_and_says_how_likely(tmp_path: Path) -> None:
    text = "What a <mask> film, and the <mask> was not bad."
    answer, = asked("masked", "predict", text, "--json", cwd=tmp_path).json["answers"]
    assert [len(guesses) for guesses in answer["masks"]] == [5, 5] and "<" not in answer["text"]
    for guesses in answer["masks"]:
        shares = [guess["probability"] for guess in guesses]
        assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1
        assert guesses[0]["token"].removeprefix("##") in answer["text"]
    best = "\t".join(f"{guesses[0]['token']} {guesses[0]['probability']:.4f}" for guesses in answer["masks"])
    assert asked("masked", "predict", text, cwd=tmp_path).out == f"{answer['text']}\t{best}\n"


def test_a_masked_model_is_asked_about_masks(tmp_path: Path) -> None:
    done = asked("masked", "predict", "What a film", cwd=tmp_path)
    assert (done.code, done.out) == (0, "What a film\n")
    assert "toolkit: 'What a film' hides no token, so nothing is guessed. Write <mask> for each one" in done.err
    done = asked("masked", "predict", "<mask> " * 400, cwd=tmp_path)
    assert done.code == 2 and "a text has 400 tokens; allowed: at most 254" in done.err


def test_a_text_that_leaves_no_room_for_an_answer_is_told_of() -> None:
    problem = registry.make("task", "text-generation", target="target", model=Part("transformer-lm", {
        "longest": 8, "width": 8, "heads": 2, "hidden": 8, "layers": 1}))
    problem.fit([{"text": "abcdef", "target": "abc"}])
    model = problem.build().eval()
    encoded = problem.encode([{"text": "ab"}, {"text": "abcdef"}], targets=False)
    assert len(problem.predict(model, problem.collate(encoded, np.array([0])))) == 1
    with pytest.raises(UsageError, match="a text has 8 tokens with its ends, and this model has room for 8 in all"):
        problem.predict(model, problem.collate(encoded, np.array([0, 1])))


def test_a_target_that_is_cut_does_not_come_out() -> None:
    problem = registry.make("task", "text-generation", target="target", max_length=4)
    rows = [{"text": "abcdef", "target": "abc"}, {"text": "a", "target": "abc"}, {"text": "a", "target": "b"},
            {"text": "a", "target": ""}]
    problem.fit(rows)
    batch = problem.collate(problem.encode(rows), np.arange(4))
    tally = problem.tally()
    tally.add(torch.nn.functional.one_hot(batch.targets.clamp(min=0), problem.tokenizer.size).float(), batch.lengths, batch)
    assert tally.result().metrics["exact_match"] == 0.5  # the first two do not fit


def sure_tally(problem: Any, rows: list[dict[str, Any]], wrong: float = 0.0) -> dict[str, float]:
    """What is judged of ``rows`` where the right token has the logit 1, ``<unk>`` has ``wrong`` and all others have 0."""
    batch = problem.collate(problem.encode(rows), np.arange(len(problem.encode(rows))))
    outputs = torch.nn.functional.one_hot(batch.targets.clamp(min=0), problem.tokenizer.size).float()
    outputs[..., problem.tokenizer.unknown_id] += wrong
    tally = problem.tally()
    tally.add(outputs, batch.lengths, batch)
    return dict(tally.result().metrics)


def test_a_target_comes_out_where_what_is_written_is_it() -> None:
    """``<unk>`` is never written: a target with one does not come out, and one that only ``<unk>`` beats does."""
    problem = registry.make("task", "text-generation", target="target", tokenizer=Part("word", {"min_frequency": 2}))
    known, rare = {"text": "a", "target": "b b"}, {"text": "a", "target": "c"}
    problem.fit([known, rare])
    assert problem.tokenizer.encode("c") == [problem.tokenizer.unknown_id]
    assert sure_tally(problem, [known, rare])["exact_match"] == 0.5
    beaten = sure_tally(problem, [known], wrong=2.0)
    assert beaten["exact_match"] == 1.0 and beaten["accuracy"] == 0.0


@pytest.mark.parametrize("target", [None, "target"])
@pytest.mark.parametrize(("tokenizer", "options"), [
    ("char", {"min_frequency": 9}), ("word", {}), ("bpe", {}), ("pretrained", {})])
def test_bits_are_of_the_texts_own_characters(tokenizer: str, options: dict[str, Any], target: str | None) -> None:
    """However a token reads when it is decoded: ``<unk>`` is one character, or a word; <|endoftext|> none."""
    if tokenizer == "pretrained":
        options = {"path": tiny_folder("gpt2")}
    problem = registry.make("task", "text-generation", target=target, context=3, tokenizer=Part(tokenizer, options))
    rows = [{"text": "the film was good", "target": "one  😀 b"}, {"text": "c\nd 漢字 story", "target": "漢"}]
    problem.fit(rows)
    found = sure_tally(problem, rows)
    encoded = problem.encode(rows)
    count = sum(len(row[target or "text"]) for row in rows)
    tokens = sum(len(problem.tokenizer.encode(row[target or "text"])) + 1 for row in rows) + (0 if target else 1)
    assert encoded.characters.sum() == count
    assert found["bits_per_character"] == pytest.approx(found["loss"] * tokens / np.log(2) / count)


def test_a_target_that_is_cut_counts_the_characters_that_are_left() -> None:
    problem = registry.make("task", "text-generation", target="target", max_length=6)
    rows = [{"text": "ab", "target": "abcdef"}, {"text": "abcdefgh", "target": "abc"}]  # begin, a, b, begin: three are left
    problem.fit(rows)
    assert problem.encode(rows).characters.tolist() == [3, 0]


def test_a_text_whose_last_words_are_cut_is_not_right_as_a_whole() -> None:
    problem = registry.make("task", "token-classification", max_length=4)
    rows = [{"text": "a b c", "tags": "O X O"}, {"text": "a b", "tags": "O X"}]  # of the first, c has no room
    problem.fit(rows)
    batch = problem.collate(problem.encode(rows), np.arange(2))
    tally = problem.tally()
    tally.add(torch.nn.functional.one_hot(batch.targets.clamp(min=0), 2).float(), batch.lengths, batch)
    found = tally.result().metrics
    assert (found["whole_texts"], found["accuracy"]) == (0.5, 1.0)


@pytest.mark.parametrize("kind", [list, tuple, np.array, "pandas"])
def test_words_may_be_in_any_list(kind: Any) -> None:
    import pandas

    rows = [{"text": (pandas.Series if kind == "pandas" else kind)(["New York", "is"]), "tags": ["PLACE", "O"]}]
    problem = registry.make("task", "token-classification")
    problem.check({"train": rows})
    problem.fit(rows)
    assert problem.text(rows[0]) == "New York is" and len(problem.encode(rows).ids.row(0)) == 5


def test_text_in_bytes_is_read_and_bytes_that_are_none_are_named(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "mine.parquet"
    parquet.write_table(pyarrow.table({"text": ["gut, schön".encode(), b"bad", b"\xff\xfe"], "label": [b"up", b"down", b"up"],
                                       "number": [1, 2, 3], "words": [[b"a"], None, [b"b", b"c"]]}), path)
    rows = registry.make("dataset", "parquet", path=str(path)).read()
    assert rows[0] == {"text": "gut, schön", "label": "up", "number": 1, "words": ["a"]} and rows[1]["words"] is None
    problem = registry.make("task", "text-classification")
    problem.check({"train": rows[:2]})
    with pytest.raises(UsageError, match=r"1 of 3 rows \(train\) hold bytes that are no text \('text': byte 0 is not UTF-8\): "
                                         "rows 3. Save them as UTF-8"):
        problem.check({"train": rows})
    assert [isinstance(row, UsageError) for row in problem.asked(rows, path)] == [False, False, True]


@pytest.mark.parametrize(("task", "row", "said"), [
    ("text-classification", {"text": "a"}, "hold no 'label': rows 2"), ("text-classification", {"label": "x"}, "hold no text"),
    ("token-classification", {"text": "a"}, "have not as many tags as words: rows 2"),
    ("token-classification", {"text": "a", "tags": None}, "have not as many tags as words: rows 2"),
    ("text-generation", {"text": "a"}, "hold no 'target': rows 2"),
    ("text-generation", {"text": "a", "target": None}, "hold no 'target': rows 2")])
def test_rows_without_a_column_are_named(task: str, row: dict[str, Any], said: str) -> None:
    target = {"text-classification": "label", "token-classification": "tags"}.get(task, "target")
    problem = registry.make("task", task, target=target)
    with pytest.raises(UsageError, match=said):
        problem.check({"train": [{"text": "b", target: "x"}, row]})


@pytest.mark.parametrize(("words", "said"), [
    ((), "predict takes texts"), (("a text", "--input", "in.txt"), "one of them"), (("--input", "gone.csv"), "no such file"),
    (("--input", "in.xyz"), "allowed are files ending in .csv, .jsonl, .md, .ndjson, .parquet, .tsv, .txt\n"),
    (("hello", "--output", "in.xyz"), "nothing is overwritten"),
    (("-", "hello"), "predict: - stands for stdin, and goes alone: toolkit predict RUN -"),
    (("text=a", "text=b"), "predict: text is given twice, as 'a' and as 'b'; allowed: one of them"),
    (("--input", "other.csv"), "other.csv: it has no column 'text', which held the texts in training; it has a, b. Rename")])
def test_wrong_questions_are_explained(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    (tmp_path / "in.xyz").write_text("x")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    done = asked_here("predict", str(finished("lstm")), *words, cwd=tmp_path)
    assert done.code == 2 and said in done.err and not done.out


# -- writing on


def test_the_same_seed_writes_the_same_with_a_cache_and_without(tmp_path: Path) -> None:
    def written(*words: str) -> list[str]:
        found: list[str] = asked("words", "generate", "--prompt", "The ", "--max-tokens", "12", *words, "--json",
                                 cwd=tmp_path).json["texts"]
        return found

    once = written("--seed", "3")
    assert once == written("--seed", "3", "--no-cache") != written("--seed", "4")
    several = written("--seed", "3", "--count", "2")
    assert len(several) == 2 and several[0] == once[0]
    assert written("--temperature", "0") == written("--top-k", "1") == written("--top-k", "1", "--seed", "9")
    assert written("--beams", "3") == written("--beams", "3", "--no-cache")
    import toolkit

    assert toolkit.load(str(finished("words"))).generate("The ", max_tokens=12, seed=3) == once[0]


def test_what_cannot_write_on_says_so(tmp_path: Path) -> None:
    done = asked("lstm", "generate", "--prompt", "x", cwd=tmp_path)
    assert done.code == 2 and "does not generate" in done.err and "toolkit predict" in done.err
    assert asked("words", "generate", "--top-p", "0", cwd=tmp_path).code == 2
    done = asked("words", "predict", "The return value", cwd=tmp_path)
    assert done.code == 2 and "it has no answers, it writes on. Ask it: toolkit generate RUN --prompt TEXT" in done.err
    done = asked("words", "generate", "--beams", "4", "--temperature", "0.5", "--count", "2", cwd=tmp_path)
    assert done.code == 2 and done.out == ""
    assert "--beams 4 takes the likeliest text and draws nothing, so --temperature 0.5 and --count 2 would do nothing" in done.err
    assert "Leave out --temperature and --count, or --beams" in done.err
    for flag, value, said in (("--temperature", "inf", "0 or from 1e-06 to 1e+06"), ("--temperature", "1e-39", "or from"),
                              ("--temperature", "nan", "0 or from 1"), ("--seed", str(2**64), f"seed {2**64}; allowed: from 0")):
        done = asked_here("generate", str(finished("words")), flag, value, cwd=tmp_path)
        assert done.code == 2 and said in done.err and done.err.count("\n") == 1, done.err
    done = asked("words", "generate", "--temperature", "0", "--seed", "9", cwd=tmp_path)
    assert done.code == 2
    assert "--temperature 0 takes the likeliest text and draws nothing, so --seed 9 would do nothing. Leave out" in done.err


# -- a user's own data


def reviews(path: Path, count: int = 60) -> Path:
    generator = random.Random(0)
    rows = []
    for _ in range(count):
        good = generator.random() < 0.5
        word = generator.choice(["good", "brilliant"] if good else ["bad", "long"])
        text = f"the {generator.choice(['film', 'plot', 'ending'])} was {word} !"
        rows.append({"words": text, "mood": "up" if good else "down"})
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text("words,mood\n" + "".join(f"{row['words']},{row['mood']}\n" for row in rows))
    return path


OWN = ("--text-column", "words", "--target", "mood", "--preset", "none", "--batch-size", "8", "--threads", "1")


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_users_file_is_learned(ending: str, tmp_path: Path) -> None:
    path = reviews(tmp_path / f"mine.{ending}")
    done = command("run", "text-classification", "--data", str(path), *OWN, *RECURRENT, "--epochs", "15", "--learning-rate",
                   "0.02", "--out", "run", "--json", cwd=tmp_path).json
    assert done["evaluation"]["accuracy"] == 1.0
    assert command("evaluate", "run", "--json", cwd=tmp_path).json == done["evaluation"]
    again, = command("predict", "run", "the story was brilliant !", "--json", cwd=tmp_path).json["answers"]
    assert again["label"] == "up"


@pytest.mark.parametrize(("words", "said"), [
    (("--text-column", "word"), "Did you mean 'words'"), (("--target", "moods"), "Did you mean 'mood'"),
    (("--model", "transformer-lm"), "is not one for text: it is for next. Allowed here: bert, gru"),
    (("--model", "mlp"), "it is for columns. Allowed here: bert, gru-classifier"),
    (("--model", "pretrained"), "add --tokenizer pretrained")])
def test_wrong_data_and_models_are_explained(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    path = reviews(tmp_path / "mine.csv", 30)
    done = asked_here("run", "text-classification", "--data", str(path), *OWN, *words, "--epochs", "1", cwd=tmp_path)
    assert done.code == 2 and said in done.err and not done.out, done.err


@pytest.mark.parametrize(("row", "said"), [(",up", "hold no text: rows 32"), ("the film,", "hold no 'mood': rows 32"),
                                            ("\u2003,up", "hold no text: rows 32")])
def test_empty_texts_and_classes_are_named_before_training(row: str, said: str, tmp_path: Path) -> None:
    path = reviews(tmp_path / "mine.csv", 30)
    path.write_text(path.read_text() + row + "\n", "utf-8")
    done = asked_here("run", "text-classification", "--data", str(path), *OWN, "--epochs", "1", cwd=tmp_path)
    assert done.code == 2 and f"1 of 31 rows (train) {said}. Take them out" in done.err, done.err


# -- pretrained models


def pretrained_words(folder: str, path: Path, *more: str) -> list[str]:
    return ["run", "text-classification", "--data", str(path), *OWN, "--model", "pretrained", "--model.path", folder,
            "--tokenizer", "pretrained", "--tokenizer.path", folder, "--epochs", "6", "--learning-rate", "0.01", *more]


@pytest.mark.parametrize("freeze", ["none", "gradual", "all"])
def test_a_tiny_bert_is_tuned_offline_and_its_folder_is_not_needed_after(freeze: str, tmp_path: Path,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = shutil.copytree(tiny_folder(), tmp_path / "bert")
    path = reviews(tmp_path / "mine.csv")
    words = pretrained_words(str(folder), path, "--model.freeze", freeze)
    done = command(*words, "--out", "whole", "--json", cwd=tmp_path).json
    assert done["evaluation"]["accuracy"] >= (0.9 if freeze != "all" else 0.5)
    steps = done["steps"]
    assert command(*words, "--out", "broken", cwd=tmp_path, die=Die("step", int(steps * 0.6))).code == -9
    shutil.rmtree(folder)
    resumed = command("resume", "broken", "--json", cwd=tmp_path)
    assert resumed.code == 0, resumed.err
    assert outcome(tmp_path / "broken") == outcome(tmp_path / "whole")
    answer, = command("predict", "whole", "the film was brilliant !", "--json", cwd=tmp_path).json["answers"]
    assert set(answer) >= {"label", "probability"}


@pytest.mark.parametrize(("task", "kind"), [("text-generation", "gpt2"), ("masked-language-model", "bert")])
def test_a_folders_own_head_learns_while_the_layers_are_frozen(task: str, kind: str, tmp_path: Path) -> None:
    folder = tiny_folder(kind)
    (tmp_path / "mine.txt").write_text("the film was good ! " * 60)
    own = ("--model", "pretrained", "--model.path", folder, "--tokenizer", "pretrained", "--tokenizer.path", folder)
    done = command("run", task, "--data", "mine.txt", *own, "--model.freeze", "gradual", "--epochs", "2", "--preset", "none",
                   "--out", "run", "--json", cwd=tmp_path)
    assert done.code == 0, done.err


def test_a_body_learned_from_hidden_tokens_goes_on_to_classes_and_to_others(tmp_path: Path) -> None:
    first = copy_of(finished("masked"), tmp_path)
    bert = ("--preset", "none", "--model", "bert", *ATTENTIVE, "--model.longest", "64", "--tokenizer", "wordpiece",
            "--tokenizer.max-size", "300", "--epochs", "1", "--json")
    done = command("run", "text-classification", "--data", "template-reviews", *MADE, *bert, "--init-from", str(first),
                   "--out", "second", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "accuracy" in done.json["evaluation"]
    rows = [f"the film was {word},{label}" for word, label in (("brilliant", "yes"), ("terrible", "no")) for _ in range(10)]
    (tmp_path / "own.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    done = command("run", "text-classification", "--data", "own.csv", *bert, "--init-from", "second", "--out", "third",
                   cwd=tmp_path)
    assert done.code == 0, done.err
    done = command("run", "text-classification", "--data", "template-reviews", *MADE, "--init-from", str(first), cwd=tmp_path)
    assert done.code == 2 and done.err.strip().endswith(
        "its model is 'bert', here 'lstm-classifier' and tokenizer is 'wordpiece', here 'basic-english'. "
        "Parameters fit where they came from; add --model bert --tokenizer wordpiece")


@pytest.mark.parametrize(("task", "kind", "model", "said"), [
    ("text-generation", "bert", "pretrained", "looks at later tokens"),
    ("text-generation", "bert", "bert", "is not one for next: it is for text, position, masked."),
    ("text-generation", "gpt2", "pretrained", ""), ("masked-language-model", "bert", "pretrained", "")])
def test_a_model_that_looks_ahead_never_learns_what_comes_next(task: str, kind: str, model: str, said: str,
                                                               tmp_path: Path) -> None:
    folder = tiny_folder(kind)
    (tmp_path / "mine.txt").write_text("the film was good ! " * 60)
    own = ("--model.path", folder, "--tokenizer", "pretrained", "--tokenizer.path", folder) if model == "pretrained" else ()
    cut = ("--context", "16") if task == "text-generation" else ("--max-length", "32")
    done = command("run", task, "--data", "mine.txt", "--model", model, *own, *cut, "--epochs", "1", "--preset", "none",
                   "--out", "run", "--json", cwd=tmp_path)
    assert done.code == (2 if said else 0) and said in done.err and "Traceback" not in done.err, done.err


LONG = ("--model.width", "8", "--model.heads", "2", "--model.hidden", "8", "--model.layers", "1", "--model.longest", "32")


@pytest.mark.parametrize(("words", "said"), [
    (("text-classification", "--model", "transformer-classifier", *LONG, "--max-length", "40"),
     "an example of train has 40 positions, and the model has room for 32. "
     "Allowed: --max-length of at most 32 (it is 40), or --model.longest of at least 40 (it is 32)\n"),
    (("masked-language-model", *LONG), "--max-length of at most 32 (it is 256), or --model.longest of at least 63 (it is 32)\n"),
    (("text-generation", *LONG, "--model.positions", "learned", "--context", "33"),
     "has 33 positions, and the model has room for 32. "
     "Allowed: --context of at most 32 (it is 33), or --model.longest of at least 33 (it is 32)\n"),
    (("text-classification", "--model", "pretrained", "--max-length", "600"),
     "an example of train has 600 positions, and the model has room for 512. "
     "Allowed: --max-length of at most 512 (it is 600)\n"),
    (("text-generation", "--max-length", "33"),
     "33 would do nothing: without a target whole texts are learned, cut to --context. Name that, or leave it out\n"),
    (("text-generation", "--target", "label", "--context", "9"),
     "--context 9 would do nothing: the column 'label' is learned, cut to --max-length. Name that, or leave it out\n")])
def test_lengths_that_do_not_go_together_are_refused_before_the_run(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    folder = tiny_folder() if "pretrained" in words else ""
    tokens = ("--tokenizer", "pretrained" if folder else "word")
    own = (*tokens, *(("--model.path", folder, "--tokenizer.path", folder) if folder else ()))
    lines = [f"{'film ' * (700 if folder else 60)}{number},{number % 2}" for number in range(6)]
    (tmp_path / "mine.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    rest = ("--data", str(tmp_path / "mine.csv"), "--epochs", "1", "--preset", "none")
    done = asked_here("run", *words, *own, *rest, cwd=tmp_path)
    assert done.code == 2 and done.err.endswith(said), done.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


def test_what_a_config_file_says_of_every_setting_may_do_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("the film was good ! " * 30)
    words = ("run", "text-generation", "--data", "mine.txt", "--preset", "none", *ATTENTIVE, "--epochs", "1")
    (tmp_path / "mine.toml").write_text(command(*words, "--print-config", cwd=tmp_path).out)
    assert "max-length" in (tmp_path / "mine.toml").read_text().replace("_", "-")
    assert command("run", "text-generation", "--config", "mine.toml", "--out", "run", cwd=tmp_path).code == 0


def test_positions_that_turn_have_room_for_texts_of_any_length() -> None:
    model = registry.make("model", "transformer-classifier", inputs=9, outputs=2, spec=TextSpec(0), width=8, heads=2, layers=1,
                          longest=8, positions="rotary")
    assert model.room is None and model(torch.ones(1, 20, dtype=torch.long))[0].shape == (1, 2)


def test_how_large_a_model_is_is_said_before_it_is_trained(tmp_path: Path) -> None:
    done = command(*words_of("masked"), "--epochs", "0.1", "--out", "run", cwd=tmp_path)
    assert done.code == 0 and re.search(r"^bert: [\d,]+ parameters\n", done.err), done.err
    assert size_text("model", "bert", 109_514_298) == (
        "bert: 109,514,298 parameters, about 1.3 GB in each checkpoint. Its sizes are settings: toolkit info model bert")
    assert size_text("vocoder", "vocos", 5_000_000, 70_000_000) == (
        "vocos: 5,000,000 parameters, taught by critics of 70,000,000, about 0.9 GB in each checkpoint")


def test_a_masked_model_of_the_built_in_data_is_small(tmp_path: Path) -> None:
    shown = command("run", "masked-language-model", "--data", "template-reviews", "--print-config", cwd=tmp_path).out
    assert re.search(r"width *= 96 *# preset", shown) and re.search(r"layers *= 2 *# preset", shown)


def test_settings_that_name_no_folder_are_explained(tmp_path: Path) -> None:
    path = reviews(tmp_path / "mine.csv", 30)
    done: Any = command(*pretrained_words(str(tmp_path / "gone"), path), cwd=tmp_path)
    assert done.code != 0 and "tokenizer could be read" in done.err and "Traceback" not in done.err


def test_texts_of_a_class_each_leave_none_to_hold_out() -> None:
    problem = registry.make("task", "text-classification")
    problem.target_name = "label"
    with pytest.raises(UsageError, match="2 examples to train on, each of another class: none can be held out"):
        problem.held_out([{"text": "ok", "label": "good"}, {"text": "no", "label": "bad"}])


def test_a_folder_is_found_by_its_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("clips", "wine"):
        (tmp_path / name).mkdir()
    entry = registry.get("task", "audio-classification")
    assert with_data_file({"data": "clips"}, entry) == {"data": "recordings", "data.path": str(tmp_path / "clips")}
    assert with_data_file({"data": "wine"}, registry.get("task", "tabular-classification")) == {"data": "wine"}
