"""What data sets give, held against what they promise (`toolkit.core.base.Dataset`): the one place where they are read.

splits_of  the examples of a data set by split
target_of  what it calls its target
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.core.base import Example
from toolkit.errors import UsageError
from toolkit.registry import registry

PROMISED = "promised: a mapping of names to sequences (with a length, and examples by number) of mappings with names"


def splits_of(dataset: Any) -> Mapping[str, Sequence[Example]]:
    """The splits of ``dataset``. Raises UsageError where they are not what is promised."""
    splits: Mapping[str, Sequence[Example]] = dataset.splits()
    if wrong := misfit(splits):
        raise UsageError(told(dataset, f"its splits() {wrong}, {PROMISED}"))
    return splits


def target_of(dataset: Any) -> str | None:
    """The name of its target, where ``dataset`` says one. Raises UsageError for what is no name."""
    target = getattr(dataset, "target", None)
    if target is not None and not isinstance(target, str):
        raise UsageError(told(dataset, f"its target is {target!r:.60}, promised: a name, or None"))
    return target


def misfit(splits: Any) -> str:
    """What is wrong with what ``splits()`` gave, in words, if anything. Of each split one example is looked at."""
    if not isinstance(splits, Mapping):
        return f"gave a {type(splits).__name__}"
    for name, examples in splits.items():
        if not isinstance(name, str):
            return f"named a split {name!r:.60}"
        if isinstance(examples, (str, Mapping)) or not all(hasattr(examples, needed) for needed in ("__len__", "__getitem__")):
            return f"gave a {type(examples).__name__} as {name!r}"
        first = examples[0] if len(examples) else {}
        if not isinstance(first, Mapping) or not all(isinstance(key, str) for key in first):
            return f"gave {name!r} with examples that are {first!r:.60}"
    return ""


def told(dataset: Any, wrong: str) -> str:
    """``wrong`` with the name of the data set, and the next command."""
    own = type(dataset)
    names = [entry.id for entry in registry.entries("dataset") if entry.target in (own, f"{own.__module__}:{own.__qualname__}")]
    called = names[0] if names else own.__name__
    return f"data set {called!r}: {wrong}. Mend it; see: toolkit check dataset {called}"
