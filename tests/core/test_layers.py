"""Layers beside torch's own with the same weights, for every form of mask, and laws they keep."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.core.configs import AttentionConfig, EncoderLayerConfig
from toolkit.core.layers.attention import Cache, EncoderLayer, MultiHeadAttention, attend, key_mask
from toolkit.errors import UsageError
from toolkit.registry import registry

B, H, T, D = 3, 4, 6, 16
SHAPES = {"keys": (B, T), "square": (1, T, T), "each": (B, T, T), "heads": (B, H, T, T)}
LAYERS = [entry.name for entry in registry.entries("layer", plugins=False)]


def twin(heads: int = H, width: int = D) -> tuple[MultiHeadAttention, nn.MultiheadAttention]:
    ours = MultiHeadAttention(AttentionConfig(width, heads))
    theirs = nn.MultiheadAttention(width, heads, batch_first=True)
    theirs.load_state_dict({"in_proj_weight": ours.inward.weight, "in_proj_bias": ours.inward.bias,
                            "out_proj.weight": ours.outward.weight, "out_proj.bias": ours.outward.bias})
    return ours, theirs


def full(mask: Tensor) -> Tensor:
    """A mask of any form as [B, H, T, T]."""
    if mask.shape == (B, T):
        return mask[:, None, None, :].expand(B, H, T, T)
    return mask if mask.dim() == 4 else mask[:, None].expand(B, H, T, T)


def test_first_weights_of_an_mlp_are_as_small_as_both_its_sides_ask() -> None:
    layer = registry.make("layer", "mlp", inputs=4, hidden_sizes=(100,), outputs=3)
    first, last = (item for item in layer.layers if isinstance(item, nn.Linear))
    for linear in (first, last):
        bound = (6 / sum(linear.weight.shape)) ** 0.5  # Glorot and Bengio (2010), equation 16
        assert 0.9 * bound < float(linear.weight.detach().abs().max()) <= bound
        assert not linear.bias.detach().any()


@pytest.mark.parametrize("form", SHAPES)
@pytest.mark.parametrize("causal", [False, True])
def test_attention_equals_torchs_for_every_form_of_mask(form: str, causal: bool) -> None:
    mask = torch.rand(SHAPES[form]) < 0.6
    mask[..., 0] = True  # every query may look at something; the other case has its own test
    query, key, value = torch.randn(3, B, H, T, D)
    wanted = full(mask) & torch.ones(T, T, dtype=torch.bool).tril() if causal else full(mask)
    theirs = F.scaled_dot_product_attention(query, key, value, attn_mask=wanted)
    assert torch.allclose(attend(query, key, value, mask, causal), theirs, atol=1e-6)
    ours, module = twin()
    x = torch.randn(B, T, D)
    reference, _ = module(x, x, x, attn_mask=~wanted.reshape(B * H, T, T), need_weights=False)
    assert torch.allclose(ours(x, mask, causal), reference, atol=1e-6)


@pytest.mark.parametrize("form", SHAPES)
def test_a_query_that_may_look_at_nothing_gives_zeros_and_finite_gradients(form: str) -> None:
    mask = torch.zeros(SHAPES[form], dtype=torch.bool)
    query, key, value = (torch.randn(B, H, T, D, requires_grad=True) for _ in range(3))
    found = attend(query, key, value, mask)
    found.sum().backward()
    assert (found == 0).all() and all(torch.isfinite(item.grad).all() for item in (query, key, value))


def test_without_a_mask_attention_equals_torchs() -> None:
    query, key, value = torch.randn(3, B, H, T, D)
    for causal in (False, True):
        theirs = F.scaled_dot_product_attention(query, key, value, is_causal=causal)
        assert torch.allclose(attend(query, key, value, causal=causal), theirs, atol=1e-6)


@pytest.mark.parametrize("norm_first", [False, True])
def test_an_encoder_layer_equals_torchs(norm_first: bool) -> None:
    ours = EncoderLayer(EncoderLayerConfig(D, H, 32, "gelu", 0.0, norm_first))
    theirs = nn.TransformerEncoderLayer(D, H, 32, 0.0, "gelu", batch_first=True, norm_first=norm_first)
    theirs.load_state_dict({
        "self_attn.in_proj_weight": ours.attention.inward.weight, "self_attn.in_proj_bias": ours.attention.inward.bias,
        "self_attn.out_proj.weight": ours.attention.outward.weight, "self_attn.out_proj.bias": ours.attention.outward.bias,
        "linear1.weight": ours.feed_forward.up.weight, "linear1.bias": ours.feed_forward.up.bias,
        "linear2.weight": ours.feed_forward.down.weight, "linear2.bias": ours.feed_forward.down.bias,
        **{f"{name}.{part}": getattr(getattr(ours, name), part) for name in ("norm1", "norm2") for part in ("weight", "bias")}})
    x, lengths = torch.randn(B, T, D), torch.tensor([6, 4, 1])
    mask = key_mask(lengths, T, x.device)
    assert mask is not None
    theirs.train()  # torch's inference path pads with zeros; the training path is the definition
    wanted = theirs(x, src_key_padding_mask=~mask)
    assert torch.allclose(ours(x, mask)[mask], wanted[mask], atol=1e-5)


def test_as_many_sequences_as_positions_are_masked_each_by_its_own_length() -> None:
    layer = EncoderLayer(EncoderLayerConfig(D, H, 32)).eval()
    x, lengths = torch.randn(T, T, D), torch.arange(1, T + 1)
    alone = [layer(x[row:row + 1, :length])[0] for row, length in enumerate(lengths.tolist())]
    together = layer(x, key_mask(lengths, T, x.device))
    assert all(torch.allclose(together[row, :len(found)], found, atol=1e-5) for row, found in enumerate(alone))


def test_transformer_base_has_its_size() -> None:
    assert sum(item.numel() for item in registry.make("layer", "encoder-layer").parameters()) == 3_152_384


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("rotary", [False, True])
def test_positions_one_by_one_through_a_cache_equal_all_at_once(rotary: bool, norm_first: bool) -> None:
    layer = EncoderLayer(EncoderLayerConfig(D, H, 32, norm_first=norm_first, rotary=rotary)).eval()
    x = torch.randn(2, 7, D)
    whole = layer(x, causal=True)
    for cuts in ((1, 1, 1, 1, 1, 1, 1), (3, 1, 3), (7,), (2, 5)):
        cache = Cache(7)
        pieces = [layer(piece, causal=True, cache=cache) for piece in x.split(list(cuts), 1)]
        assert torch.allclose(torch.cat(pieces, 1), whole, atol=1e-5)
    steps = Cache(7)
    assert torch.allclose(torch.stack([layer.step(x[:, place], steps) for place in range(7)], 1), whole, atol=1e-5)
    with pytest.raises(UsageError, match="room for 7 positions, and 8"):
        layer(x[:, :1], causal=True, cache=cache)


def test_rotary_products_depend_on_distance_alone() -> None:
    rotary = registry.make("layer", "rotary-positions", width=8)
    query, key = torch.randn(1, 8), torch.randn(1, 8)

    def product(left: int, right: int) -> float:
        return float((rotary(query, left) * rotary(key, right)).sum())

    assert product(3, 5) == pytest.approx(product(40, 42), abs=1e-4)
    assert product(3, 5) != pytest.approx(product(3, 9), abs=1e-3)
    assert torch.allclose(rotary(query, 17).norm(), query.norm())


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_passes_gradients_and_survives_a_save(name: str) -> None:
    layer, again = registry.make("layer", name), registry.make("layer", name)
    width = 512 if name == "encoder-layer" else 32 if name == "rotary-positions" else 64
    x = torch.randint(0, 9, (2, 5)) if name == "embedding" else torch.randn(2, 5, width, requires_grad=True)
    if name == "batch-norm":
        x = torch.randn(6, width, requires_grad=True)
    found = layer(x)
    found.square().sum().backward()
    assert all(item.grad is not None and torch.isfinite(item.grad).all() for item in layer.parameters())
    again.load_state_dict(layer.state_dict())
    assert torch.equal(layer.eval()(x), again.eval()(x))


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(UsageError, match="heads 3 does not divide width 8. Allowed, for example: heads 2, or width 9"):
        registry.make("layer", "multi-head-attention", width=8, heads=3)
    with pytest.raises(UsageError, match="9 positions, and there are positions for 8"):
        registry.make("layer", "learned-positions", width=4, longest=8)(torch.zeros(1, 9, 4))
