"""Presets: TOML files named by the components' declarations.

The first key of a file is the preset's name, the second the environment or data set it is for
(a name, or a glob such as ``ALE/*``). ``tuned`` is used when no preset is named.
"""

from __future__ import annotations

import fnmatch
import importlib.util
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.config import ConfigError, flatten
from toolkit.entries import Entry
from toolkit.errors import ToolkitError, did_you_mean

TUNED, NONE = "tuned", "none"


def load_presets(entry: Entry) -> dict[str, dict[str, dict[str, Any]]]:
    """``{preset: {environment or data: {dotted setting: value}}}`` of a component; empty when it has none."""
    if not entry.presets:
        return {}
    path = preset_file(entry)
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ToolkitError(f"the presets of {entry.id} in {path} cannot be read: {error}") from error
    return {name: {subject: flatten(table) for subject, table in subjects.items()} for name, subjects in tables.items()}


def preset_file(entry: Entry) -> Path:
    """The file that ``"package:path"`` names; the package is found without being imported."""
    package, _, inside = entry.presets.partition(":")
    top, *rest = package.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise ToolkitError(f"the presets of {entry.id} are declared in the package {package!r}, which cannot be found")
    return Path(spec.submodule_search_locations[0]).joinpath(*rest, inside)


def choose(entry: Entry, subject: str, asked: str | None) -> tuple[str, Mapping[str, Any]]:
    """The preset to use for ``entry`` on ``subject``, and its settings.

    ``asked`` None takes the tuned preset where there is one; ``none`` takes no preset.
    Raises ConfigError for a preset that does not exist, naming those that do.
    """
    if asked == NONE:
        return NONE, {}
    own = f"{entry.distribution}/"  # how its plugin's environments and data are named in full
    words = (subject, subject.removeprefix(own), own + subject)
    available = {name: table for name, subjects in load_presets(entry).items()
                 if (table := best_match(subjects, next((word for word in words if word in subjects), subject))) is not None}
    name = asked or TUNED
    if name in available:
        return name, available[name]
    if asked is None:
        return NONE, {}
    names = sorted(available) + [NONE]
    raise ConfigError(f"there is no preset {asked!r} of {entry.name} for {subject or 'no environment'}."
                      f"{did_you_mean(asked, names)} Allowed here: {', '.join(names)}.")


def best_match(subjects: Mapping[str, Any], subject: str) -> Any:
    """The table for ``subject``: the one with its exact name, else of the globs that match the one with the most letters."""
    if subject in subjects:
        return subjects[subject]
    matching = [pattern for pattern in subjects if fnmatch.fnmatchcase(subject, pattern)]
    return subjects[max(matching, key=lambda pattern: len(pattern.replace("*", "")))] if matching else None
