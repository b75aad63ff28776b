"""Commands, one file each; imported only when called."""

from toolkit.registry import Declarer

COMMANDS = {
    "run": "Train a component: toolkit run dqn --env CartPole-v1.",
    "resume": "Continue a run exactly where it stopped.",
    "evaluate": "Evaluate a run's policy or model.",
    "compare": "Put runs side by side, in numbers and as learning curves.",
    "predict": "Ask the model of a run about texts, rows or a file of them.",
    "generate": "Let the language model of a run go on from a prompt.",
    "audio": "Work on sound files: info, features, augment, denoise, convert, compare, manifest, transcribe, classify.",
    "op": "Run a tensor operation on small numbers: shapes, strides, memory, gradient.",
    "load-sb3": "Turn a policy that Stable-Baselines3 has saved into a run.",
    "export-sb3": "Write the policy of a run for Stable-Baselines3.",
    "list": "List components by kind or name.",
    "info": "Describe one component: settings, presets, extras.",
    "plugins": "Show third-party distributions and what is wrong with them.",
    "new-plugin": "Write a small installable plugin that runs and passes its tests.",
    "check": "Prove what a component promises, promise by promise.",
    "doctor": "Try everything that is installed, and name what does not work.",
}


def declare(registry: Declarer) -> None:
    """The room's components."""
    for name, summary in COMMANDS.items():
        module = name.replace("-", "_")
        registry.add("command", name, f"toolkit.commands.{module}:{module}_command", summary=summary)
