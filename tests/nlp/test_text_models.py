"""Every registered text model: padding changes nothing, batches equal singles, one batch can be learned."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_text import CASES, IDS, TEXT_MODELS, make, tiny_folder

from toolkit.core.configs import CrossEntropyConfig
from toolkit.core.losses import IGNORED, CrossEntropy
from toolkit.entries import Entry
from toolkit.errors import UsageError
from toolkit.nlp import hub
from toolkit.nlp.base import TextSpec
from toolkit.nlp.configs import BertConfig
from toolkit.nlp.models.bert import BertEncoder, from_hugging_face
from toolkit.registry import registry

LENGTHS = torch.tensor([7, 3, 1, 5])


def batch(extra: int = 0, filler: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 20, (4, 7 + extra), generator=generator)
    first = torch.randint(5, 20, (4, 7), generator=torch.Generator().manual_seed(2))
    ids[:, :7] = first
    return torch.where(torch.arange(ids.shape[1]) < LENGTHS[:, None], ids, torch.full_like(ids, filler))


@pytest.mark.parametrize(("entry", "level"), CASES, ids=IDS)
@torch.no_grad()
def test_no_valid_output_depends_on_padding(entry: Entry, level: str) -> None:
    model = make(entry, level)
    wanted, _ = model(batch(), LENGTHS)
    for extra, filler in ((0, 9), (6, 0), (6, 13)):
        found, lengths = model(batch(extra, filler), LENGTHS)
        assert lengths is None or torch.equal(lengths, LENGTHS)
        for row, length in enumerate(LENGTHS.tolist()):
            one, other = (found[row], wanted[row]) if level == "text" else (found[row, :length], wanted[row, :length])
            assert torch.allclose(one, other, atol=1e-5), f"row {row} with {extra} more positions of {filler}"


@pytest.mark.parametrize(("entry", "level"), CASES, ids=IDS)
@torch.no_grad()
def test_a_batch_equals_its_rows_one_by_one(entry: Entry, level: str) -> None:
    model = make(entry, level)
    whole, _ = model(batch(), LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone, _ = model(batch()[row:row + 1, :length], None)
        assert torch.allclose(alone[0], whole[row] if level == "text" else whole[row, :length], atol=1e-5)


@pytest.mark.parametrize(("entry", "level"), CASES, ids=IDS)
def test_one_batch_can_be_learned_by_heart(entry: Entry, level: str) -> None:
    model = make(entry, level)  # evaluating: no dropout
    ids = batch()
    targets = torch.tensor([0, 1, 2, 1]) if level == "text" else torch.where(
        torch.arange(7) < LENGTHS[:, None], ids % (3 if level == "position" else 20), IGNORED)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    loss_function = CrossEntropy(CrossEntropyConfig())
    for _ in range(300):
        loss = loss_function(model(ids, LENGTHS)[0], targets)
        if float(loss.detach()) < 0.1:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary"])
@torch.no_grad()
def test_a_language_model_never_looks_ahead_and_its_cache_changes_nothing(positions: str) -> None:
    torch.manual_seed(0)
    model = registry.make("model", "transformer-lm", inputs=20, outputs=20, width=16, heads=2, hidden=32, layers=2,
                          positions=positions).eval()
    ids = torch.randint(5, 20, (2, 9))
    whole, _ = model(ids)
    changed = ids.clone()
    changed[:, 5:] = 6
    assert torch.allclose(model(changed)[0][:, :5], whole[:, :5], atol=1e-6)
    caches = model.caches(9)
    pieces = [model.step(ids[:, :4], caches), *(model.step(ids[:, at:at + 1], caches) for at in range(4, 9))]
    assert torch.allclose(torch.stack(pieces, 1), whole[:, 3:], atol=1e-5)


def test_bert_base_has_its_exact_size() -> None:
    with torch.device("meta"):
        encoder = BertEncoder(BertConfig(), 30_522)
    assert sum(item.numel() for item in encoder.parameters()) == 109_482_240


@torch.no_grad()
def test_bert_equals_hugging_faces_with_the_same_weights() -> None:
    transformers = hub.transformers()
    theirs = transformers.BertModel(transformers.BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64)).eval()
    ours = BertEncoder(BertConfig(width=32, layers=3, heads=4, hidden=64), 50).eval()
    ours.load_state_dict(from_hugging_face(theirs.state_dict()))
    ids, segments = torch.randint(5, 20, (4, 7)), torch.randint(0, 2, (4, 7))
    mask = torch.arange(7) < LENGTHS[:, None]
    wanted: Any = theirs(ids, attention_mask=mask.long(), token_type_ids=segments)
    states, pooled = ours(ids, LENGTHS, segments)
    assert torch.allclose(states[mask], wanted.last_hidden_state[mask], atol=1e-5)
    assert torch.allclose(pooled, wanted.pooler_output, atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2"])
def test_pretrained_folders_of_each_family_load_with_their_weights(kind: str) -> None:
    transformers = hub.transformers()
    level = "next" if kind == "gpt2" else "position"
    model = registry.make("model", "pretrained", inputs=20, outputs=4, spec=TextSpec(0, level), path=tiny_folder(kind))
    maker = transformers.AutoModelForCausalLM if level == "next" else transformers.AutoModel
    theirs = maker.from_pretrained(tiny_folder(kind)).state_dict()
    assert all(torch.equal(model.body.state_dict()[name], value) for name, value in theirs.items())
    again = registry.make("model", "pretrained", inputs=20, outputs=4, spec=TextSpec(0, level, model.facts), path="gone")
    again.load_state_dict(model.state_dict())
    ids = batch()
    assert torch.equal(again.eval()(ids, LENGTHS)[0], model.eval()(ids, LENGTHS)[0])


@pytest.mark.parametrize(("kind", "level", "first", "last"), [
    ("bert", "text", "body.embeddings.", ["body.pooler.dense.weight", "body.pooler.dense.bias", "output.weight", "output.bias"]),
    ("bert", "masked", "body.bert.embeddings.", [f"body.cls.predictions.{name}" for name in (
        "bias", "transform.dense.weight", "transform.dense.bias", "transform.LayerNorm.weight", "transform.LayerNorm.bias")]),
    ("gpt2", "next", "body.transformer.w", ["body.transformer.ln_f.weight", "body.transformer.ln_f.bias"]),
    ("gpt2", "position", "body.w", ["body.ln_f.weight", "body.ln_f.bias", "output.weight", "output.bias"])])
def test_layers_thaw_from_the_last_to_the_first(kind: str, level: Any, first: str, last: list[str]) -> None:
    """What follows them learns from the start, and all that comes before them, positions and norms too, from half of the run."""
    model = registry.make("model", "pretrained", inputs=20, outputs=20, spec=TextSpec(0, level), path=tiny_folder(kind),
                          freeze="gradual")
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = [[names[id(parameter)] for parameter in group] for group in model.layer_groups()]
    assert sorted(name for group in groups for name in group) == sorted(names.values())
    assert groups[0] == [name for name in names.values() if name.startswith(first)] and len(groups[0]) > 1
    assert groups[-1] == last
    counts = []
    for fraction in (0.0, 0.2, 0.3, 0.5):
        model.unfreeze(fraction)
        counts.append([[item.requires_grad for item in group] for group in model.layer_groups()])
    learning = [(1, 4), (2, 3), (3, 2), (5, 0)]
    assert counts == [[[place >= none] * len(group) for place, group in enumerate(groups)] for _, none in learning]
    model(batch())[0].sum().backward()


@pytest.mark.parametrize(("kind", "level"), [("bert", "masked"), ("gpt2", "next")])
def test_a_head_of_the_folders_own_is_not_frozen_with_all_else(kind: str, level: Any) -> None:
    with pytest.raises(UsageError, match="freeze all: .* nothing would learn. Allowed: --model.freeze gradual, where it"):
        registry.make("model", "pretrained", inputs=20, outputs=20, spec=TextSpec(0, level), path=tiny_folder(kind), freeze="all")


def test_every_text_model_is_among_the_cases() -> None:
    assert {entry.name for entry in TEXT_MODELS} >= {"lstm-classifier", "gru-classifier", "transformer-classifier",
                                                     "transformer-lm", "lstm-lm", "tagger", "bert", "pretrained"}


@pytest.mark.parametrize(("kind", "level", "longest"), [("bert", "text", 512), ("roberta", "text", 78), ("gpt2", "next", 1024)])
@torch.no_grad()
def test_a_pretrained_model_tells_how_many_positions_it_has(kind: str, level: Any, longest: int) -> None:
    model = registry.make("model", "pretrained", inputs=20, outputs=20, spec=TextSpec(0, level), path=tiny_folder(kind)).eval()
    assert model.longest == longest and torch.isfinite(model(torch.full((1, longest), 5))[0]).all()
    with pytest.raises(UsageError, match=f"has {longest + 1} positions, and there are positions for {longest}"):
        model(torch.full((1, longest + 1), 5))


@pytest.mark.parametrize(("positions", "width", "said"), [
    ("learned", 32, "heads 12 does not divide width 32. Allowed, for example: --model.heads 8, or --model.width 36"),
    ("rotary", 36, "heads 12 does not divide width 36 into even numbers. Allowed, for example: --model.heads 9, or --model.wid"),
    ("rotary", 33, "heads 12 does not divide width 33 into even numbers. Allowed, for example: --model.width 48")])
def test_heads_that_do_not_divide_the_width_are_refused_with_flags_that_would(positions: str, width: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        registry.make("model", "transformer-classifier", inputs=9, outputs=2, spec=TextSpec(0), width=width, heads=12,
                      positions=positions)
