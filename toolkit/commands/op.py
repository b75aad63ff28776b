"""``toolkit op NAME``: run a tensor operation on small numbers, and show what it does.

Input    a tensor of 0, 1, 2, ... in the shape asked for, or of given numbers
Facts    shape, strides, dtype and elements of inputs and output; whether memory is shared
Gradient of the output's elements, weighted 1, 2, 3, ... in order, so that it tells where each came from
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from toolkit.commands import _output as output
from toolkit.errors import UsageError
from toolkit.registry import registry

if TYPE_CHECKING:
    from torch import Tensor

MOST = 1_000_000  # elements of an input
SHOWN = 64  # elements printed


@click.command("op")
@click.argument("name")
@click.option("--shape", "shapes", multiple=True, metavar="N,N,...", help="The shape of an input, whose elements are 0, 1, 2, "
                                                                         "...; once for each tensor that the op takes.")
@click.option("--values", multiple=True, metavar="NUMBERS", help="The elements of an input instead: 2, 1,2,3 or [[1,2],[3,4]].")
@click.option("--args", "arguments", default="", metavar="A,B,...", help="What comes after the tensors: dimensions, sizes, ...")
@click.option("--dtype", default="float32", show_default=True, help="The inputs' type.")
@output.json_option
def op_command(name: str, shapes: tuple[str, ...], values: tuple[str, ...], arguments: str, dtype: str, as_json: bool) -> None:
    """Run the tensor operation NAME; show shapes, strides, shared memory and the gradient.

    \b
    toolkit op transpose --shape 2,3 --args 0,1
    toolkit op matmul --shape 2,3 --shape 3,4
    toolkit op derivative --values 2 --args 1,3,1
    """
    entry = registry.get("op", name)
    if shapes and values:
        raise UsageError("op takes --shape or --values, not both")
    wanted: list[Any] = [shape_of(text) for text in shapes] or [numbers_of(text) for text in values]
    given = [argument_of(word) for word in arguments.split(",") if word.strip()]
    function: Callable[..., Any] = entry.load()
    names = input_names(function)
    if len(names) != len(wanted):
        raise UsageError(f"op {entry.name} takes {len(names)} tensor{'s' * (len(names) != 1)} "
                         f"({', '.join(names) or 'none'}), and {len(wanted)} are given; give each as --shape 2,3 or "
                         f"--values 1,2,3. Its definition: toolkit info op {entry.name}")
    inputs = {one: tensor_of(what, bool(shapes), "int64" if one == "index" else dtype)
              for one, what in zip(names, wanted, strict=True)}
    facts = observe(entry.name, function, inputs, given)
    if as_json:
        output.emit(facts)
    else:
        print(text_of(facts))


# -- what was typed


def shape_of(text: str) -> tuple[int, ...]:
    """``2,3`` as (2, 3); nothing is a single number."""
    try:
        sizes = tuple(int(word) for word in text.split(",") if word.strip())
    except ValueError:
        raise UsageError(f"--shape {text!r}: allowed are whole numbers with commas, such as 2,3") from None
    if min(sizes, default=0) < 0 or math.prod(sizes) > MOST:
        raise UsageError(f"--shape {text!r}: allowed are sizes from 0 on, {MOST:,} elements in all at most")
    return sizes


def numbers_of(text: str) -> Any:
    """``2`` as a number, ``1,2`` and ``[[1,2],[3,4]]`` as lists."""
    for spelled in (text, f"[{text}]"):
        try:
            return json.loads(spelled)
        except ValueError:
            continue
    raise UsageError(f"--values {text!r}: allowed are numbers such as 2, 1,2,3 or [[1,2],[3,4]]")


def argument_of(word: str) -> int | float | str:
    """A whole number, else a number, else the word."""
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word.strip()


def input_names(function: Callable[..., Any]) -> list[str]:
    """The parameters that are tensors or arrays."""
    return [name for name, item in inspect.signature(function).parameters.items()
            if "Tensor" in str(item.annotation) or "ndarray" in str(item.annotation)]


def tensor_of(wanted: Any, is_shape: bool, dtype: str) -> Tensor:
    import torch

    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype):
        raise UsageError(f"--dtype {dtype!r}: allowed are torch's types, such as float32, float64, bfloat16, int64")
    if is_shape:
        try:
            return torch.arange(math.prod(wanted)).reshape(wanted).to(kind)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"--dtype {dtype!r}: {reason}; allowed are types that hold whole numbers") from error
    try:
        return torch.tensor(wanted, dtype=kind)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UsageError(f"--values {json.dumps(wanted)}: {error}; allowed: numbers, and lists of equal length") from error


# -- what is seen


def observe(name: str, function: Callable[..., Any], inputs: Mapping[str, Tensor], arguments: Sequence[Any]) -> dict[str, Any]:
    """All facts about one call, as JSON values. Raises UsageError for what the op refuses."""
    before = [{"name": one, **facts_of(tensor)} for one, tensor in inputs.items()]
    untouched = {one: tensor.clone() for one, tensor in inputs.items()}
    try:
        found = call(function, list(inputs.values()), arguments)
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        shown = ", ".join([*(str(one["shape"]) for one in before), *map(str, arguments)])
        raise UsageError(f"op {name} of {shown}: {str(error).strip().splitlines()[0]}. "
                         f"Its definition: toolkit info op {name}") from error
    return {"op": name, "inputs": before, "arguments": list(arguments), "output": facts_of(as_tensor(found)),
            "shares_memory_with": [one for one, tensor in inputs.items() if shares(tensor, as_tensor(found))],
            "in_place": any(found is tensor for tensor in inputs.values()) and changed(before, untouched, inputs),
            "gradients": gradients(function, untouched, arguments)}


def call(function: Callable[..., Any], tensors: Sequence[Tensor], arguments: Sequence[Any]) -> Any:
    first = next(iter(inspect.signature(function).parameters.values()), None)
    arrays = first is not None and "ndarray" in str(first.annotation)
    return function(*(tensor.numpy() if arrays else tensor for tensor in tensors), *arguments)


def as_tensor(found: Any) -> Tensor:
    import torch

    return torch.as_tensor(found)


def facts_of(tensor: Tensor) -> dict[str, Any]:
    elements = None if tensor.device.type == "meta" or tensor.numel() > SHOWN else tensor.detach().tolist()
    return {"shape": list(tensor.shape), "stride": list(tensor.stride()), "dtype": str(tensor.dtype).removeprefix("torch."),
            "device": str(tensor.device), "contiguous": tensor.is_contiguous(), "values": elements}


def shares(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors lie in the same memory."""
    place = one.untyped_storage().data_ptr()
    return place != 0 and place == other.untyped_storage().data_ptr()


def changed(before: Sequence[Mapping[str, Any]], untouched: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> bool:
    """Whether an input is not what it was; a NaN that is still one is."""
    return any(list(tensor.shape) != old["shape"] or list(tensor.stride()) != old["stride"] or not alike(untouched[one], tensor)
               for old, (one, tensor) in zip(before, inputs.items(), strict=True))


def alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of one shape hold the same; those on ``meta`` hold nothing."""
    return one.device.type == "meta" or bool(((one == other) | ((one != one) & (other != other))).all())


def gradients(function: Callable[..., Any], inputs: Mapping[str, Tensor], arguments: Sequence[Any]) -> dict[str, Any] | None:
    """The gradient for each input of the output's elements times 1, 2, 3, ...; None where none flows."""
    import torch

    leaves = {name: one.requires_grad_() for name, one in inputs.items() if one.is_floating_point()}
    try:
        # What is in place may not write into a leaf: it gets a copy that remembers the leaf.
        found = call(function, [one.clone() for one in inputs.values()], arguments)
    except (RuntimeError, TypeError):
        return None  # NumPy knows no gradients
    if not isinstance(found, torch.Tensor) or not found.requires_grad or found.device.type == "meta":
        return None
    weights = torch.arange(1, found.numel() + 1, dtype=found.dtype).reshape(found.shape)
    parts = torch.autograd.grad((found * weights).sum(), list(leaves.values()), allow_unused=True)
    return {name: None if part is None or part.numel() > SHOWN else part.tolist()
            for name, part in zip(leaves, parts, strict=True)}


# -- what is shown


def text_of(facts: Mapping[str, Any]) -> str:
    """The facts for a person."""
    rows = [(f"input {one['name']}", *row_of(one)) for one in facts["inputs"]] + [("output", *row_of(facts["output"]))]
    shared = facts["shares_memory_with"]
    memory = f"shared with {', '.join(shared)}" if shared else "the output's own"
    lines = [f"{facts['op']}({', '.join([*(one['name'] for one in facts['inputs']), *map(str, facts['arguments'])])})",
             output.table(rows, 2), f"  memory: {memory}{'; the input itself is changed' * facts['in_place']}"]
    if facts["gradients"] is None:
        return "\n".join([*lines, "  gradient: none flows"])
    about = "of the output" if not facts["output"]["shape"] else "of 1, 2, 3, ... times the output's elements"
    return "\n".join([*lines, *(f"  gradient {about} for {name}: {'too long to show' if part is None else part}"
                                for name, part in facts["gradients"].items())])


def row_of(one: Mapping[str, Any]) -> tuple[str, ...]:
    values = "..." if one["values"] is None else str(one["values"])
    where = "" if one["device"] == "cpu" else f" on {one['device']}"
    return f"shape {one['shape']}", f"stride {one['stride']}", one["dtype"] + where, values
