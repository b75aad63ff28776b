"""Text: tokenizers, vocabulary, datasets, models, tasks."""

from toolkit.registry import Declarer

CONFIGS = "toolkit.nlp.configs"
HUB = {"transformers": "pip install transformers", "tokenizers": "pip install tokenizers"}
SUBWORDS = {"tokenizers": "pip install tokenizers"}


def declare(registry: Declarer) -> None:
    """The room's components."""
    declare_tokenizers(registry)
    declare_models(registry)
    declare_tasks(registry)
    declare_datasets(registry)


def declare_tokenizers(registry: Declarer) -> None:
    pieces, subwords = "toolkit.nlp.tokenizers.pieces", "toolkit.nlp.tokenizers.subwords"
    registry.add("tokenizer", "basic-english", f"{pieces}:BasicEnglish", config=f"{CONFIGS}:BasicEnglishConfig",
                 summary="Small letters, punctuation apart, as torchtext's basic_english.", cannot={"capitals": "made small"})
    registry.add("tokenizer", "word", f"{pieces}:Words", config=f"{CONFIGS}:WordConfig", summary="What stands between spaces.")
    registry.add("tokenizer", "char", f"{pieces}:Characters", config=f"{CONFIGS}:CharConfig", summary="Each character.")
    registry.add("tokenizer", "bpe", f"{subwords}:BPE", config=f"{CONFIGS}:SubwordConfig", extras=SUBWORDS,
                 summary="Byte pairs, learned from the training texts.")
    registry.add("tokenizer", "wordpiece", f"{subwords}:WordPiece", config=f"{CONFIGS}:SubwordConfig", extras=SUBWORDS,
                 summary="Words and pieces of words, learned from the training texts.")
    registry.add("tokenizer", "pretrained", f"{subwords}:FolderTokenizer", config=f"{CONFIGS}:FolderConfig", extras=SUBWORDS,
                 summary="The tokenizer of a pretrained model, from its folder or the hub.")


def declare_models(registry: Declarer) -> None:
    models = "toolkit.nlp.models"
    registry.add("model", "lstm-classifier", f"{models}.recurrent:LSTMClassifier", config=f"{CONFIGS}:RecurrentConfig",
                 accepts=("text",), summary="A class for each text from an LSTM, bidirectional by default.")
    registry.add("model", "gru-classifier", f"{models}.recurrent:GRUClassifier", config=f"{CONFIGS}:RecurrentConfig",
                 accepts=("text",), summary="A class for each text from a GRU, bidirectional by default.")
    registry.add("model", "transformer-classifier", f"{models}.transformer:TransformerClassifier", accepts=("text",),
                 config=f"{CONFIGS}:TransformerTextConfig", summary="A class for each text from a Transformer encoder.")
    registry.add("model", "transformer-lm", f"{models}.transformer:TransformerLM", config=f"{CONFIGS}:TransformerLMConfig",
                 accepts=("next",), summary="The next token from a causal Transformer, with cached generation.")
    registry.add("model", "lstm-lm", f"{models}.recurrent:LSTMLM", config=f"{CONFIGS}:RecurrentLMConfig", accepts=("next",),
                 summary="The next token from an LSTM that looks back as far as its state remembers.")
    registry.add("model", "tagger", f"{models}.recurrent:Tagger", config=f"{CONFIGS}:TaggerConfig", accepts=("position",),
                 summary="A tag for each token from a bidirectional LSTM or GRU.")
    registry.add("model", "bert", f"{models}.bert:Bert", config=f"{CONFIGS}:BertConfig", accepts=("text", "position", "masked"),
                 summary="BERT from scratch, at its base size.")
    registry.add("model", "pretrained", f"{models}.pretrained:Pretrained", config=f"{CONFIGS}:PretrainedConfig", extras=HUB,
                 accepts=("text", "position", "next", "masked"),
                 summary="BERT, RoBERTa, GPT and their kin from a local folder or the Hugging Face hub.")


def declare_tasks(registry: Declarer) -> None:
    tasks = "toolkit.nlp.tasks"
    registry.add("task", "text-classification", f"{tasks}.classification:TextClassification",
                 config=f"{CONFIGS}:TextClassificationConfig", presets="toolkit.nlp:presets/classification.toml",
                 summary="A class for each text.")
    registry.add("task", "token-classification", f"{tasks}.tagging:TokenClassification",
                 config=f"{CONFIGS}:TokenClassificationConfig", presets="toolkit.nlp:presets/tagging.toml",
                 summary="A tag for each word of a text.")
    registry.add("task", "text-generation", f"{tasks}.generation:TextGeneration", config=f"{CONFIGS}:TextGenerationConfig",
                 presets="toolkit.nlp:presets/generation.toml",
                 summary="What comes next: a language model, or an answer to a text.")
    registry.add("task", "masked-language-model", f"{tasks}.masked:MaskedLanguageModel",
                 config=f"{CONFIGS}:MaskedLanguageModelConfig", presets="toolkit.nlp:presets/masked.toml",
                 summary="Hidden tokens from those around them, as BERT learns.")


def declare_datasets(registry: Declarer) -> None:
    made = "toolkit.nlp.datasets.made"
    registry.add("dataset", "template-reviews", f"{made}:TemplateReviews", config=f"{CONFIGS}:MadeConfig", accepts=("text",),
                 summary="Opinions about films from templates, good or bad; the test templates are others.")
    registry.add("dataset", "reverse", f"{made}:Reverse", config=f"{CONFIGS}:StringsConfig", accepts=("text",),
                 summary="Strings to be turned round.")
    registry.add("dataset", "copy", f"{made}:Copy", config=f"{CONFIGS}:StringsConfig", accepts=("text",),
                 summary="Strings to be repeated.")
    registry.add("dataset", "sort", f"{made}:Sort", config=f"{CONFIGS}:StringsConfig", accepts=("text",),
                 summary="Strings to be sorted.")
    registry.add("dataset", "bracket-tagging", f"{made}:BracketTagging", config=f"{CONFIGS}:BracketsConfig", accepts=("text",),
                 summary="Brackets of three kinds, with and without a partner, to be tagged.")
    registry.add("dataset", "python-docs", "toolkit.nlp.datasets.python_docs:PythonDocs", config=f"{CONFIGS}:DocsConfig",
                 accepts=("text",),
                 summary="English that ships with Python: prose of the manual and of docstrings.")
