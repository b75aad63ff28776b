"""Write what is generated from the registry: the table in README.md and docs/components.md.

    python docs/generate.py           rewrite both
    python docs/generate.py --check   exit 1 when either is out of date
"""

from __future__ import annotations

import sys
from pathlib import Path

from toolkit.config import Setting, value_text
from toolkit.entries import BUILTIN, KINDS, Entry
from toolkit.registry import Registry
from toolkit.training.presets import load_presets

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- components -->", "<!-- /components -->"


def builtins() -> list[Entry]:
    return [entry for entry in Registry(plugins=False).entries() if entry.distribution == BUILTIN]


def readme_table(entries: list[Entry]) -> str:
    """One row a kind, with the names of its components."""
    lines = ["| kind | components |", "|---|---|"]
    for kind in KINDS:
        names = [f"`{entry.name}`" for entry in entries if entry.kind == kind.singular]
        if names:
            lines.append(f"| {kind.singular} | {', '.join(names)} |")
    return "\n".join(lines)


def reference(entries: list[Entry]) -> str:
    """Every component with its settings, presets and extras."""
    blocks = ["# Components\n\nGenerated from the registry by `python docs/generate.py`; do not edit."]
    for kind in KINDS:
        members = [entry for entry in entries if entry.kind == kind.singular]
        if members:
            blocks.append(f"## {kind.plural}")
            blocks += [section(entry) for entry in members]
    return "\n\n".join(blocks) + "\n"


def section(entry: Entry) -> str:
    also = f" Also: {', '.join(f'`{name}`' for name in entry.aliases)}." if entry.aliases else ""
    lines = [f"### {entry.name}", "", entry.summary + also]
    lines += [f"\nNeeds `{module}`: `{command}`." for module, command in entry.extras.items()]
    lines += [f"\nCannot: {what} ({how})." for what, how in entry.cannot.items()]
    if entry.settings:
        lines += ["", "| setting | default | unit | allowed | meaning |", "|---|---|---|---|---|"]
        lines += [row(item) for item in entry.settings]
    presets = load_presets(entry)
    if presets:
        lines += ["", "Presets: " + "; ".join(f"`{name}` for {', '.join(table)}" for name, table in presets.items()) + "."]
    return "\n".join(lines)


def row(item: Setting) -> str:
    cells = (f"`{item.name}`", f"`{value_text(item.default)}`", item.unit, item.allowed, item.help)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def outputs() -> dict[Path, str]:
    """What each generated file should hold."""
    entries = builtins()
    readme = (ROOT / "README.md").read_text()
    head, rest = readme.split(BEGIN)
    tail = rest.split(END)[1]
    return {ROOT / "README.md": f"{head}{BEGIN}\n{readme_table(entries)}\n{END}{tail}",
            ROOT / "docs" / "components.md": reference(entries)}


def main() -> int:
    stale = [path for path, text in outputs().items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: python docs/generate.py", file=sys.stderr)
        return int(bool(stale))
    for path in stale:
        path.write_text(outputs()[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
