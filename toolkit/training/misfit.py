"""Why the parameters of a checkpoint do not fit, and what would make those of another run fit (``--init-from``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from toolkit.config import Resolved, flag_with
from toolkit.training.made_with import Outgrown
from toolkit.training.resolve import Plan, same_part

SHAPING = {  # settings, and parts with theirs, that say what parameters there are
    "task": ("model", "tokenizer", "frontend"),
    "agent": ("network", "net_arch", "dueling", "noisy", "n_atoms", "n_quantiles", "use_sde", "share_network", "baseline",
              "recurrent", "lstm_hidden_size")}
ALIKE = {"task": "Use data with the same classes and columns", "agent": "Use the same agent, network and spaces"}


def misfit(plan: Plan, own: Mapping[str, Tensor], facts: Mapping[str, Any], saved: Mapping[str, Any]) -> str:
    """What of a run does not fit the agent or the task that was made by ``plan``, and how to make it fit.

    ``own`` are the parameters under the dotted names that a checkpoint gives them, ``facts`` the run's ``run.json`` and
    ``saved`` the parts in its checkpoint, a tree.
    """
    said = difference(own, saved)
    return f"its parameters do not fit this {plan.entry.kind}{said and f': {said}'}. {advice(plan, facts)}"


def difference(own: Mapping[str, Tensor], saved: Mapping[str, Any]) -> str:
    """How many of the saved parameters have other shapes than ``own``, and which is the first; empty where none has."""
    found = dict(tensors(saved))
    parts = {name.partition(".")[0] for name in own}
    more = {name: value for name, value in found.items() if name not in own and name.partition(".")[0] in parts}
    differ = [(name, shape_of(found.get(name)), shape_of(own.get(name))) for name in (*own, *more)
              if shape_of(found.get(name)) != shape_of(own.get(name))]
    return f"{len(differ)} differ, the first is {differ[0][0]}: {differ[0][1]} there, {differ[0][2]} here" if differ else ""


@contextmanager
def fitting(saved: Mapping[str, Any], own: Callable[[], Mapping[str, Any]], names: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Let the loading of a run's own checkpoint raise Outgrown where the code makes other parameters than it ``saved``.

    ``own`` gives the state that is made now, a tree as ``saved``, and ``names`` its parameters.
    """
    try:
        yield
    except (KeyError, RuntimeError, ValueError) as error:
        made = own()
        mine, others = learned(made, names()), {name for name, _ in tensors(made)}
        # Moments of optimizers and the like, which both have, are no parameters; what only the checkpoint has may be one.
        said = difference(mine, {name: value for name, value in tensors(saved) if name in mine or name not in others})
        if not said:
            raise
        raise Outgrown(f"the parameters of the checkpoint do not fit what the code makes now: {said}") from error


def learned(state: Mapping[str, Any], names: Iterable[str]) -> dict[str, Tensor]:
    """Of what an agent or a task saves the parameters ``names``, each under its place in the whole."""
    wanted = set(names)
    return {path: value for path, value in tensors(state)
            if any(path.split(".", skipped)[-1] in wanted for skipped in range(path.count(".") + 1))}


def tensors(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of a nested mapping under dotted names."""
    for name, value in tree.items():
        if isinstance(value, Tensor):
            yield prefix + name, value
        elif isinstance(value, Mapping):
            yield from tensors(value, f"{prefix}{name}.")


def shape_of(value: Tensor | None) -> str:
    return "none" if value is None else str(list(value.shape))


def advice(plan: Plan, facts: Mapping[str, Any]) -> str:
    """The flags that would make the settings of both the same; where they are, what else has to be."""
    kind, here, there = plan.entry.kind, plan.config.values, Resolved.from_json(facts["config"]).values
    if kind == "agent" and facts["component"] != plan.entry.id:
        return f"It is a run of {facts['name']}. {ALIKE[kind]}"
    differ = {name: value for name, value in there.items() if name.split(".")[0] in SHAPING[kind] and name in here
              and not (here[name] == value or (name in SHAPING[kind] and same_part(here[name], value)))}
    if not differ:
        return ALIKE[kind]
    flags = " ".join(flag_with(name, value) for name, value in differ.items())
    return f"The settings of its {SHAPING[kind][0]} must be those of that run: add {flags}"
