"""The front door: finds commands in the registry, imports one when it is called, decides the exit code.

Exit codes: 0 done; 1 the run failed; 2 wrong usage or unknown name; 130 and 143 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from toolkit import __version__
from toolkit.errors import ToolkitError
from toolkit.registry import registry

FAILED, INTERRUPTED = 1, 130
TORCHS = ("can't allocate memory", "CUDA out of memory")  # what torch says, of which a RuntimeError is all that one sees
HERE = Path(__file__).parent
HELP_ALONE: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())  # a group without a command, from click 8.2 on


class RegistryGroup(click.Group):
    """A click group whose commands are the registry's."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [entry.name for entry in registry.entries("command")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        entry = registry.get("command", cmd_name)
        command = entry.load()
        if not isinstance(command, click.Command):
            raise ToolkitError(f"the command {entry.id!r} is {type(command).__name__} {entry.target!r}, promised: a "
                               "click.Command. Decorate its function with @click.command()")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Click ends in silence at a broken pipe, which is right for our own output alone."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            if output_is_unread():
                raise
            raise ToolkitError(f"{error.strerror or 'a broken pipe'}: another process has ended while we wrote to it") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(entry.name, entry.summary) for entry in registry.entries("command")])


@click.group(cls=RegistryGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="toolkit")
def toolkit() -> None:
    """Reinforcement-learning and audio agents: train, resume, evaluate, inspect.

    Begin with: toolkit run dqn --env CartPole-v1
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; the one place that turns errors into messages and exit codes."""
    # NumPy's BLAS would start a thread a core for products that take microseconds.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # What the toolkit warns of is said as its errors are; others' warnings keep the place that they come from.
    usual = warnings.formatwarning
    warnings.formatwarning = lambda message, category, filename, *rest: (
        f"toolkit: {message}\n" if Path(filename).is_relative_to(HERE) and category is UserWarning
        else usual(message, category, filename, *rest))
    # A command that is ended leaves no half-written file: what it has begun is cleared away as the exception passes.
    # (Python lets the main thread alone choose; a caller in another one keeps what it has.)
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(exit_code(list(sys.argv[1:] if arguments is None else arguments)))


def exit_code(arguments: list[str]) -> int:
    try:
        result = toolkit.main(args=arguments, prog_name="toolkit", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except SystemExit:
        if output_is_unread():  # (`toolkit list | head`): nothing is wrong
            return 0
        raise
    except HELP_ALONE as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        print(f"toolkit: {in_our_words(error)}", file=sys.stderr)
        return error.exit_code
    except ToolkitError as error:
        print("\n".join([f"toolkit: {error}", *getattr(error, "__notes__", ())]), file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("toolkit: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (MemoryError, RuntimeError) as error:
        what = str(error).partition("\n")[0].rpartition("DefaultCPUAllocator: ")[2] or "nothing is left"
        if not isinstance(error, MemoryError) and not any(words in what for words in TORCHS):
            raise
        print(f"toolkit: the memory of this machine is not enough: {what}. Ask for less: fewer environments, shorter rollouts, "
              "a smaller buffer, batch or network", file=sys.stderr)
        return FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"toolkit: {where}{error.strerror or error}", file=sys.stderr)
        return FAILED


def output_is_unread() -> bool:
    """Whether the reader of our standard output has gone: a pipe without one is in error, which `poll` tells of unasked."""
    try:
        descriptor = sys.__stdout__.fileno() if sys.__stdout__ else -1
    except (OSError, ValueError):  # closed, or none of the system's
        return False
    poller = select.poll()
    if descriptor >= 0:
        poller.register(descriptor, 0)
    return any(events & select.POLLERR for _, events in poller.poll(0))


def in_our_words(error: click.ClickException) -> str:
    """What click found wrong as our own errors are written: one line, and the next command."""
    message = " ".join(error.format_message().split())
    if isinstance(error, click.NoSuchOption):
        near = " or ".join(repr(name) for name in error.possibilities or ())
        message = f"no such option {error.option_name!r}." + (f" Did you mean {near}?" if near else "")
    context = getattr(error, "ctx", None)
    ending = "" if message.endswith((".", "?")) else "."
    following = f" See: {context.command_path} --help" if context else ""
    return message[:1].lower() + message[1:] + ending + following


if __name__ == "__main__":
    main()
