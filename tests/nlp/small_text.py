"""Small text models and tasks, one of each that is registered."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from toolkit.entries import Entry
from toolkit.nlp.base import TextSpec
from toolkit.registry import registry

WORDS = ["the", "film", "was", "good", "and", "bad", "plot", "a", "long", "story", "with", "brilliant", "ending"]
SMALL: dict[str, dict[str, Any]] = {
    "lstm-classifier": {"embedding_size": 8, "hidden_size": 8}, "gru-classifier": {"embedding_size": 8, "hidden_size": 8},
    "tagger": {"embedding_size": 8, "hidden_size": 8}, "transformer-classifier": {"width": 16, "heads": 2, "hidden": 32},
    "transformer-lm": {"width": 16, "heads": 2, "hidden": 32, "layers": 2},
    "lstm-lm": {"embedding_size": 8, "hidden_size": 16},
    "bert": {"width": 16, "heads": 2, "hidden": 32, "layers": 2, "longest": 64}}
TEXT_MODELS = [entry for entry in registry.entries("model", plugins=False)
               if {"text", "position", "next", "masked"} & set(entry.accepts)]
CASES = [(entry, level) for entry in TEXT_MODELS for level in entry.accepts]
IDS = [f"{entry.name}-{level}" for entry, level in CASES]


@functools.cache
def tiny_folder(kind: str = "bert") -> str:
    """A folder with a tiny pretrained model and its tokenizer, as the hub would give it; made offline."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    from toolkit.nlp.hub import transformers

    hub = transformers()
    folder = Path(tempfile.mkdtemp(prefix=f"tiny-{kind}-"))
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    if kind == "bert":
        specials, model = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], hub.BertModel(hub.BertConfig(vocab_size=40, **size))
    elif kind == "roberta":
        specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        model = hub.RobertaModel(hub.RobertaConfig(vocab_size=40, pad_token_id=1, max_position_embeddings=80, **size))
    else:
        specials, model = ["<|endoftext|>"], hub.GPT2LMHeadModel(hub.GPT2Config(vocab_size=40, n_embd=16, n_layer=3, n_head=2))
    vocabulary = {word: place for place, word in enumerate([*specials, *WORDS, "!", "."])}
    unknown = next(word for word in specials if word in ("[UNK]", "<unk>", "<|endoftext|>"))
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(specials)
    tokenizer.save(str(folder / "tokenizer.json"))
    model.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["vocab_size"] == 40
    return str(folder)


def make(entry: Entry, level: Any, inputs: int = 20, outputs: int = 3) -> nn.Module:
    """A small model of ``entry``, evaluating."""
    options = dict(SMALL.get(entry.name, {}))
    if entry.name == "pretrained":
        options = {"path": tiny_folder("gpt2" if level == "next" else "bert")}
    torch.manual_seed(0)
    count = inputs if level in ("next", "masked") else outputs
    model: nn.Module = registry.make("model", entry.name, inputs=inputs, outputs=count, spec=TextSpec(0, level), **options)
    return model.eval()
