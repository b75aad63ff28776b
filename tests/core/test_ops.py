"""Every op beside torch's own and NumPy's, its gradient against finite differences, and what the command shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from small_runs import command
from torch import Tensor

from toolkit.registry import registry


class Case(NamedTuple):
    """One call of an op: its inputs' shapes, its other arguments, and the same in torch and in NumPy."""

    shapes: tuple[tuple[int, ...], ...]
    arguments: tuple[Any, ...]
    torch: Callable[..., Any]
    numpy: Callable[..., Any]


A = (2, 3)
CASES: dict[str, Case] = {
    "zeros": Case((), A, lambda *shape: torch.zeros(shape), lambda *shape: np.zeros(shape)),
    "ones": Case((), A, lambda *shape: torch.ones(shape), lambda *shape: np.ones(shape)),
    "full": Case((), (7.5, *A), lambda value, *shape: torch.full(shape, value), lambda value, *shape: np.full(shape, value)),
    "arange": Case((), (1, 10, 3), torch.arange, np.arange),
    "linspace": Case((), (0, 3, 7), torch.linspace, np.linspace),
    "eye": Case((), (4,), torch.eye, np.eye),
    "add": Case((A, (3,)), (), torch.add, np.add),
    "subtract": Case((A, (2, 1)), (), torch.sub, np.subtract),
    "multiply": Case(((2, 1), (3,)), (), torch.mul, np.multiply),
    "divide": Case((A, A), (), torch.div, np.divide),
    "power": Case((A,), (3,), torch.pow, np.power),
    "exp": Case((A,), (), torch.exp, np.exp),
    "log": Case((A,), (), torch.log, np.log),
    "relu": Case((A,), (), torch.relu, lambda x: np.maximum(x, 0)),
    "sum": Case((A,), (1,), torch.sum, np.sum),
    "mean": Case((A,), (0,), torch.mean, np.mean),
    "softmax": Case((A,), (-1,), torch.softmax, lambda x, dim: np.exp(x) / np.exp(x).sum(dim, keepdims=True)),
    "dot": Case(((4,), (4,)), (), torch.dot, np.dot),
    "outer": Case(((2,), (3,)), (), torch.outer, np.outer),
    "matmul": Case(((5, 2, 3), (3, 4)), (), torch.matmul, np.matmul),
    "view": Case((A,), (3, -1), lambda x, *shape: x.view(shape), lambda x, *shape: x.reshape(shape)),
    "reshape": Case((A,), (6, 1), lambda x, *shape: torch.reshape(x, shape), lambda x, *shape: x.reshape(shape)),
    "flatten": Case(((2, 3, 4),), (1,), torch.flatten, lambda x, start: x.reshape(2, 12)),
    "squeeze": Case(((1, 3, 1),), (), torch.squeeze, np.squeeze),
    "unsqueeze": Case((A,), (1,), torch.unsqueeze, np.expand_dims),
    "transpose": Case(((2, 3, 4),), (0, 2), torch.transpose, np.swapaxes),
    "permute": Case(((2, 3, 4),), (2, 0, 1), lambda x, *dims: torch.permute(x, dims), lambda x, *dims: x.transpose(dims)),
    "expand": Case(((2, 1),), (2, 4), lambda x, *shape: x.expand(shape), lambda x, *shape: np.broadcast_to(x, shape)),
    "contiguous": Case((A,), (), lambda x: x.contiguous(), np.ascontiguousarray),
    "cat": Case((A, (4, 3)), (), lambda x, y: torch.cat([x, y]), lambda x, y: np.concatenate([x, y])),
    "stack": Case((A, A), (1,), lambda x, y, dim: torch.stack([x, y], dim), lambda x, y, dim: np.stack([x, y], dim)),
    "select": Case((A,), (1, -1), torch.select, lambda x, dim, index: np.take(x, index, dim)),
    "slice": Case(((2, 7),), (1, 1, 6, 2), lambda x, dim, *ends: x[:, slice(*ends)], lambda x, dim, *ends: x[:, slice(*ends)]),
    "index-select": Case(((4, 2),), (0, 3, 0, 3), lambda x, dim, *at: torch.index_select(x, dim, torch.tensor(at)),
                         lambda x, dim, *at: np.take(x, at, dim)),
    "gather": Case((A, (2, 2)), (), lambda x, index: torch.gather(x, -1, index), lambda x, i: np.take_along_axis(x, i, -1)),
    "where": Case((A, (3,)), (1.0,), lambda x, y, above: torch.where(x > above, x, y), lambda x, y, a: np.where(x > a, x, y)),
    "masked-select": Case((A,), (1.0,), lambda x, above: torch.masked_select(x, x > above), lambda x, above: x[x > above]),
    "add-in-place": Case((A, (3,)), (), torch.add, np.add),
    "multiply-in-place": Case((A, (3,)), (), torch.mul, np.multiply),
    "relu-in-place": Case((A,), (), torch.relu, lambda x: np.maximum(x, 0)),
    "unsqueeze-in-place": Case((A,), (0,), torch.unsqueeze, np.expand_dims),
    "transpose-in-place": Case((A,), (0, 1), torch.transpose, np.swapaxes),
    "copy-in-place": Case((A, (3,)), (), lambda x, y: y.expand_as(x), lambda x, y: np.broadcast_to(y, x.shape)),
    "clone": Case((A,), (), torch.clone, np.copy),
    "to-dtype": Case((A,), ("float64",), lambda x, dtype: x.double(), lambda x, dtype: x.astype(dtype)),
    "to-device": Case((A,), ("cpu",), lambda x, device: x.to(device), lambda x, device: x),
    "polynomial": Case((A,), (1, 3, 1), lambda x, *c: x ** 2 + 3 * x + 1, lambda x, *c: np.polyval(c, x)),
    "derivative": Case((A,), (2, 0, 3, 1), lambda x, *c: 6 * x ** 2 + 3, lambda x, *c: np.polyval(np.polyder(c), x)),
    "detach": Case((A,), (), lambda x: x.detach(), lambda x: x),
    "no-grad": Case((A,), (1, 3, 1), lambda x, *c: x ** 2 + 3 * x + 1, lambda x, *c: np.polyval(c, x)),
}
OTHERS = {"normal", "to-numpy", "from-numpy"}  # with tests of their own
WITHOUT_GRADIENT = {"detach", "no-grad"}
SHARING = {"view", "reshape", "flatten", "squeeze", "unsqueeze", "transpose", "permute", "expand", "contiguous", "select",
           "slice", "detach", "to-device"}


def inputs_of(name: str, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Numbers from 0.5 to 2.5: away from 0, where logarithms and roots end and ReLU has a corner."""
    generator = torch.Generator().manual_seed(0)
    made = [torch.rand(shape, generator=generator, dtype=dtype) * 2 + 0.5 for shape in CASES[name].shapes]
    return [made[0], torch.tensor([[2, 0], [1, 1]])] if name == "gather" else made


def test_every_op_is_among_the_cases() -> None:
    assert {entry.name for entry in registry.entries("op", plugins=False)} == set(CASES) | OTHERS


@pytest.mark.parametrize("name", CASES)
def test_an_op_equals_torchs_and_numpys(name: str) -> None:
    case, op = CASES[name], registry.make("op", name)
    found = op(*(item.clone() for item in inputs_of(name)), *case.arguments)
    wanted = case.torch(*inputs_of(name), *case.arguments)
    assert found.shape == wanted.shape and found.dtype == wanted.dtype
    assert torch.allclose(found, wanted, rtol=1e-12)
    array = case.numpy(*(item.numpy() for item in inputs_of(name)), *case.arguments)
    assert found.shape == array.shape
    assert np.allclose(found.numpy(), array, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.shapes and name not in WITHOUT_GRADIENT])
def test_the_gradient_of_an_op_equals_finite_differences(name: str) -> None:
    case, op = CASES[name], registry.make("op", name)
    given = [item.requires_grad_() if item.is_floating_point() else item for item in inputs_of(name)]
    # A clone, since what is in place may not write into a leaf.
    assert torch.autograd.gradcheck(lambda *items: op(*(item.clone() for item in items), *case.arguments), given)


@pytest.mark.parametrize("name", sorted(WITHOUT_GRADIENT))
def test_no_gradient_flows_where_none_should(name: str) -> None:
    x = torch.ones(2, requires_grad=True)
    assert not registry.make("op", name)(x).requires_grad


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.shapes])
def test_memory_is_shared_where_the_docstring_says_so_and_inputs_stay_as_they_were(name: str) -> None:
    given = inputs_of(name)
    before, address = given[0].clone(), given[0].data_ptr()
    found = registry.make("op", name)(*given, *CASES[name].arguments)
    same = found.untyped_storage().data_ptr() == given[0].untyped_storage().data_ptr()
    if name.endswith("-in-place"):
        assert found is given[0] and found.data_ptr() == address
    else:
        assert same == (name in SHARING or (name == "to-dtype"))
        assert torch.equal(given[0], before)


@pytest.mark.parametrize(("pure", "in_place", "arguments"), [
    ("add", "add-in-place", (torch.tensor([1.0, -9.0]),)), ("multiply", "multiply-in-place", (torch.tensor([3.0, 4.0]),)),
    ("relu", "relu-in-place", ()), ("unsqueeze", "unsqueeze-in-place", (0,)), ("transpose", "transpose-in-place", (0, 1))])
def test_pairs_give_the_same_and_only_one_changes_its_input(pure: str, in_place: str, arguments: tuple[Any, ...]) -> None:
    x = torch.tensor([[-1.0, 2.0], [3.0, -4.0]])
    wanted = registry.make("op", pure)(x, *arguments)
    assert torch.equal(x, torch.tensor([[-1.0, 2.0], [3.0, -4.0]]))
    assert torch.equal(registry.make("op", in_place)(x, *arguments), wanted) and torch.equal(x, wanted)
    with pytest.raises(RuntimeError, match="leaf"):
        registry.make("op", in_place)(torch.ones(2, 2, requires_grad=True), *arguments)


def test_numpy_and_tensor_are_one_memory_both_ways() -> None:
    x = torch.zeros(2, 3)
    array = registry.make("op", "to-numpy")(x)
    array[1, 2] = 5
    assert x[1, 2] == 5
    again = registry.make("op", "from-numpy")(array)
    again[0, 0] = 7
    assert x[0, 0] == 7 and again.dtype == x.dtype
    with pytest.raises(RuntimeError, match="requires grad"):
        registry.make("op", "to-numpy")(torch.ones(1, requires_grad=True))


def test_draws_come_from_their_seed_alone() -> None:
    normal = registry.make("op", "normal")
    before = torch.get_rng_state()
    draws = normal(3, 20_000)
    assert torch.equal(draws, normal(3, 20_000)) and not torch.equal(draws, normal(4, 20_000))
    assert abs(float(draws.mean())) < 0.05 and abs(float(draws.std()) - 1) < 0.05
    assert torch.equal(torch.get_rng_state(), before)


def test_the_derivative_of_a_polynomial_at_two_is_seven_and_can_be_derived_again() -> None:
    derivative = registry.make("op", "derivative")
    x = torch.tensor(2.0, requires_grad=True)
    slope = derivative(x, 1, 3, 1)
    assert slope.item() == 7.0
    slope.backward()
    assert x.grad is not None and x.grad.item() == 2.0
    assert derivative(torch.tensor([4.0]), 9).tolist() == [0.0]


def test_a_device_that_is_not_there_is_named() -> None:
    move = registry.make("op", "to-device")
    with pytest.raises(RuntimeError, match="quantum"):
        move(torch.zeros(1), "quantum")
    if torch.cuda.is_available():
        x = torch.ones(2, requires_grad=True)
        move(x, "cuda").sum().backward()
        assert x.grad is not None and x.grad.device.type == "cpu"


# -- the command


def test_the_command_shows_shapes_strides_memory_and_gradient(tmp_path: Path) -> None:
    facts = command("op", "transpose", "--shape", "2,3", "--args", "0,1", "--json", cwd=tmp_path).json
    assert facts["inputs"][0]["shape"] == [2, 3] and facts["inputs"][0]["stride"] == [3, 1]
    assert facts["output"]["shape"] == [3, 2] and facts["output"]["stride"] == [1, 3]
    assert facts["output"]["values"] == [[0, 3], [1, 4], [2, 5]] and not facts["output"]["contiguous"]
    assert facts["shares_memory_with"] == ["x"] and not facts["in_place"]
    assert facts["gradients"] == {"x": [[1, 3, 5], [2, 4, 6]]}
    said = command("op", "derivative", "--values", "2", "--args", "1,3,1", cwd=tmp_path).out
    assert "7.0" in said and "gradient of the output for x: 2.0" in said


@pytest.mark.parametrize(("words", "in_place"), [
    (("add-in-place", "--shape", "65", "--shape", "65"), True), (("contiguous", "--values", "[NaN, 1]"), False)])
def test_in_place_is_told_of_large_inputs_and_not_of_nan(words: tuple[str, ...], in_place: bool, tmp_path: Path) -> None:
    assert command("op", *words, "--json", cwd=tmp_path).json["in_place"] is in_place


def test_the_command_shows_what_is_in_place_as_it_was_before(tmp_path: Path) -> None:
    facts = command("op", "relu-in-place", "--values=-1,2", "--json", cwd=tmp_path).json
    assert facts["in_place"] and facts["shares_memory_with"] == ["x"]
    assert facts["inputs"][0]["values"] == [-1, 2] and facts["output"]["values"] == [0, 2]
    assert facts["gradients"] == {"x": [0, 2]}
    assert command("op", "detach", "--shape", "2", "--json", cwd=tmp_path).json["gradients"] is None


def test_complex_numbers_are_texts_in_json(tmp_path: Path) -> None:
    facts = command("op", "add", "--values", "1", "--values", "2", "--dtype", "complex64", "--json", cwd=tmp_path).json
    assert facts["output"]["values"] == "(3+0j)"


@pytest.mark.parametrize(("words", "said"), [
    (("transpose", "--shape", "2,3", "--args", "0,5"), "op transpose of [2, 3], 0, 5: Dimension out of range"),
    (("add", "--shape", "2"), "op add takes 2 tensors (x, y), and 1 are given"),
    (("add", "--shape", "2", "--shape", "3"), "must match the size of tensor"),
    (("view", "--shape", "2,a"), "allowed are whole numbers with commas"),
    (("exp", "--values", "[[1],[2,3]]"), "lists of equal length"), (("exp", "--shape", "9999999"), "1,000,000 elements"),
    (("exp", "--shape", "2", "--dtype", "number"), "such as float32"),
    (("exp", "--shape", "2", "--dtype", "bits8"), "--dtype 'bits8': "), (("transpoze",), "Did you mean 'transpose'")])
def test_wrong_use_of_the_command_is_explained(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = command("op", *words, cwd=tmp_path)
    assert done.code == 2 and said in done.err and "Traceback" not in done.err


def test_info_shows_the_definition_without_importing_torch(toolkit: Any, tmp_path: Any) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')\n")
    done = toolkit("info", "op", "transpose", PYTHONPATH=f"{tmp_path}:{toolkit.environment.get('PYTHONPATH', '')}")
    assert done.returncode == 0, done.stderr
    assert "transpose(x: Tensor, dim0: int, dim1: int) -> Tensor" in done.stdout and "[2, 3] -> [3, 2]" in done.stdout
