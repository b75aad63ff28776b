"""Training: the trainer, its tasks, checkpoints, records, evaluation, presets."""

from toolkit.registry import Declarer


def declare(registry: Declarer) -> None:
    """The room's components."""
    registry.add("tracker", "jsonl", "toolkit.training.recorder:JsonLines",
                 summary="One JSON object a line in metrics.jsonl.")
    registry.add("tracker", "tensorboard", "toolkit.training.recorder:TensorBoard",
                 summary="TensorBoard event file beside metrics.jsonl.")
