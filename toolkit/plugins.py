"""Guests: distributions that add components through one entry point.

A distribution names one function in the group ``toolkit.plugins``; the function takes a
`toolkit.registry.Declarer` and declares components. It never runs inside the command that lists
it: `read` runs it in a subprocess with a time limit, and the outcome (its components, or why it
is broken) is kept as JSON in the user's cache until one of the files it was read from changes.

``TOOLKIT_PLUGINS=0`` loads no guest; a comma list of distributions loads only those.
"""

from __future__ import annotations

import io
import json
import os
import sys
import zlib
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from toolkit.entries import Broken, Entry, Misnamed, describe, resolve, undescribe
from toolkit.errors import ToolkitError
from toolkit.files import cache_directory, keep, kept, stamp, stamps
from toolkit.installed import Guest, guests_of
from toolkit.registry import PROTOCOL_VERSION, Declarer, DuplicateComponent, Registry

GROUP = "toolkit.plugins"
NONE = {"0"}  # what TOOLKIT_PLUGINS allows none with
TIME_LIMIT = 20.0  # seconds that a guest's declare may take, imports included
CACHE_FORMAT = 2


def discover(broken: list[Broken]) -> list[Entry]:
    """The entries of every guest allowed by ``TOOLKIT_PLUGINS``; failures are added to ``broken``."""
    entries: list[Entry] = []
    for guest, outcome in outcomes_of(installed_guests(broken)).items():
        if outcome.get("broken"):
            broken.append(Broken(guest.distribution, guest.version, **outcome["broken"]))
        entries += [undescribe(row, guest.distribution) for row in outcome.get("entries", [])]
    return entries


def installed_guests(broken: list[Broken]) -> list[Guest]:
    """The installed distributions with an entry point in the group, sorted by name."""
    limit = allowed()
    if limit == NONE:
        return []
    found: dict[str, list[Guest]] = {}
    for guest in guests_of(GROUP):
        if limit is None or guest.distribution in limit:
            found.setdefault(guest.distribution, []).append(guest)
    for name, points in found.items():
        if len(points) > 1:
            broken.append(Broken(name, points[0].version, f"it has {len(points)} entry points in the group {GROUP!r}",
                                 "keep one; its function may declare any number of components"))
    return [points[0] for points in found.values() if len(points) == 1]


def left_out() -> list[str]:
    """The installed distributions with an entry point in the group that ``TOOLKIT_PLUGINS`` does not allow, sorted."""
    limit = allowed()
    return [] if limit is None else sorted({guest.distribution for guest in guests_of(GROUP)} - limit)


def allowed() -> set[str] | None:
    """The distributions that ``TOOLKIT_PLUGINS`` allows, or None for all."""
    limit = os.environ.get("TOOLKIT_PLUGINS", "")
    return {name.strip() for name in limit.split(",")} if limit else None


def outcomes_of(guests: Sequence[Guest], probe: bool = False) -> dict[Guest, dict[str, Any]]:
    """What reading each guest gave, from the cache when none of the files it was read from changed; ``probe`` reads all."""
    outcomes = {guest: None if probe else remembered(guest) for guest in guests}
    unread = [guest for guest, outcome in outcomes.items() if outcome is None]
    if unread:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(max_workers=4) as pool:
            outcomes.update(zip(unread, pool.map(fresh, unread), strict=True))
    return {guest: outcome or {} for guest, outcome in outcomes.items()}


def remembered(guest: Guest) -> dict[str, Any] | None:
    outcome = kept(cache_path(guest))
    usable = outcome is not None and outcome.get("guest") == list(guest) and unchanged(outcome.get("files", {}))
    return outcome if usable else None


def fresh(guest: Guest) -> dict[str, Any]:
    """Read the guest and keep the outcome."""
    outcome = {**read(guest), "guest": list(guest)}
    keep(cache_path(guest), outcome)
    return outcome


def cache_path(guest: Guest) -> Path:
    from toolkit import __version__

    facts = f"{CACHE_FORMAT} {__version__} {PROTOCOL_VERSION} {sys.executable} {guest}"
    return cache_directory() / "plugins" / f"{guest.distribution}-{zlib.crc32(facts.encode()):08x}.json"


def unchanged(files: dict[str, list[int]]) -> bool:
    return bool(files) and all(stamp(path) == then for path, then in files.items())


def read(guest: Guest, time_limit: float = TIME_LIMIT) -> dict[str, Any]:
    """Run the guest's declare in a subprocess; its entries, or the reason why there are none."""
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        # What is read is kept for every folder, so the files of the present one do not count (-P).
        command = [sys.executable, "-P", "-m", "toolkit.plugins", guest.target, guest.distribution, str(answer)]
        path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(Path(__file__).parents[1])]))
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=time_limit,
                                  stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path})
        except subprocess.TimeoutExpired:
            reason = f"{guest.target} did not return within {time_limit:g} s"
            return failure(reason, "import nothing heavy and wait for nothing in declare", guest)
        if not answer.exists():
            tail = done.stderr.strip().split("\n")[-1][:300]
            reason = f"{guest.target} ended its process with exit code {done.returncode}" + (f": {tail}" if tail else "")
            return failure(reason, "declare must return; it must not exit", guest)
        outcome: dict[str, Any] = json.loads(answer.read_text())
        return outcome


def failure(reason: str, remedy: str, guest: Guest) -> dict[str, Any]:
    return {"broken": {"reason": reason, "remedy": remedy}, "entries": [], "files": guest_files(guest.target)}


def guest_files(target: str) -> dict[str, list[int]]:
    """The files of the guest's package, with their stamps; found without importing it."""
    import importlib.util

    top, *rest = target.partition(":")[0].split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        return {}
    places = [Path(place) for place in spec.submodule_search_locations or []]
    files = [spec.origin] if spec.origin else []
    for place in places:
        module = place.joinpath(*rest) if rest else place
        files += [str(path) for path in (module.with_suffix(".py"), module / "__init__.py") if path.exists()]
    return stamps(files)


def imported_files(top: str) -> dict[str, list[int]]:
    """Stamps of the loaded source files that belong to the guest's top-level package."""
    files = (getattr(module, "__file__", None) for name, module in list(sys.modules.items())
             if name == top or name.startswith(top + "."))
    return stamps(filter(None, files))


# -- inside the subprocess


def declared(target: str, distribution: str) -> dict[str, Any]:
    """Run the guest's declare in this process and describe what it declared."""
    said = io.StringIO()
    local = Registry(rooms=(), plugins=False)
    reason, remedy, rows = "", "", []
    try:
        with redirect_stdout(said):
            function = resolve(target)
            version = getattr(sys.modules[function.__module__], "TOOLKIT_PROTOCOL", PROTOCOL_VERSION)
            if version != PROTOCOL_VERSION:
                newer = "upgrade toolkit" if version > PROTOCOL_VERSION else f"upgrade {distribution}"
                raise ToolkitError(f"it is written for protocol {version}; this toolkit speaks {PROTOCOL_VERSION}: {newer}")
            function(Declarer(local, distribution))
            rows = [describe(entry) for entry in local.entries()]
            json.dumps(rows)
    except SystemExit as error:
        reason, remedy = f"{target} called sys.exit({error.code!r})", "declare must return; it must not exit"
    except DuplicateComponent as error:
        reason, remedy = str(error), "rename one of the two"
    except Misnamed as error:
        reason, remedy = str(error), f"correct it in {distribution}, or reinstall that"
    except ModuleNotFoundError as error:
        reason, remedy = f"{target} needs the module {error.name!r}", f"install it, or reinstall {distribution}"
    except Exception as error:  # a guest may raise anything; it is kept, with its reason
        reason = f"{target} raised {type(error).__name__}: {error}"
        remedy = f"upgrade or uninstall {distribution}, or tell its authors"
    if not reason and said.getvalue():
        reason, remedy = f"{target} printed {said.getvalue()[:80]!r}", "declare must print nothing"
    outcome: dict[str, Any] = {"entries": [] if reason else rows, "files": imported_files(target.split(":")[0].split(".")[0])}
    if reason:
        outcome["broken"] = {"reason": reason, "remedy": remedy}
    return outcome


def main(arguments: Iterable[str]) -> None:
    target, distribution, answer = arguments
    outcome = declared(target, distribution)
    Path(answer).write_text(json.dumps(outcome))


if __name__ == "__main__":
    main(sys.argv[1:])
