"""Dropout that draws quickly: its share, its scale, its generator, and attention with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from toolkit.core.layers.attention import attend
from toolkit.core.layers.dropout import SMALL, Dropout, drawn, dropped


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(SMALL,), (3, 61, 37), (1, 100_003)])
def test_a_share_is_zero_and_the_rest_is_scaled_so_that_the_mean_stays(share: float, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.ones(shape, requires_grad=True)
    found = dropped(x, share)
    values, counts = np.unique(found.detach().numpy(), return_counts=True)
    exact = round(share * 65536) / 65536
    np.testing.assert_allclose(values, [0, 1 / (1 - exact)], rtol=1e-6)
    deviation = (share * (1 - share) / x.numel()) ** 0.5
    assert abs(counts[0] / x.numel() - share) < 5 * deviation
    found.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, found.detach())


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = dropped(torch.ones(1 << 18), 0.5) > 0
    for distance in range(1, 9):  # four elements share a draw of 64 bits
        both = (kept[distance:] & kept[:-distance]).double().mean()
        assert abs(float(both) - 0.25) < 5 * (0.1875 / len(kept)) ** 0.5
    assert drawn(5).dtype == torch.int16 and len(drawn(5)) == 5


def test_the_generator_decides_and_evaluation_changes_nothing() -> None:
    layer, x = Dropout(0.3), torch.randn(100, 100)
    torch.manual_seed(4)
    state = torch.get_rng_state()
    first = layer(x)
    assert not torch.equal(first, layer(x))
    torch.set_rng_state(state)
    assert torch.equal(first, layer(x))
    assert layer.eval()(x) is x


def test_shares_of_nothing_and_of_all() -> None:
    x = torch.ones(SMALL)
    assert torch.equal(dropped(x, 0.0), x) and not dropped(x, 1.0).any()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_that_drops_next_to_nothing_is_attention(masked: bool, causal: bool) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 40, 8, requires_grad=True) for _ in range(3))
    mask = torch.arange(40) < torch.tensor([[40], [0]]) if masked else None  # one whole, one with nothing to look at
    results = []
    for share in (0.0, 1e-7):
        found = attend(query, key, value, mask, causal, share)
        assert found.isfinite().all()
        results.append((found, *torch.autograd.grad(found.square().sum(), (query, key, value))))
    for one, other in zip(*results):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_attentions_mean_over_many_draws_is_attention() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 48, 4) for _ in range(3))
    wanted = F.scaled_dot_product_attention(query, key, value)
    mean = torch.stack([attend(query, key, value, None, False, 0.3) for _ in range(400)]).mean(0)
    torch.testing.assert_close(mean, wanted, atol=0.15, rtol=0)
