"""Tables: what odd columns and cells become, and which rows are too odd to be learned from."""

from __future__ import annotations

import io
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toolkit.config import Part
from toolkit.core.clock import Clock
from toolkit.core.numeric import number
from toolkit.core.problem import Batch
from toolkit.core.rows import Row, csv_rows, refuse_broken
from toolkit.core.seeding import Streams
from toolkit.core.tabular import MISSING, Column, fit_column, is_missing
from toolkit.core.tallies import ClassTally
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training.data import divide
from toolkit.training.supervised import SupervisedTask, assemble
from toolkit.training.supervised_folds import check_folds, simplest, summary


class Rows:
    """A data set of these splits."""

    target = "y"

    def __init__(self, **splits: Sequence[Mapping[str, Any]]) -> None:
        self._splits = splits

    def splits(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        return self._splits


def task_of(name: str = "tabular-classification", ignore: Sequence[str] = (),
            **splits: Sequence[Mapping[str, Any]]) -> SupervisedTask:
    problem = registry.make("task", name, ignore=ignore)
    return assemble(problem, divide(Rows(**splits), problem), Clock(10), Streams(0), torch.device("cpu"))


@pytest.mark.parametrize("count", [3, 7, 100])
def test_a_column_that_is_always_the_same_says_nothing_however_its_mean_is_rounded(count: int) -> None:
    assert np.full(count, 0.1).std() > 0, "not what this test is about"
    assert fit_column("x", [{"x": 0.1}] * count, 100) is None
    gapped = fit_column("x", [{"x": 0.1}] * count + [{}], 100)
    assert gapped is not None and gapped.encode([{"x": 0.2}, {"x": None}])[:, 0] == pytest.approx([0.1, 0.0])
    with pytest.raises(UsageError, match="all rows have the same 'y'"):
        task_of("tabular-regression", train=[{"x": row, "y": 0.1} for row in range(count)], validation=[{"x": 0, "y": 0.1}])


def test_whole_numbers_too_large_for_a_float_are_words() -> None:
    with pytest.warns(UserWarning, match="'x' is read as categories: 1 of its 3 values are no finite numbers, such as 10"):
        fit_column("x", [{"x": value} for value in (1, 10**400, 2)], 100)


def test_numbers_with_commas_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x;y;z;city\n3,14;1;1,200.5;Ulm\n2;2;;Bonn\n-1,5e3;3;7;Bonn, Ulm\n")
    rows = registry.make("dataset", "csv", path=str(path)).splits()["train"]
    for name, told in (("x", "2 of its 3 values are no finite numbers, such as '3,14' in row 2"),
                       ("z", "1 of its 2 values are no finite numbers, such as '1,200.5' in row 2")):
        with pytest.warns(UserWarning, match=rf"column '{name}' is read as categories: {told}. Write them with a decimal point "
                          rf"and no comma, or leave the column out: --ignore {name}$"):
            fit_column(name, rows, 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit_column("city", rows, 100) and fit_column("y", rows, 100)


@pytest.mark.parametrize("spell", [
    lambda flag: flag, lambda flag: np.bool_(flag), lambda flag: str(flag), lambda flag: str(flag).lower(),
    lambda flag: str(flag).upper(), lambda flag: str(int(flag)), int])
def test_booleans_are_the_same_column_however_a_file_spells_them(spell: Any) -> None:
    """Of four rows three are true: mean 3/4, deviation sqrt(3)/4, so that true is 1/sqrt(3) and false -sqrt(3)."""
    column = fit_column("x", [{"x": spell(flag)} for flag in (True, True, False, True)], 100)
    assert column is not None and not column.categories
    asked = [{"x": value} for value in (True, "true", " TRUE", "1", 1, np.bool_(True), False, "False", "0", 0.0)]
    assert column.encode(asked)[:, 0] == pytest.approx([3**-0.5] * 6 + [-(3**0.5)] * 4)
    with pytest.raises(UsageError, match="row 1: column 'x' was a number in training; got 'treu'; allowed: true, false and"):
        column.encode([{"x": "treu"}])
    gapped = fit_column("x", [{"x": spell(True)}, {"x": ""}], 100)
    assert gapped is not None and gapped.encode([{"x": "true"}, {"x": False}, {}]).tolist() == [[0, 0], [-1, 0], [0, 1]]
    ages = fit_column("x", [{"x": age} for age in (1, 2, 3)], 100)
    assert ages is not None
    with pytest.raises(UsageError, match="got 'true'"):
        ages.encode([{"x": "true"}])


@pytest.mark.parametrize("form", ["utf-16-be", "utf-16-le"])
def test_a_file_in_utf_16_is_told_of(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a b.csv"
    path.write_bytes("\ufeffx,y\n1,é\n".encode(form))
    told = "byte 0 is not UTF-8; save the file as UTF-8. It is UTF-16, Excel's Unicode text: iconv -f UTF-16 -t UTF-8 '/"
    with pytest.raises(UsageError, match=told):
        registry.make("dataset", "csv", path=str(path)).splits()


def test_words_that_are_gaps_are_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "tables.md").read_text()
    assert not [word for word in MISSING - {""} if f"`{word}`" not in text]


def test_rows_with_nul_characters_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for raw, row in (b"x,y\n1,a\n2,b\0c\n", 3), ("x,y\n1,a\n".encode("utf-16-le"), 1):
        path.write_bytes(raw)
        with pytest.raises(UsageError, match=f"row {row}: it holds NUL characters, which text has none of"):
            registry.make("dataset", "csv", path=str(path)).splits()


def test_booleans_among_words_are_the_categories_true_and_false_and_those_of_old_runs_are_found() -> None:
    column = fit_column("x", [{"x": value} for value in (True, "FALSE", "maybe", "Maybe")], 100)
    assert column is not None and column.categories == ("Maybe", "false", "maybe", "true")
    assert column.encode([{"x": value} for value in (False, "True", "Maybe", "1")]).argmax(1).tolist() == [1, 3, 0, 0]
    assert not column.encode([{"x": "1"}]).any()
    old = Column("x", categories=("", "TRUE", "false", "true"))
    assert old.encode([{"x": value} for value in (None, "TRUE", "False", True)]).argmax(1).tolist() == [0, 1, 2, 3]


def test_categories_that_training_has_not_seen_are_told_of_once_a_column() -> None:
    task = task_of(train=[{"x": index, "town": ("Ulm", "Bonn", "")[index % 3], "y": "ab"[index % 2]} for index in range(12)])
    problem: Any = task.problem
    asked = [{"x": 1, "town": town} for town in ("Ulm", None, "Umm", "Rom")]
    with pytest.warns(UserWarning, match=r"column 'town' holds 'Umm', none of the categories trained on: Bonn, Ulm\. "
                      "It is answered as none of them"):
        problem.encode(asked, targets=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        problem.encode([{"x": 1, "town": "Rom"}], targets=False)
        problem.told.clear()
        problem.encode(asked[:2], targets=False)
        problem.encode([{"x": 1, "town": "Rom", "y": "a"}])  # held-out rows have new ones as a matter of course


@pytest.mark.parametrize("spell", ["{0}%", "{0}.5 USD", "$ {0}", "2024-01-{0:02}", "2024-01-01T{0:02}:00:00Z", "code {0}x"])
def test_columns_of_nearly_as_many_categories_as_rows_are_told_of(spell: str) -> None:
    rows = [{"x": spell.format(row)} for row in range(21)]
    said = rf"column 'x' is read as categories: its \d+ values are 21 .*, such as '{re.escape(spell.format(0))}' in row 1"
    with pytest.warns(UserWarning, match=rf"{said}, .* a date as a number of days, or leave the column out: --ignore x$"):
        fit_column("x", rows, 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit_column("x", rows[:19], 100) and fit_column("x", rows[:10] * 3, 100), "too few rows, or few categories"
        if spell.startswith("code"):
            assert fit_column("x", rows * 3, 100), "a third as many"
            return
    with pytest.warns(UserWarning, match=said):
        fit_column("x", rows * 3, 100)


@pytest.mark.parametrize(("spellings", "classes", "said"), [
    (["1", "0", "1.0", 1, 0], ["0", "1"], "'y' holds '1', '1.0', which are read as one class, '1'"),
    (["TRUE", "false", False, "false", True], ["TRUE", "false"], "'y' holds 'false', 'False', which .* holds 'TRUE', 'True'"),
    ([1.0, 2.0, "2.00", 2.0, "1.0"], ["1.0", "2.0"], "'y' holds '2.0', '2.00', which are read"),
    (["007", "7", "1.10", "1.1", "Yes"], ["007", "1.1", "1.10", "7", "Yes"], ""), ([True, False] * 3, ["False", "True"], "")])
def test_classes_that_differ_in_spelling_alone_are_one_and_told_of(spellings: list[Any], classes: list[str], said: str) -> None:
    rows = [{"x": index, "y": spelling} for index, spelling in enumerate(spellings * 4)]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        task = task_of(train=rows, validation=rows)
    problem: Any = task.problem
    assert problem.classes == classes and re.match(said or "$", " ".join(str(warning.message) for warning in told))
    if classes == ["0", "1"]:
        assert problem.encode([{"x": 1, "y": spelling} for spelling in ("1.00", 0.0, 1)]).targets.tolist() == [1, 0, 1]
        with pytest.raises(UsageError, match="'y' holds '2.0' in row 1, which is not among the classes trained on: 0, 1"):
            problem.encode([{"x": 1, "y": "2.0"}])
        problem.classes = ["0", "1", "1.0"]  # of an old run
        assert problem.encode([{"x": 1, "y": spelling} for spelling in (1, 1.0, "0.0")]).targets.tolist() == [1, 2, 0]
        assert simplest({"train": rows, "validation": rows}, problem) == 0.6


def test_intervals_over_folds_end_where_their_metric_does() -> None:
    """Of 2 folds, 0.8 and 1: the mean 0.9, the variance 0.02, t 12.706, and half of the interval sqrt(1.5 * 0.02) of it."""
    found = summary([dict.fromkeys(("accuracy", "r2", "rmse", "odd"), value) for value in (0.8, 1.0)], [0.5, 0.5], 2)
    ends = {name: (found[f"{name}/cv_low"], found[f"{name}/cv_high"]) for name in ("accuracy", "r2", "rmse", "odd")}
    low, high = (pytest.approx(0.9 + sign * 2.2008, abs=1e-4) for sign in (-1, 1))
    assert ends == {"accuracy": (0, 1), "r2": (low, 1), "rmse": (0, high), "odd": (low, high)}


def test_a_number_beside_which_the_others_hardly_differ_is_told_of() -> None:
    rows = [{"x": str(index), "y": index} for index in range(60)]
    assert fit_column("x", rows, 100) is not None  # without a word, as warnings are errors here
    rows[7]["x"], rows[5]["x"], rows[9]["y"] = "1e12", "", 10**7
    with pytest.warns(UserWarning, match="column 'x' holds '1e12' in row 8, so far from the others .*: half of them are within "
                                         "0.01 deviations of each other. Correct it, or leave the column out: --ignore x$"):
        fit_column("x", rows, 100)
    problem = registry.make("task", "tabular-regression", target="y")
    with pytest.warns(UserWarning, match="'y' holds 10000000, so far from the others .* Correct it, or take it out of the data$"):
        problem.fit_numbers([row["y"] for row in rows])


def test_a_column_whose_name_holds_a_comma_can_be_left_out() -> None:
    rows = [{"x": index, "a, b": [], "y": "ab"[index % 2]} for index in range(12)]
    with pytest.raises(UsageError, match="column 'a, b' holds list values; .* Leave it out: --ignore '\"a, b\"'"):
        task_of(train=rows)
    assert [column.name for column in task_of(train=rows, ignore=("a, b",)).problem.columns] == ["x"]
    with pytest.raises(UsageError, match="no column 'a' to leave out. .*Allowed for --ignore: x, \"a, b\"."):
        task_of(train=rows, ignore=("a", "b"))


def test_columns_that_only_some_rows_have_are_seen() -> None:
    rows = [{"x": index, **({"late": index % 2} if index > 3 else {}), "y": "ab"[index % 2]} for index in range(12)]
    task = task_of(train=rows)
    assert [column.name for column in task.problem.columns] == ["x", "late"]
    with pytest.raises(UsageError, match="rows lack the column 'late', which"):
        task.problem.encode([{"x": 1, "y": "a"}])
    with pytest.raises(UsageError, match="row 2: it lacks the column 'late', which the .* trained on; an empty value is"):
        task.problem.encode([{"x": 1, "late": 0}, {"x": 1}], targets=False)
    assert task.problem.encode([{"x": 1, "late": None}], targets=False).size() == 1
    full, short, empty = task.problem.asked([{"x": 1, "late": ""}, {"late": 1}, {}], Path("rows.jsonl"))
    assert full == {"x": 1, "late": ""} and str(short).startswith("it lacks the column 'x', which")
    assert str(empty).startswith("it lacks the columns 'x', 'late', which")


@pytest.mark.parametrize("value", ["true", "False", True, np.False_])
def test_true_and_false_are_no_numbers_to_learn_whatever_file_they_are_of(value: Any) -> None:
    with pytest.raises(UsageError, match=r"2 of 12 rows \(train\) hold no number as 'y'.*predict a class: toolkit run"):
        task_of("tabular-regression", train=[{"x": index, "y": index if index % 6 else value} for index in range(12)])


@pytest.mark.parametrize("value", ["1e39", "-1e300", 1e39, "inf", 10**39])
def test_numbers_that_float32_cannot_hold_are_refused_with_row_and_column(value: Any) -> None:
    rows = [{"x": index, "y": index % 5} for index in range(12)]
    task = task_of("tabular-regression", train=rows)
    with pytest.raises(UsageError, match="row 2: column 'x' was a number in training; got .*; allowed: finite numbers, of "):
        task.problem.encode([{"x": 1}, {"x": value}], targets=False)
    with pytest.raises(UsageError, match=r"1 of 12 rows \(train\) hold no number as 'y': rows 4. Correct them \(allowed: finite"):
        task_of("tabular-regression", train=[*rows[:3], {"x": 3, "y": value}, *rows[4:]])


def test_numbers_that_float32_cannot_hold_after_scaling_are_refused() -> None:
    task = task_of("tabular-regression", train=[{"x": index, "y": index} for index in range(12)])
    with pytest.raises(UsageError, match="row 2: column 'x' had the mean .*; got 3e.38, too far from it for float32"):
        task.problem.encode([{"x": 1}, {"x": 3e38}], targets=False)
    with pytest.raises(UsageError, match="'y' holds -3e.38, too far from the numbers of training"):
        task.problem.encode([{"x": 1, "y": 1}, {"x": 1, "y": -3e38}])
    assert number(np.finfo(np.float32).max) is not None and number("3.4028235e+38") is not None and number("3.4028236e38") is None


def test_splits_without_examples_are_as_if_they_were_not_there() -> None:
    rows = [{"x": index, "y": "ab"[index % 2]} for index in range(12)]
    assert sorted(task_of(train=rows, validation=[], test=[]).splits) == ["train", "validation"]
    with pytest.raises(UsageError, match="the data has no examples to train on; it has test"):
        task_of(train=[], test=rows)


def test_targets_that_are_all_the_same_have_no_r2(recwarn: pytest.WarningsRecorder) -> None:
    rows = [{"x": index, "y": index} for index in range(12)]
    task = task_of("tabular-regression", train=rows, validation=[{"x": index, "y": 7} for index in range(4)])
    assert sorted(task.evaluate(final=True).summary) == ["mae", "mse", "rmse", "split"] and not list(recwarn)


def test_patience_counts_from_the_best_score_that_is_a_number() -> None:
    rows = [{"x": index, "y": "ab"[index % 2]} for index in range(12)]
    problem = registry.make("task", "tabular-classification", patience=2)
    task = assemble(problem, divide(Rows(train=rows), problem), Clock(10), Streams(0), torch.device("cpu"))
    for score in (float("nan"), 1.0, 2.0, 3.0, float("nan")):
        task._consider_stopping(score)
    assert task.clock.remaining == 10
    task._consider_stopping(2.0)
    assert not task.clock.remaining


def test_a_run_that_was_given_more_after_patience_had_ended_it_goes_on() -> None:
    def task(budget: int, state: Any = None) -> SupervisedTask:
        problem = registry.make("task", "tabular-classification", patience=2)
        rows = [{"x": index, "y": "ab"[index % 2]} for index in range(12)]
        made = assemble(problem, divide(Rows(train=rows), problem), Clock(budget), Streams(0), torch.device("cpu"))
        if state is not None:
            made.clock.step = 4
            made.parts()["progress"].load_state_dict(state)
        return made

    first = task(10)
    first.clock.step = 4
    for score in (3.0, 1.0, 2.0):
        first._consider_stopping(score)
    state = first.parts()["progress"].state_dict()
    assert state == {"scores": [3.0, 1.0, 2.0], "stopped": 10} and not first.clock.remaining
    assert not task(10, state).clock.remaining and task(30, state).clock.remaining == 26
    ended = {"scores": [3.0], "stopped": task(4).parts()["progress"].state_dict()["stopped"]}
    assert task(30, ended).clock.remaining == 26, "an end that patience did not bring is none to keep"
    assert not task(10, {"scores": [], "stopped": True}).clock.remaining, "as runs of earlier versions say it"


def test_objects_in_a_column_are_refused_as_lists_are() -> None:
    for odd in ({"a": 1}, [1, 2]):
        with pytest.raises(UsageError, match=f"column 'x' holds {type(odd).__name__} values; allowed: numbers and words"):
            fit_column("x", [{"x": 1}, {"x": odd}], 100)


def test_a_file_of_tabs_is_cut_at_them_whatever_its_header_holds() -> None:
    for name, key in (("a.tsv", "text, cleaned, once"), ("a.csv", "text")):
        (row,) = csv_rows(io.StringIO("text, cleaned, once\tlabel\nwell,then,so\tx\n"), Path(name))
        assert key in row, row


def test_codes_with_underscores_and_digits_of_other_scripts_are_words() -> None:
    assert [number(value) for value in ("1_12", "١٢", " 12 ", "1e3", "\xa012")] == [None, None, 12.0, 1000.0, 12.0]
    column = fit_column("x", [{"x": value} for value in ("1_12", "11_2") * 3], 100)
    assert column is not None and column.categories == ("11_2", "1_12")


def test_the_gaps_of_pandas_are_gaps() -> None:
    pandas = pytest.importorskip("pandas")
    assert all(map(is_missing, (pandas.NaT, pandas.NA, np.float32("nan"), np.float64("nan"), float("nan"), None)))
    assert not any(map(is_missing, (pandas.Timestamp(0), np.float32(0), 0, "0")))


def test_the_nameless_index_of_pandas_is_no_column(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"x": range(20), "y": list("ab" * 10)}).sample(frac=1, random_state=0)
    frame.to_parquet(tmp_path / "shuffled.parquet")
    frame.set_index("x").to_parquet(tmp_path / "named.parquet")
    for name in ("shuffled", "named"):
        rows = registry.make("dataset", "parquet", path=str(tmp_path / f"{name}.parquet")).splits()["train"]
        assert all(set(row) == {"x", "y"} for row in rows) and sorted(row["x"] for row in rows) == list(range(20))


def test_what_a_run_has_learned_from_is_not_predicted_with_it() -> None:
    rows = [{"a": float(index % 5), "b": float(index % 7), "y": float(index % 3)} for index in range(40)]
    first = registry.make("task", "tabular-regression")
    first.target_name = "y"
    first.fit(rows)
    second = registry.make("task", "tabular-regression", target="a")
    second.inherit(first.facts())
    with pytest.raises(UsageError, match="has learned from the column 'a', which is to be predicted here.*Leave out --init-from"):
        second.fit(rows)


def test_folds_count_classes_by_what_they_mean_and_refuse_what_goes_by_evaluations() -> None:
    rows = [{"x": index, "y": "1.0" if index == 3 else "12"[index % 2]} for index in range(20)]
    problem = registry.make("task", "tabular-classification")
    problem.target_name = "y"
    check_folds(problem, Rows(train=rows), 4)
    problem = registry.make("task", "tabular-classification", scheduler="plateau")
    problem.target_name = "y"
    with pytest.raises(UsageError, match="--folds 4: --scheduler plateau falls by evaluations"):
        check_folds(problem, Rows(train=rows), 4)


def test_a_batch_of_one_row_is_normalised_by_the_running_statistics() -> None:
    model = registry.make("model", "mlp", inputs=3, outputs=2, hidden_sizes=(4,), norm="batch")
    model.train()
    row = torch.randn(1, 3)
    found, kept = model(row)[0], {name: value.clone() for name, value in model.state_dict().items()}
    assert torch.equal(found, model.eval()(row)[0])
    assert all(torch.equal(kept[name], value) for name, value in model.state_dict().items()), "one row says nothing of them"
    rows = [{"x": index, "y": "ab"[index % 2]} for index in range(17)]
    problem = registry.make("task", "tabular-classification", batch_size=8, model=Part("mlp", {"norm": "batch"}))
    task = assemble(problem, divide(Rows(train=rows, validation=rows), problem), Clock(17), Streams(0), torch.device("cpu"))
    while task.clock.remaining:
        task.advance()


def test_evaluations_of_many_classes_keep_counts_alone() -> None:
    tally = ClassTally([str(place) for place in range(1000)])
    tally.add(torch.zeros(2000, 1000), None, Batch(torch.zeros(2000, 1), targets=torch.zeros(2000, dtype=torch.int64),
                                                   indices=range(2000)))
    details = tally.result().details
    assert details["count"] == 2000 and "probabilities" not in details and "predictions" not in details


def test_cells_longer_than_pythons_limit_are_read(tmp_path: Path) -> None:
    path, text = tmp_path / "long.csv", "word " * 50_000
    path.write_text(f"text,label\n{text},a\n")
    assert registry.make("dataset", "csv", path=str(path)).splits()["train"] == [{"text": text, "label": "a"}]


@pytest.mark.parametrize(("content", "message"), [
    ('x,y\n1,a\n"2,b\n3,c\n4,d\n', "row 3: a quote that opens in it is not closed, so that 2 more lines became its text. Cl"),
    ('x,y\n"1,a\n2,"b"\n3,c\n', "row 2: a quote that opens in it is not closed, so that 1 more line became its"),
    ('x,y\n1,"a', "row 2: a quote that opens in it is not closed. Close it, or double it where it is meant$"),
    ('x,"y\n1,a\n', "row 1: a quote that opens in it is not closed, so that 1 more line became its")])
@pytest.mark.parametrize("strict", [False, True])
def test_a_quote_that_is_not_closed_is_named_where_it_opens(content: str, message: str, strict: bool) -> None:
    with pytest.raises(UsageError, match=message):
        rows = list(csv_rows(io.StringIO(content), Path("a.csv"), strict=strict))
        refuse_broken({row.number: row.fault for row in rows if row.fault}, Path("a.csv"))


def test_quotes_that_are_closed_are_read_as_they_were() -> None:
    content = 'x,y\n"1\n2","a ""b"" c"\n"3" ,4" pipe\n"5",""\n'
    assert list(csv_rows(io.StringIO(content), Path("a.csv"))) == [
        {"x": "1\n2", "y": 'a "b" c'}, {"x": "3 ", "y": '4" pipe'}, {"x": "5", "y": ""}]


@pytest.mark.parametrize(("name", "content"), [("jsonl", json.dumps({"text": "x"})), ("text", "x"), ("csv", "text\nx")])
def test_the_mark_that_some_editors_begin_a_file_with_is_no_text(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("\ufeff" + content, encoding="utf-8")
    assert registry.make("dataset", name, path=str(tmp_path / "file")).splits()["train"] == [{"text": "x"}]


@pytest.mark.parametrize(("copies", "ignore", "told"), [(0, ["number"], False), (1, ["number"], False), (2, ["number"], True),
                                                        (2, [], False)])
def test_rows_held_out_that_are_trained_on_too_are_told_of(copies: int, ignore: list[str], told: bool) -> None:
    rows = [Row({"x": str(index), "y": "ab"[index % 2], "number": str(index)}, index + 2) for index in range(60)]
    held = [Row({**(rows[index] if index < copies else {"x": f"{index}.5", "y": "a"}), "number": str(100 + index)}, 100 + index)
            for index in range(20)]
    problem = registry.make("task", "tabular-classification", ignore=ignore, target="y")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        divide(Rows(train=rows, validation=held), problem, begins=True)
    said = [str(warning.message) for warning in caught if "trained on too" in str(warning.message)]
    assert said == ([f"of the 20 rows of validation, {copies} are trained on too, since the data has them more than once: how "
                     "well they are answered says little about new rows. Take copies out, or keep them together by a column "
                     "split (train, validation, test)"] if told else [])
