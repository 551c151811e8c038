"""The console entry: finds the command, sets up messages, and turns errors into exit codes.

Exit codes: 0 done; 2 a mistake of the user's, printed in plain lines; 128 + the signal's number
where one stopped it (130 Ctrl-C, 138 SIGUSR1, 143 SIGTERM); 1 a bug of ours, with its traceback.
A command's file is imported only when that command is called.
"""

from __future__ import annotations

import errno
import importlib
import inspect
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import distill
from distill.system.errors import UserError, full_disk, nearest
from distill.system.messages import set_up_messages, take_down_messages
from distill.training.interrupt import exit_code

#: Every command and its line in ``distill --help``; each is a function of that name, in
#: ``distill/cli/<name>.py`` or in the file of another one.
COMMANDS: dict[str, str] = {
    "ls": "List the built-in recipes and studies.",
    "show": "Print a recipe with everything filled in.",
    "validate": "Check a recipe and print every error at once.",
    "schema": "Print the JSON schema of a recipe, or of a study.",
    "plan": "Print what a run would do and cost, without doing it.",
    "run": "Run a recipe from its start to a bundle and a report.",
    "resume": "Go on with a run that was interrupted.",
    "evaluate": "Print a run's results, or measure them again.",
    "augment": "Make the examples of a recipe's augment stage, and show a few.",
    "study": "Train a recipe with several seeds, in variants, in one table.",
    "fit-budget": "Find the best model within limits of latency and size.",
    "compare": "Put the results of several runs side by side.",
    "benchmark": "Time any number of models side by side.",
    "report": "Write a run's report.html again.",
    "predict": "Predict with a bundle.",
    "serve": "Answer predictions over HTTP.",
    "demo": "Show a page that predicts in the browser.",
    "inspect": "Show how a teacher and its student read one text.",
    "tune-runtime": "Measure how a bundle is served fastest here.",
    "export": "Make a bundle from a run, or from any folder with a model.",
    "fit-head": "Fit a classifier on a sentence encoder's vectors.",
    "summarise": "Print the sentences that say most of a text.",
    "blank": "Make an untrained BERT with a vocabulary of its own.",
}
_FILES = {
    "compare": "evaluate",
    "demo": "serve",
    "report": "evaluate",
    "resume": "run",
    "schema": "show",
    "summarise": "fit_head",
    "validate": "show",
}

#: What the operating system says of a path that the user named, and that nothing can be put at.
_MISPLACED = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system can only be read",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EEXIST: "a file stands where a folder is needed",
    errno.EISDIR: "a folder, not a file",
    errno.ENAMETOOLONG: "the name is too long",
}


class _InterruptedError(Exception):
    """Ctrl-C on its way past typer, which would otherwise swallow what it carries."""


class Commands(TyperGroup):
    """A group that imports a command's file when that command is called, and not before."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Build the command from its function; an unknown name is answered with a near one."""
        if cmd_name not in COMMANDS:
            hint = nearest(cmd_name, COMMANDS) or f"; there are: {', '.join(COMMANDS)}"
            ctx.fail(f"no command '{cmd_name}'{hint}")
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"distill.cli.{_FILES.get(name, name)}")
        return _build_command(getattr(module, name))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: Any) -> Any:
        """Run the command; Ctrl-C leaves as an exception that typer does not touch."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            raise _InterruptedError from interrupt


def _build_command(function: Callable[..., None]) -> Any:
    """One typer command from an annotated function, its examples kept line by line."""
    paragraphs = []
    for paragraph in inspect.cleandoc(function.__doc__ or "").split("\n\n"):
        lines = paragraph.splitlines()
        verbatim = any(line.startswith((" ", "distill ", "Example")) for line in lines)
        paragraphs.append(f"\b\n{paragraph}" if verbatim else paragraph)
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    named = single.command(function.__name__.replace("_", "-"), help="\n\n".join(paragraphs))
    named(function)
    return typer.main.get_command(single)


app = typer.Typer(
    cls=Commands,
    # The mark keeps click from re-wrapping the lines of a paragraph.
    epilog="\b\nExample:\n  distill ls\n  distill plan quickstart\n  distill run quickstart",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _group(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")] = False,
) -> None:
    """From a task and a big BERT to a small, fast model in a folder, and a table that proves it."""
    if version:
        typer.echo(f"distill {distill.__version__}")
        raise typer.Exit
    set_up_messages(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        args: the words after ``distill``; ``None`` takes them from ``sys.argv``.
    """
    words = sys.argv[1:] if args is None else list(args)
    # Torch's threads wait for each other by spinning for milliseconds. When another program takes
    # one of the cores, that made training steps ten times slower (2 cores, measured); with this
    # they give the core up after a fraction of that. Read once, when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # Advice that torch's C++ parts write past Python; read once too.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no UTF-8
    command = typer.main.get_command(app)
    try:
        code = command.main(args=words, prog_name="distill", standalone_mode=False)
    except _InterruptedError as interrupted:
        return _interrupted(interrupted.__cause__)
    except KeyboardInterrupt as interrupt:
        return _interrupted(interrupt)
    except BrokenPipeError:
        # The reader of our output went away; without this, Python complains again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        return _failed(error)
    finally:
        take_down_messages()
    return code if isinstance(code, int) else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _interrupted(interrupt: BaseException | None) -> int:
    resume_command = getattr(interrupt, "resume_command", None)
    _say("interrupted" + (f"; go on with: {resume_command}" if resume_command else ""))
    return exit_code(interrupt)


def _failed(error: Exception) -> int:
    if isinstance(error, UserError):
        for line in str(error).splitlines():
            _say(f"error: {line}")
        return 2
    usage = getattr(error, "format_message", None)
    if usage is not None and hasattr(error, "exit_code"):  # typer's own: a wrong command line
        path = getattr(getattr(error, "ctx", None), "command_path", "distill")
        text = usage().replace(": Value error, ", ": ").removesuffix(".")  # a Literal's, in full
        _say(f"error: {text} (see: {path} --help)")
        return 2
    full = full_disk(error)
    if full is not None:
        where = getattr(full, "filename", None) or "a file of the run or the cache"
        again = getattr(error, "resume_command", None) or "distill resume RUN"
        _say(f"error: disk full while writing {where}: free space, then: {again}")
        return 2
    if isinstance(error, OSError) and error.errno in _MISPLACED:
        where = error.filename2 or error.filename or "a file"
        _say(f"error: {where}: {_MISPLACED[error.errno]}; name another place")
        return 2
    _say("".join(traceback.format_exception(error)).rstrip())
    _say("this is a bug in distill, not of your input: please report it with the lines above")
    return 1


if __name__ == "__main__":
    sys.exit(main())
