"""The distributions that a run was made with, said where those that are installed now do not do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from toolkit import __version__
from toolkit.entries import BUILTIN
from toolkit.errors import ToolkitError, UsageError


class Outgrown(ToolkitError):
    """What a checkpoint holds does not fit what the code makes by now."""


@contextmanager
def made_with(facts: Mapping[str, Any]) -> Iterator[None]:
    """Let errors about what a run's checkpoint or settings need say which distributions the run had; ``facts``: its run.json."""
    try:
        yield
    except (Outgrown, UsageError) as error:
        had = facts.get("distributions", {})
        missing = [name for name in had if version_of(name) is None]
        if missing:
            there = " and ".join(f"{name} {had[name]}" for name in missing)
            verb = "is" if len(missing) == 1 else "are"
            error.args = (f"{sentence(error)} The run was made with {there}, which {verb} not installed. Install: "
                          f"{' '.join(f'{name}=={had[name]}' for name in missing)}",)
        elif isinstance(error, Outgrown):
            error.args = (f"{sentence(error)} {changed(had)}",)
        elif other := others(had, without=BUILTIN):
            error.args = (f"{sentence(error)} The run was made with {other}",)
        raise


def sentence(error: Exception) -> str:
    return f"{str(error).rstrip('.')}."


def changed(had: Mapping[str, str]) -> str:
    """What is another version than the run ``had``; where none is, somebody has edited the code."""
    if other := others(had):
        return f"The run was made with {other}. Install what it was made with"
    plugins = " or ".join(f"{name} {version}" for name, version in had.items() if name != BUILTIN)
    edited = f"the code of {plugins}" if plugins else "the code, or run.json,"
    return f"The versions are those of the run, so {edited} has been edited since. Put it back as it was"


def others(had: Mapping[str, str], without: str = "") -> str:
    """The distributions, but one, of which the run ``had`` another version, with both."""
    return ", ".join(f"{name} {version} (here {version_of(name)})" for name, version in had.items()
                     if name != without and version_of(name) != version)


def version_of(distribution: str) -> str | None:
    """The installed version; None where it is not installed."""
    if distribution == BUILTIN:
        return __version__
    import importlib.metadata

    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
