"""Models of Hugging Face's transformers (BERT, RoBERTa, GPT and their kin), from a local folder or the hub.

The checkpoint of a run keeps the model's configuration and weights, so the folder is needed once.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.core.layers.attention import key_mask
from toolkit.core.layers.dropout import Dropout
from toolkit.core.layers.positions import check_room
from toolkit.errors import ToolkitError, UsageError
from toolkit.nlp import hub
from toolkit.nlp.base import TextSpec
from toolkit.nlp.configs import PretrainedConfig
from toolkit.nlp.models.recurrent import masked_average, whole_lengths

HEADS = {"next": "AutoModelForCausalLM", "masked": "AutoModelForMaskedLM"}  # the library's classes with a head of their own


class Pretrained(nn.Module):
    """The folder's model, with an output layer of the task's own: [B, C] for a text, [B, T, C] for positions.

    A text's class comes from the mean of its positions. For next and hidden tokens the folder's own head is
    used. Raises UsageError where the next token is asked for and the model looks ahead, as BERT does.
    """

    def __init__(self, config: PretrainedConfig, inputs: int, outputs: int, spec: TextSpec | None = None) -> None:
        super().__init__()
        spec = spec or TextSpec()
        self.level, self.freeze = spec.level, config.freeze
        self.body: Any = load_body(config, spec)
        size = self.body.get_input_embeddings().num_embeddings
        if inputs > size:
            raise UsageError(f"the tokenizer has {inputs} ids and the model of {config.path} {size}; use the model's own: "
                             f"--tokenizer pretrained --tokenizer.path {config.path}")
        self.longest = self.room = longest_of(self.body)
        self.dropout = Dropout(config.dropout)
        width = getattr(self.body.config, "hidden_size", None) or self.body.config.n_embd
        self.output = nn.Linear(width, outputs) if spec.level not in HEADS else None
        if spec.level == "next" and looks_ahead(self.body):
            raise UsageError(f"the model of {config.path} looks at later tokens, so it cannot learn what comes next. "
                             "Learn hidden tokens with it: toolkit run masked-language-model --model pretrained; "
                             "or take a causal model, such as GPT-2")
        if config.freeze == "all" and self.output is None:
            raise UsageError(f"freeze all: the model of {config.path} answers with a head of its own here, which is frozen with "
                             "all else: nothing would learn. Allowed: --model.freeze gradual, where it learns first, or none")
        if config.freeze != "none":
            for parameter in self.body.parameters():
                parameter.requires_grad_(False)

    @property
    def facts(self) -> dict[str, Any]:
        """The model's configuration, as JSON values."""
        return {"config": json.loads(self.body.config.to_json_string(use_diff=False))}

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        if self.longest is not None:
            check_room(inputs.shape[1], self.longest)
        lengths = whole_lengths(inputs, lengths)
        mask = key_mask(lengths, inputs.shape[1], inputs.device)
        assert mask is not None
        found = self.body(input_ids=inputs, attention_mask=mask.long())
        if self.output is None:
            return found.logits, lengths
        states = self.dropout(found.last_hidden_state)
        return self.output(masked_average(states, mask) if self.level == "text" else states), lengths

    def unfreeze(self, fraction: float) -> None:
        """At ``fraction`` of the run, let the last so many groups learn: the last one from the start, all after half of it.

        Source: gradual unfreezing, Howard and Ruder (2018), section 3.3.
        """
        if self.freeze != "gradual":
            return
        groups = self.layer_groups()
        learning = min(len(groups), 1 + int(2 * fraction * (len(groups) - 1)))
        for group in groups[len(groups) - learning:]:
            for parameter in group:
                parameter.requires_grad_(True)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """What learns from one time on, first to last: all that comes before the layers, each layer, what follows them.

        Models list their parameters in this order. A head that is the embedding turned round is the embedding, of the first
        group; where nothing follows the layers the last of them is the last group.
        """
        lists = [list(module) for module in self.body.modules() if isinstance(module, nn.ModuleList)]
        layers: list[nn.Module] = max(lists, key=len, default=[])
        places = {id(parameter): place for place, layer in enumerate(layers, 1) for parameter in layer.parameters()}
        groups: list[list[nn.Parameter]] = [[] for _ in range(len(layers) + 2)]
        outside = 0  # the group of what is in no layer
        for parameter in self.parameters():
            place = places.get(id(parameter))
            outside = outside if place is None else len(groups) - 1
            groups[outside if place is None else place].append(parameter)
        return [group for group in groups if group]


def longest_of(body: Any) -> int | None:
    """How many positions the model has room for; None where it does not say."""
    told: int | None = getattr(body.config, "max_position_embeddings", None)
    tables = [module for name, module in body.named_modules() if name.endswith("position_embeddings")]
    padding = getattr(tables[0], "padding_idx", None) if tables else None
    return told if told is None or padding is None else told - padding - 1  # RoBERTa's begin behind that of padding


@torch.no_grad()
def looks_ahead(body: Any) -> bool:
    """Whether another last token changes the answers before it."""
    was = body.training
    body.eval()
    one, other = (body(input_ids=torch.tensor([[0, 0, 0, last]])).logits[:, :3] for last in (0, 1))
    body.train(was)
    return not torch.allclose(one, other, atol=1e-4)


def load_body(config: PretrainedConfig, spec: TextSpec) -> Any:
    """The model of the folder; of the checkpoint's own configuration where the run is loaded again."""
    transformers = hub.transformers()
    maker: Any = getattr(transformers, HEADS.get(spec.level, "AutoModel"))
    if spec.facts:
        facts = dict(spec.facts["config"])
        return maker.from_config(transformers.AutoConfig.for_model(facts.pop("model_type"), **facts))
    if not config.path:
        raise UsageError("the model pretrained needs its folder: --model.path FOLDER")
    try:
        if config.random:
            return maker.from_config(transformers.AutoConfig.from_pretrained(config.path, trust_remote_code=False))
        # safetensors only: other weight files are pickles, which execute what they hold
        return maker.from_pretrained(config.path, trust_remote_code=False, use_safetensors=True, dtype=torch.float32)
    except (OSError, ValueError) as error:
        first = str(error).strip().split("\n")[0]
        raise ToolkitError(f"no model could be read from {config.path}: {first} Allowed: a folder with config.json and "
                           "model.safetensors, or a name on the hub that can be reached") from error
