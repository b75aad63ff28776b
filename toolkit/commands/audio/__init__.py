"""``toolkit audio ...``: work on sound files, one file per subcommand, imported only when it is called."""

from __future__ import annotations

import importlib

import click

from toolkit.errors import UsageError, did_you_mean

# The subcommand NAME is ``toolkit.commands.audio.NAME:NAME_command``, hyphens as underscores.
SUBCOMMANDS: dict[str, str] = {
    "info": "What sound files say of themselves: rate, channels, length, encoding.",
    "features": "Features of sound by a front end: numbers, pictures, or a folder of memory-mapped arrays.",
    "augment": "Changed copies of sound files: --transforms \"noise(snr=10..30) | speed(0.9,1.1)\".",
    "denoise": "Take noise out of sound files, without training.",
    "convert": "Other formats, rates, channels and encodings of sound files.",
    "compare": "How two front ends differ on a file, in numbers and a picture.",
    "export": "A front end as an ONNX or TorchScript file.",
    "manifest": "List the sound files of a folder tree, with labels and texts, in a manifest.",
    "transcribe": "Write down what is said in sound files, with the times of the words, by a run of speech-recognition.",
    "classify": "Tell what sound files are, whole or stretch by stretch, by a run of audio-classification.",
    "language-model": "An ARPA n-gram model of texts, for decoding with a beam.",
    "vocode": "To mel frames and back to sound, by a run of the task vocoder or by name.",
}


class AudioGroup(click.Group):
    """The subcommands of `SUBCOMMANDS`; help and errors about names import none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        if cmd_name not in SUBCOMMANDS:
            raise UsageError(f"toolkit audio has no command {cmd_name!r}.{did_you_mean(cmd_name, SUBCOMMANDS)} "
                             f"Allowed: {', '.join(SUBCOMMANDS)}. See them: toolkit audio --help")
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"toolkit.commands.audio.{name}")
        command: click.Command = getattr(module, f"{name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(SUBCOMMANDS.items()))


@click.group("audio", cls=AudioGroup)
def audio_command() -> None:
    """Work on sound files; FILES are sound files, folders of them, or manifests (.jsonl, .csv).

    A file that cannot be used is skipped and reported; the others are done, and the exit code is 1 at the end.
    """
