"""Every registered op, layer, loss, optimizer, scheduler and metric: documented, with an example that runs."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re

import pytest
from conftest import Toolkit

from toolkit.config import settings_of
from toolkit.entries import Entry
from toolkit.registry import registry

KINDS = ("op", "layer", "loss", "optimizer", "scheduler", "metric")
ENTRIES = [entry for kind in KINDS for entry in registry.entries(kind, plugins=False)]


def name_of(entry: Entry) -> str:
    return f"{entry.kind}-{entry.name}"


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_has_a_docstring_whose_example_runs(entry: Entry) -> None:
    target = entry.load()
    text = inspect.getdoc(target)
    assert text and ">>>" in text, f"{entry.name} has no example"
    module = importlib.import_module(target.__module__)
    examples = doctest.DocTestFinder(recurse=False).find(target, entry.name, module, globs=vars(module).copy())
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    for example in examples:
        runner.run(example, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_the_docstring_names_shapes_or_units_errors_and_source(entry: Entry) -> None:
    text = inspect.getdoc(entry.load()) or ""
    said = text.partition(">>>")[0]
    assert re.search(r"\[[^\]]*\]|\b(shares?|shapes?|units?|nats|factor)\b", said), f"{entry.name}: no shape or unit"
    assert re.search(r"\b[Rr]aises\b", said), f"{entry.name}: does not say what it raises"
    assert "Source" in said, f"{entry.name}: no source"


@pytest.mark.parametrize("kind", KINDS)
def test_list_shows_each_of_them_with_its_summary(kind: str, toolkit: Toolkit) -> None:
    shown = {row["name"]: row["summary"] for row in toolkit.json("list", kind)}
    assert {entry.name: entry.summary for entry in ENTRIES if entry.kind == kind}.items() <= shown.items()


@pytest.mark.parametrize("entry", [item for item in ENTRIES if item.kind in ("scheduler", "metric", "op") and item.config],
                         ids=name_of)
def test_a_functions_settings_have_the_functions_own_defaults(entry: Entry) -> None:
    parameters = inspect.signature(entry.load()).parameters
    for item in settings_of(entry.config_class()):
        assert parameters[item.name].default == item.default
