"""Settings as a TOML file that ``--config`` takes back, the origin of each behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from toolkit.commands import _output as output


def as_toml(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """``rows``: dotted name -> ``value`` and ``origin``, as `Resolved.json` gives them.

    A part with settings of its own is a table, in which ``name`` is the part itself. TOML has no null:
    what is not set is written ``"none"``, which every optional setting reads.
    """
    parents = {name.rpartition(".")[0] for name in rows}
    blocks = [output.table([line_of(name, row) for name, row in rows.items() if "." not in name and name not in parents])]
    for table in (name for name in rows if name in parents):
        inside = [name for name in rows if name.rpartition(".")[0] == table and name not in parents]
        blocks.append(f"[{key_of(table)}]\n" + output.table(
            [line_of(f"{table}.name", rows[table]), *(line_of(name, rows[name]) for name in inside)]))
    return "\n\n".join(blocks)


def line_of(name: str, row: Mapping[str, Any]) -> tuple[str, str, str]:
    table, _, key = name.rpartition(".")
    # Options of an environment are its own words; everything else is spelled as flags are.
    return key if table.startswith("env") else key_of(key), f"= {value_of(row['value'])}", f"# {row['origin']}"


def key_of(name: str) -> str:
    return name.replace("_", "-")


def value_of(value: Any) -> str:
    """A JSON value as TOML writes it; floats to the last digit."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(value_of(item) for item in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps("none" if value is None else value, ensure_ascii=False) if not isinstance(value, float) else repr(value)
