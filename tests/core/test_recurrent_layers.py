"""Recurrent layers beside torch's own on packed sequences: the same numbers, gradients and parameters."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from toolkit.core.layers.recurrent import CELLS, turn, turned

TORCHS = {"gru": nn.GRU, "lstm": nn.LSTM}


def both(cell: str, lengths: list[int], **options: object) -> list[list[Tensor]]:
    """States, last states and all gradients, ours and torch's, in double precision."""
    ours = CELLS[cell](3, 5, batch_first=True, **options).double()  # type: ignore[arg-type]
    inputs = torch.randn(len(lengths), max(lengths), 3, dtype=torch.float64)
    pull = torch.randn(*inputs.shape[:2], 5 * (2 if ours.bidirectional else 1), dtype=torch.float64)
    found = []
    for read in (ours.read, ours.read_packed):
        ours.zero_grad()
        seen = inputs.clone().requires_grad_()
        states, last = read(seen, torch.tensor(lengths))
        ((states * pull).sum() + last.square().sum()).backward()
        found.append([states, last, seen.grad, *(p.grad.clone() for p in ours.parameters())])  # type: ignore[list-item, union-attr]
    return found


@settings(max_examples=30)
@given(cell=st.sampled_from(sorted(CELLS)), bidirectional=st.booleans(), layers=st.integers(1, 3),
       lengths=st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any))
def test_reading_equals_torchs_packed_sequences(cell: str, bidirectional: bool, layers: int, lengths: list[int]) -> None:
    ours, theirs = both(cell, lengths, bidirectional=bidirectional, num_layers=layers)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_by_hand(cell: str) -> None:
    layer = CELLS[cell](1, 1, batch_first=True)
    for parameter in layer.parameters():
        nn.init.constant_(parameter, 0.5)
    x = 0.5 * 1.0 + 0.5 + 0.5  # the input's product and both biases; the state is 0
    s, n = torch.tensor(x).sigmoid(), torch.tensor(x).tanh()
    by_hand = {"gru": (1 - s) * torch.tanh(0.5 * 1.0 + 0.5 + s * 0.5), "lstm": s * torch.tanh(s * n)}
    states, last = layer.read(torch.ones(1, 1, 1), torch.tensor([1]))
    torch.testing.assert_close(states.flatten(), by_hand[cell][None])
    torch.testing.assert_close(last.flatten(), by_hand[cell][None])


@pytest.mark.parametrize("cell", CELLS)
def test_parameters_are_torchs(cell: str) -> None:
    ours, theirs = (kind(4, 6, 2, batch_first=True, bidirectional=True) for kind in (CELLS[cell], TORCHS[cell]))
    theirs.load_state_dict(ours.state_dict())
    inputs = torch.randn(2, 7, 4)
    torch.testing.assert_close(ours.read(inputs, torch.tensor([7, 7]))[0], theirs(inputs)[0])


@pytest.mark.parametrize("cell", CELLS)
def test_padding_is_never_read(cell: str) -> None:
    layer = CELLS[cell](3, 4, batch_first=True, bidirectional=True)
    inputs, lengths = torch.randn(2, 6, 3), torch.tensor([6, 2])
    spoiled = inputs.clone()
    spoiled[1, 2:] = 1e3
    for one, other in zip(layer.read(inputs, lengths), layer.read(spoiled, lengths), strict=True):
        assert torch.equal(one, other)
    assert not layer.read(spoiled, lengths)[0][1, 2:].any()


@pytest.mark.parametrize("cell", CELLS)
def test_sequences_come_first_whatever_torchs_own_call_takes(cell: str) -> None:
    layer = CELLS[cell](3, 4)
    inputs, lengths = torch.randn(2, 5, 3), torch.tensor([5, 3])
    for mine, other in zip(layer.read(inputs, lengths), layer.read_packed(inputs, lengths), strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("cell", CELLS)
def test_a_layer_without_biases_is_read_too(cell: str) -> None:
    layer = CELLS[cell](3, 4, bias=False)
    assert layer.read(torch.randn(2, 5, 3), torch.tensor([5, 3]))[0].shape == (2, 5, 4)


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_between_layers_falls_only_in_training(cell: str) -> None:
    layer = CELLS[cell](3, 4, 2, batch_first=True, dropout=0.5)
    inputs, lengths = torch.randn(2, 6, 3), torch.tensor([6, 4])
    assert not torch.equal(layer.read(inputs, lengths)[0], layer.read(inputs, lengths)[0])
    layer.eval()
    assert torch.equal(layer.read(inputs, lengths)[0], layer.read(inputs, lengths)[0])


@pytest.mark.parametrize("cell", CELLS)
def test_low_precision_around_it_keeps_the_steps_in_single(cell: str) -> None:
    layer = CELLS[cell](3, 4, batch_first=True)
    inputs, lengths = torch.randn(2, 6, 3), torch.tensor([6, 4])
    with torch.autocast("cpu", torch.bfloat16):
        states = layer.read(inputs, lengths)[0]
        states.sum().backward()
    assert states.dtype == torch.float32
    torch.testing.assert_close(states, layer.read(inputs, lengths)[0], atol=2e-2, rtol=0)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


def test_turning_twice_is_nothing_and_keeps_padding_in_place() -> None:
    rows, order = torch.arange(6.0).view(3, 2, 1), turned(torch.tensor([3, 2]), 3)
    once = turn(rows, order)
    assert once.squeeze(-1).tolist() == [[4, 3], [2, 1], [0, 5]]
    assert torch.equal(turn(once, order), rows)
