"""What all conformance suites share: their component, the words for a broken promise, and a runner.

Suite        the component ``name`` with its ``options``; a promise is a method ``test_...``
require      raises Broken unless something holds
NotPromised  the component makes no such promise (pytest shows it as skipped)
Verdict      what came of one promise
examine      every promise of a suite, kept or broken
"""

from __future__ import annotations

import traceback
import unittest
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, ClassVar

from toolkit.entries import Entry, kind_of, resolve
from toolkit.errors import UsageError
from toolkit.registry import registry

GYMNASIUM = "gymnasium"
KEPT, BROKEN, NOT_PROMISED = "kept", "broken", "not promised"


class Broken(AssertionError):
    """A promise that does not hold; the message says what was found and what was promised."""


class NotPromised(unittest.SkipTest):
    """The component declares that it does not promise this, or there is nothing to try it on."""


def require(holds: object, message: str) -> None:
    """Raise Broken with ``message`` unless ``holds``."""
    if not holds:
        raise Broken(message)


class Suite:
    """The promises of one component. Subclasses for tests set ``name``, and ``options`` of its config if it needs any.

    ``registry`` is asked for the component: built-ins, installed plugins, and what ``@register`` made in this process.
    """

    kind: ClassVar[str] = ""
    name: str = ""
    options: Mapping[str, Any] = {}

    @property
    def entry(self) -> Entry:
        if not self.name:
            raise UsageError(f"{type(self).__name__} has no name: set ``name`` to that of the {self.kind} to be proven")
        return registry.get(self.kind, self.name)

    @property
    def settings(self) -> set[str]:
        """The names of the component's own settings."""
        return {item.name for item in self.entry.settings}

    def make(self, **context: Any) -> Any:
        """The component with the suite's options; ``context`` are the arguments of its kind, or other options."""
        return registry.make(self.kind, self.entry.id, **{**self.options, **context})

    @classmethod
    def promises(cls) -> list[str]:
        """The names of its promises in the order they are written, those of base classes first."""
        names: dict[str, None] = {}
        for base in reversed(cls.__mro__):
            names.update(dict.fromkeys(name for name in vars(base) if name.startswith("test_")))
        return [name for name in names if callable(getattr(cls, name))]


@dataclass(frozen=True)
class Verdict:
    """One promise: its name, the sentence that states it, what came of it and why."""

    name: str
    promise: str
    status: str
    reason: str
    seconds: float


def suite_for(entry: Entry, options: Mapping[str, Any] | None = None) -> Suite:
    """The suite of the entry's kind, on the entry. Raises UsageError for a kind without one."""
    target = kind_of(entry.kind).suite
    if not target:
        raise UsageError(f"{entry.kind} {entry.id!r}: there is no suite for components of this kind")
    suite: Suite = resolve(target)()
    # An environment of gymnasium's goes by its own id: no distribution of plugins offers it.
    suite.name = entry.name if entry.distribution == GYMNASIUM else entry.id
    suite.options = dict(options or {})
    return suite


def examine(suite: Suite) -> Iterator[Verdict]:
    """Try every promise of ``suite``; whatever a component raises or warns of stays inside its verdict."""
    for name in suite.promises():
        begin = perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            status, reason = outcome_of(suite, name)
        yield Verdict(name.removeprefix("test_"), sentence(type(suite), name), status, reason, perf_counter() - begin)


def outcome_of(suite: Suite, name: str) -> tuple[str, str]:
    try:
        getattr(suite, name)()
    except NotPromised as error:
        return NOT_PROMISED, str(error)
    except AssertionError as error:
        return BROKEN, str(error) or "an assertion failed " + place_of(error)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a component under examination may raise anything, SystemExit included
        return BROKEN, f"it raised {type(error).__name__}: {error} {place_of(error)}"
    return KEPT, ""


def sentence(suite: type[Suite], name: str) -> str:
    """The first paragraph of a promise's docstring on one line, else its name in words."""
    for base in suite.__mro__:
        text = getattr(vars(base).get(name), "__doc__", None)
        if text:
            return " ".join(text.strip().split("\n\n")[0].split())
    return name.removeprefix("test_").replace("_", " ")


def place_of(error: BaseException) -> str:
    """``(file:line, in function)`` of where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"({frames[-1].filename}:{frames[-1].lineno}, in {frames[-1].name})" if frames else ""
