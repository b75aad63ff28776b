"""Settings: types, bounds, parsing, files."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, make_dataclass
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.config import (
    ConfigError,
    Part,
    Resolved,
    build,
    flag_with,
    flatten,
    from_json,
    part,
    setting,
    settings_of,
    to_json,
    value_text,
)


@dataclass(frozen=True)
class Everything:
    """One knob of each sort."""

    count: int = setting(3, "how many", unit="things", minimum=1)
    rate: float = setting(0.1, "how fast", above=0, below=1)
    limit: float | None = setting(None, "how far", minimum=0)
    mode: str = setting("a", "which", choices=("a", "b"))
    spelled: Literal["x", "y"] = "x"
    flag: bool = setting(True, "whether")
    sizes: tuple[int, ...] = setting((1, 2), "sizes", minimum=1)
    names: tuple[str, ...] = setting((), "names", later=True)
    body: Part = part("network", "mlp", "the body", {"hidden_sizes": (3,)})


KNOWN = {item.name: item for item in settings_of(Everything)}


def test_fields_become_settings() -> None:
    assert KNOWN["count"].allowed == "a whole number at least 1"
    assert KNOWN["rate"].allowed == "a number above 0 and below 1"
    assert [item.name for item in KNOWN.values() if item.later] == ["names"]
    assert KNOWN["limit"].optional and KNOWN["sizes"].many
    assert KNOWN["spelled"].choices == ("x", "y")
    assert KNOWN["body"].default == Part("mlp", {"hidden_sizes": (3,)})


@pytest.mark.parametrize(("name", "text", "value"), [
    ("count", "7", 7), ("count", "1e3", 1000), ("count", "50_000", 50_000), ("rate", "0.5", 0.5), ("limit", "none", None),
    ("limit", "2", 2.0), ("mode", "b", "b"), ("flag", "off", False), ("flag", "Yes", True), ("sizes", "64, 32", (64, 32)),
    ("names", 'a, "b, c",5" pipe,', ("a", "b, c", '5" pipe')), ("names", "", ())])
def test_text_is_parsed(name: str, text: str, value: object) -> None:
    assert KNOWN[name].parse(text) == value


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), min_size=1))
def test_names_with_commas_and_quotes_survive_as_they_are_typed(names: list[str]) -> None:
    assert KNOWN["names"].parse(value_text(tuple(names))) == tuple(names)
    assert shlex.split(flag_with("the_names", names)) == ["--the-names", value_text(names)]


@pytest.mark.parametrize(("name", "text", "message"), [
    ("count", "0", "count: got 0, allowed: a whole number at least 1"), ("count", "1.5", "got '1.5'"),
    ("count", "many", "got 'many'"), ("count", "inf", "got 'inf', allowed: a whole number"), ("count", "1e400", "got '1e400'"),
    ("rate", "-1e400", "got -inf"), ("limit", "inf", "got inf, allowed: a number at least 0, or none"),
    ("rate", "1", "above 0 and below 1"), ("rate", "nan", "got nan"),
    ("mode", "c", "allowed: one of a, b"), ("flag", "perhaps", "true or false"), ("sizes", "4,0", "got 0"),
    ("names", '"a,b', "got '\"a,b', allowed: words, separated by commas")])
def test_what_is_not_allowed_is_named(name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        KNOWN[name].parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [
    ("count", float("inf")), ("count", float("nan")), ("rate", 10**400), ("limit", float("inf")), ("sizes", (float("inf"),))])
def test_values_of_a_file_or_of_python_that_are_no_finite_numbers_are_named(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{name}: got .*, allowed: "):
        KNOWN[name].check(value)


@pytest.mark.parametrize(("name", "value", "expected"), [
    ("count", np.int64(7), 7), ("count", np.uint8(7), 7), ("rate", np.float64(0.5), 0.5), ("rate", np.float32(0.5), 0.5),
    ("limit", np.int32(2), 2.0), ("flag", np.bool_(False), False), ("mode", np.str_("b"), "b"),
    ("sizes", np.array([4, 5]), (4, 5)), ("sizes", [np.int64(4), 5], (4, 5))])
def test_numbers_of_numpy_become_pythons_own(name: str, value: object, expected: object) -> None:
    found = KNOWN[name].check(value)
    assert found == expected and type(found) is type(expected)
    assert not isinstance(found, tuple) or {type(item) for item in found} == {int}


@pytest.mark.parametrize(("name", "value", "given"), [
    ("count", np.array([1, 2]), r"\[1, 2\]"), ("sizes", np.array([[1], [2]]), r"\[1\]"), ("flag", np.int64(1), "1"),
    ("count", np.bool_(True), "True"), ("sizes", np.array(3), "3")])
def test_numbers_of_numpy_that_do_not_fit_are_refused_as_pythons_are(name: str, value: object, given: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: got {given}, allowed: "):
        KNOWN[name].check(value)


@given(st.integers(min_value=1))
def test_whole_numbers_of_any_size_survive(value: int) -> None:
    assert KNOWN["count"].parse(str(value)) == value


@given(st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True))
def test_numbers_survive(value: float) -> None:
    assert KNOWN["rate"].parse(repr(value)) == value


def test_build_checks_names_and_values() -> None:
    assert build(Everything, {"count": 2.0}).count == 2
    with pytest.raises(ConfigError, match=r"unknown setting 'cout'. Did you mean 'count'"):
        build(Everything, {"cout": 2})
    with pytest.raises(ConfigError, match="flag: got 1"):
        build(Everything, {"flag": 1})


def test_settings_survive_json() -> None:
    assert from_json(to_json(settings_of(Everything))) == settings_of(Everything)


@pytest.mark.parametrize("hint", [dict[str, int], int | str, tuple[int, str], tuple, Literal[1, 2], Literal["a", 1] | None])
def test_a_type_that_cannot_be_a_flag_is_refused(hint: object) -> None:
    odd = make_dataclass("Odd", [("table", hint, setting(None, "no flag can hold it"))], frozen=True)
    with pytest.raises(TypeError, match="setting 'table'"):
        settings_of(odd)


def test_a_setting_without_a_default_is_refused() -> None:
    with pytest.raises(TypeError, match="setting 'size' has no default"):
        settings_of(make_dataclass("Bare", [("size", int)], frozen=True))


def test_a_limit_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError, match="'how many' has the limit 'min'; allowed: minimum, maximum, above, below, choices"):
        setting(3, "how many", min=0)


def test_a_setting_that_a_table_has_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"learning_rate: got 0.1 and 0.2, allowed: one of them"):
        flatten({"learning-rate": 0.1, "learning_rate": 0.2})


def test_nested_tables_become_dotted_names() -> None:
    table = {"learning-rate": 0.1, "network": {"name": "mlp", "hidden-sizes": [4, 4]}, "env": {"some-option": 1}}
    assert flatten(table) == {"learning_rate": 0.1, "network": "mlp", "network.hidden_sizes": (4, 4), "env.some_option": 1}


def test_origins_survive_json() -> None:
    resolved = Resolved()
    resolved.set("network.sizes", (1, 2), "preset")
    again = Resolved.from_json(resolved.json())
    assert (again.values, again.origins) == (resolved.values, resolved.origins)
    assert again.section("network") == {"sizes": (1, 2)}


def test_a_function_is_answered_with_the_schedules_by_name() -> None:
    with pytest.raises(ConfigError, match="got <function .* A run keeps no functions; .*toolkit list scheduler"):
        settings_of(make_dataclass("Config", [("rate", float, setting(1e-3, "a step", above=0))]))[0].check(lambda left: left)
