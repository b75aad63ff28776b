"""Settings as a TOML file that ``--config`` takes back, the origin of each behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from toolkit.commands import _output as output


def as_toml(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """``rows``: dotted name -> ``value`` and ``origin``, as `Resolved.json` gives them.

    A part with settings of its own is a table, in which ``name`` is the part itself, or the list of several, each of which
    is a table below it. TOML has no null: what is not set is written ``"none"``, which every optional setting reads.
    """
    tables = dict.fromkeys(above for name in rows for above in tables_of(name))
    blocks = [output.table([line_of(name, row) for name, row in rows.items() if "." not in name and name not in tables])]
    for table in tables:
        lines = [line_of(f"{table}.name", rows[table])] if table in rows else []
        lines += [line_of(name, row) for name, row in rows.items() if name.rpartition(".")[0] == table and name not in tables]
        if lines:
            blocks.append(f"[{key_of(table)}]\n" + output.table(lines))
    return "\n\n".join(blocks)


def tables_of(name: str) -> list[str]:
    """``metrics`` and ``metrics.my_own`` of ``metrics.my_own.beta``."""
    words = name.split(".")
    return [".".join(words[:count]) for count in range(1, len(words))]


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
