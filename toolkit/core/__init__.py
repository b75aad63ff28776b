"""Tensor pieces: ops, layers, losses, optimizers, schedules, metrics; tables; seeding, devices, state."""

from toolkit.registry import Declarer

ROWS = ("columns", "text", "sound")  # what a file of rows may hold
SKLEARN = {"sklearn": "pip install scikit-learn"}


def declare(registry: Declarer) -> None:
    """The room's components."""
    declare_training(registry)
    declare_tables(registry)
    declare_layers(registry)
    declare_ops(registry)


def declare_training(registry: Declarer) -> None:
    """What every task is trained with."""
    configs, schedules, metrics = "toolkit.core.configs", "toolkit.core.schedules", "toolkit.core.metrics"
    budget = ("budget",)  # a schedule that goes by the share of the budget alone
    registry.add("scheduler", "constant", f"{schedules}:constant", accepts=budget, summary="Keeps the value where it starts.")
    registry.add("scheduler", "linear", f"{schedules}:linear", accepts=budget,
                 summary="Falls in a straight line from the value to zero at the end of the budget.")
    registry.add("scheduler", "warmup", f"{schedules}:warmup", config=f"{configs}:WarmupConfig", accepts=budget,
                 summary="Rises from zero in a straight line, then stays.")
    registry.add("scheduler", "warmup-linear", f"{schedules}:warmup_linear", config=f"{configs}:WarmupConfig", accepts=budget,
                 summary="Rises from zero, then falls to zero, both in straight lines.")
    registry.add("scheduler", "cosine", f"{schedules}:cosine", config=f"{configs}:CosineConfig", accepts=budget,
                 summary="Rises from zero, then falls along half a cosine.")
    registry.add("scheduler", "step", f"{schedules}:step", config=f"{configs}:StepConfig", accepts=budget,
                 summary="Falls by a factor at even distances.")
    registry.add("scheduler", "exponential", f"{schedules}:exponential", config=f"{configs}:ExponentialConfig", accepts=budget,
                 summary="Falls by the same share in each stretch.")
    registry.add("scheduler", "one-cycle", f"{schedules}:one_cycle", config=f"{configs}:OneCycleConfig", accepts=budget,
                 summary="Up and down once, along cosines, to almost nothing.")
    registry.add("scheduler", "plateau", f"{schedules}:plateau", config=f"{configs}:PlateauConfig", accepts=("scores",),
                 summary="Falls by a factor when evaluations stop getting better; for tasks on data.")
    optimizers = "toolkit.core.torch_optimizers"
    registry.add("optimizer", "sgd", f"{optimizers}:sgd", config=f"{configs}:SGDConfig",
                 summary="Stochastic gradient descent with momentum.")
    registry.add("optimizer", "adam", f"{optimizers}:adam", config=f"{configs}:AdamConfig",
                 summary="Steps of the mean gradient over the root of the mean square.")
    registry.add("optimizer", "adamw", f"{optimizers}:adamw", config=f"{configs}:AdamWConfig",
                 summary="Adam with decoupled weight decay on matrices.")
    registry.add("optimizer", "rmsprop", f"{optimizers}:rmsprop", config=f"{configs}:RMSpropConfig",
                 summary="Gradients over the root of their running mean square.")
    losses = "toolkit.core.losses"
    registry.add("loss", "cross-entropy", f"{losses}:CrossEntropy", config=f"{configs}:CrossEntropyConfig",
                 accepts=("classes",), summary="Negative log-probability of the right class.")
    registry.add("loss", "focal", f"{losses}:Focal", config=f"{configs}:FocalConfig", accepts=("classes",),
                 summary="Cross-entropy in which easy examples count less.")
    registry.add("loss", "mse", f"{losses}:MSE", accepts=("numbers",), summary="Mean squared error.")
    registry.add("loss", "l1", f"{losses}:L1", accepts=("numbers",), summary="Mean absolute error.")
    registry.add("loss", "huber", f"{losses}:Huber", config=f"{configs}:HuberConfig", accepts=("numbers",),
                 summary="Squared error near zero, absolute error further out.")
    registry.add("loss", "ctc", f"{losses}:CTC", config=f"{configs}:CTCConfig", accepts=("alignments",),
                 summary="All alignments of a short target with a long input.")
    for name, (takes, summary) in METRICS.items():
        registry.add("metric", name, f"{metrics}:{name}", accepts=takes, summary=summary)


CLASSES, NUMBERS = ("classes",), ("numbers",)
METRICS = {
    "accuracy": (CLASSES, "Share of predictions that are right."),
    "precision": (CLASSES, "Of what was predicted as a class, the share that is; mean over classes."),
    "recall": (CLASSES, "Of what is a class, the share that was found; mean over classes."),
    "f1": (CLASSES, "Harmonic mean of precision and recall; mean over classes."),
    "auc": (("classes", "scores"), "Chance that an example of a class outscores one of another."),
    "confusion": (CLASSES, "Counts of each target class against each predicted one."),
    "perplexity": (("losses",), "How many equally likely tokens the model is as unsure as."),
    "mse": (NUMBERS, "Mean squared error."),
    "mae": (NUMBERS, "Mean absolute error."),
    "r2": (NUMBERS, "Share of the target's variance that is explained."),
}


def declare_tables(registry: Declarer) -> None:
    """Files, bundled tables, and the tasks on them."""
    configs, files, tables = "toolkit.core.configs", "toolkit.core.data.files", "toolkit.core.data.sklearn_tables"
    registry.add("task", "tabular-classification", "toolkit.core.tabular:TabularClassification",
                 config=f"{configs}:TabularClassificationConfig",
                 summary="Predict a column of classes from the other columns.")
    registry.add("task", "tabular-regression", "toolkit.core.tabular:TabularRegression",
                 config=f"{configs}:TabularRegressionConfig", summary="Predict a column of numbers from the other columns.")
    registry.add("model", "mlp", "toolkit.core.models.mlp:MLPModel", config=f"{configs}:MLPModelConfig",
                 accepts=("columns",), summary="Fully connected layers from columns to outputs.")
    registry.add("dataset", "csv", f"{files}:CSVDataset", config=f"{configs}:CSVConfig", accepts=(".csv", ".tsv", *ROWS),
                 summary="Rows of a CSV or TSV file with a header.")
    registry.add("dataset", "jsonl", f"{files}:JSONLinesDataset", config=f"{configs}:FileConfig",
                 accepts=(".jsonl", ".ndjson", *ROWS), summary="One JSON object a line.")
    registry.add("dataset", "parquet", f"{files}:ParquetDataset", config=f"{configs}:FileConfig", accepts=(".parquet", *ROWS),
                 extras={"pyarrow": "pip install pyarrow"}, summary="Rows of a Parquet file.")
    registry.add("dataset", "text", f"{files}:TextDataset", config=f"{configs}:TextFileConfig", accepts=(".txt", ".md", "text"),
                 summary="Plain text: the file, its paragraphs or its lines.")
    registry.add("dataset", "iris", f"{tables}:Iris", extras=SKLEARN, accepts=("columns",),
                 summary="150 flowers of three kinds; four lengths.")
    registry.add("dataset", "wine", f"{tables}:Wine", extras=SKLEARN, accepts=("columns",),
                 summary="178 wines of three growers; 13 analyses.")
    registry.add("dataset", "digits", f"{tables}:Digits", extras=SKLEARN, accepts=("columns",),
                 summary="1,797 handwritten digits of 8 x 8 points.")
    registry.add("dataset", "breast-cancer", f"{tables}:BreastCancer", extras=SKLEARN, accepts=("columns",),
                 summary="569 tumours, malignant or benign; 30 measurements.")
    registry.add("dataset", "diabetes", f"{tables}:Diabetes", extras=SKLEARN, accepts=("columns",),
                 summary="442 patients; the progression of their disease after a year (a number).")


LAYERS = {
    "mlp": ("plain:MLP", "MLPLayerConfig", "Fully connected layers."),
    "activation": ("plain:Activation", "ActivationConfig", "A function of each number."),
    "dropout": ("plain:Dropout", "DropoutConfig", "Sets numbers to zero at random while training."),
    "embedding": ("plain:Embedding", "EmbeddingConfig", "A learned vector for each id."),
    "layer-norm": ("plain:LayerNorm", "NormConfig", "Mean 0 and deviation 1 at each position."),
    "rms-norm": ("plain:RMSNorm", "NormConfig", "Root mean square 1 at each position."),
    "batch-norm": ("plain:BatchNorm", "NormConfig", "Mean 0 and deviation 1 over the batch."),
    "residual": ("plain:Residual", "ResidualConfig", "Input plus a normalised branch of it."),
    "sinusoidal-positions": ("positions:Sinusoidal", "PositionsConfig", "Adds sines and cosines of the position."),
    "learned-positions": ("positions:Learned", "PositionsConfig", "Adds a learned vector for each position."),
    "rotary-positions": ("positions:Rotary", "RotaryConfig", "Turns queries and keys by their position."),
    "multi-head-attention": ("attention:MultiHeadAttention", "AttentionConfig", "Self-attention of several heads."),
    "feed-forward": ("attention:FeedForward", "FeedForwardConfig", "Two layers at each position."),
    "encoder-layer": ("attention:EncoderLayer", "EncoderLayerConfig", "A Transformer's layer: attention and feed-forward."),
}


def declare_layers(registry: Declarer) -> None:
    """Modules made from their config alone."""
    for name, (target, config, summary) in LAYERS.items():
        registry.add("layer", name, f"toolkit.core.layers.{target}", config=f"toolkit.core.configs:{config}", summary=summary)


OPS = {
    "zeros": ("creation:zeros", "All elements 0."),
    "ones": ("creation:ones", "All elements 1."),
    "full": ("creation:full", "All elements one number."),
    "arange": ("creation:arange", "Numbers from start to stop, without stop."),
    "linspace": ("creation:linspace", "Numbers at even distances, both ends included."),
    "eye": ("creation:eye", "The identity matrix."),
    "normal": ("creation:normal", "Draws of the standard normal distribution, from a seed."),
    "add": ("arithmetic:add", "Sum by element, shapes broadcast."),
    "subtract": ("arithmetic:subtract", "Difference by element, shapes broadcast."),
    "multiply": ("arithmetic:multiply", "Product by element, shapes broadcast."),
    "divide": ("arithmetic:divide", "Quotient by element, shapes broadcast."),
    "power": ("arithmetic:power", "Each element to a power."),
    "exp": ("arithmetic:exp", "e to the power of each element."),
    "log": ("arithmetic:log", "Natural logarithm of each element."),
    "relu": ("arithmetic:relu", "The larger of each element and 0."),
    "sum": ("arithmetic:total", "Sum of all elements, or over one dimension."),
    "mean": ("arithmetic:mean", "Mean of all elements, or over one dimension."),
    "softmax": ("arithmetic:softmax", "Positive shares that add to 1."),
    "dot": ("products:dot", "Inner product of two vectors."),
    "outer": ("products:outer", "Every element of one vector times every one of another."),
    "matmul": ("products:matmul", "Matrix product, with batches."),
    "view": ("shapes:view", "Another shape over the same memory."),
    "reshape": ("shapes:reshape", "Another shape, copied only where it must be."),
    "flatten": ("shapes:flatten", "Several dimensions as one."),
    "squeeze": ("shapes:squeeze", "Without dimensions of size 1."),
    "unsqueeze": ("shapes:unsqueeze", "With a new dimension of size 1."),
    "transpose": ("shapes:transpose", "Two dimensions change places."),
    "permute": ("shapes:permute", "All dimensions in another order."),
    "expand": ("shapes:expand", "Dimensions of size 1 repeated without a copy."),
    "contiguous": ("shapes:contiguous", "Elements in order in memory, copied only where they are not."),
    "cat": ("shapes:cat", "Two tensors one after the other."),
    "stack": ("shapes:stack", "Two tensors along a new dimension."),
    "select": ("indexing:select", "One place of a dimension."),
    "slice": ("indexing:cut", "A range of places of a dimension."),
    "index-select": ("indexing:index_select", "Places of a dimension by a list."),
    "gather": ("indexing:gather", "One place a row, by a tensor of places."),
    "where": ("indexing:where", "Elements of one tensor or the other."),
    "masked-select": ("indexing:masked_select", "The elements above a number."),
    "add-in-place": ("in_place:add_", "Adds to a tensor in its memory."),
    "multiply-in-place": ("in_place:multiply_", "Multiplies a tensor in its memory."),
    "relu-in-place": ("in_place:relu_", "Sets what is negative to 0 in its memory."),
    "unsqueeze-in-place": ("in_place:unsqueeze_", "Gives a tensor itself a dimension of size 1."),
    "transpose-in-place": ("in_place:transpose_", "Two dimensions of a tensor itself change places."),
    "copy-in-place": ("in_place:copy_", "Writes one tensor into another's memory."),
    "to-numpy": ("interchange:to_numpy", "A NumPy array over the same memory."),
    "from-numpy": ("interchange:from_numpy", "A tensor over a NumPy array's memory."),
    "clone": ("interchange:clone", "A copy through which gradients flow."),
    "to-dtype": ("interchange:to_dtype", "The elements as another type."),
    "to-device": ("interchange:to_device", "The elements on another device."),
    "polynomial": ("gradients:polynomial", "A polynomial of each element."),
    "derivative": ("gradients:derivative", "The derivative of a polynomial, by autograd."),
    "detach": ("gradients:detach", "The same memory without a gradient."),
    "no-grad": ("gradients:no_grad", "A polynomial computed without a record for gradients."),
}


def declare_ops(registry: Declarer) -> None:
    """Tensor functions: tensors first, then numbers."""
    for name, (target, summary) in OPS.items():
        registry.add("op", name, f"toolkit.core.ops.{target}", summary=summary)
