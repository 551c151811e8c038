import errno
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
import typer

import distill
from distill.cli.main import COMMANDS, main
from distill.system.errors import DataError, Issue, RecipeError


@pytest.fixture
def install(monkeypatch):
    """Put a function in the place of `distill run`."""

    def put(function: Callable[..., None]) -> None:
        module = types.ModuleType("distill.cli.run")
        function.__name__ = "run"
        module.run = function
        monkeypatch.setitem(sys.modules, "distill.cli.run", module)

    return put


def raising(error):
    def run() -> None:
        raise error

    return run


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out and line in out for name, line in COMMANDS.items())
    assert "distill run quickstart" in out
    assert main([]) == 0
    assert capsys.readouterr().out == out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"distill {distill.__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rum"], "no command 'rum'; did you mean 'run'?"),
        (["zzzz"], "there are: ls, show"),
        (["run", "--nope"], "--nope"),
        (["--nope"], "--nope"),
    ],
)
def test_usage_error_is_one_line_and_2(words, said, install, capsys):
    install(raising(ValueError()))
    assert main(words) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


CARRYING = KeyboardInterrupt()
CARRYING.resume_command = "distill resume runs/a"
ISSUES = [Issue(Path("a.yaml"), 1, "x", "wrong"), Issue(None, None, "y", "wrong too")]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("train.csv:3: no column 'text'"), 2, "error: train.csv:3: no column 'text'"),
        (RecipeError(ISSUES), 2, "error: a.yaml:1: x: wrong\nerror: override: y: wrong too"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (CARRYING, 130, "interrupted; go on with: distill resume runs/a"),
        (typer.Exit(3), 3, ""),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/a/x.bin"),
            2,
            "error: disk full while writing runs/a/x.bin: free space, then: distill resume RUN",
        ),
    ],
)
def test_what_ends_a_command(install, capsys, error, code, said):
    install(raising(error))
    assert main(["run"]) == code
    assert capsys.readouterr() == ("", f"{said}\n" if said else "")


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("ours"),
        # A missing file that nobody named.
        FileNotFoundError(errno.ENOENT, "No such file or directory", "x.bin"),
    ],
)
def test_our_mistakes_have_a_traceback_and_1(install, capsys, error):
    install(raising(error))
    assert main(["run"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert f"{type(error).__name__}: " in err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "/elsewhere/a"),
            "/elsewhere/a: permission",
        ),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"), "a/b: a file stands where"),
        (FileExistsError(errno.EEXIST, "File exists", "a"), "a: a file stands where a folder"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", ".a.x", None, "a"), "a: a folder, not"),
        (OSError(errno.EROFS, "Read-only file system", "/proc/a"), "/proc/a: the file system can"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 300), "the name is too long"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_line_and_2(error, said, install, capsys):
    install(raising(error))
    assert main(["run"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1


def test_messages_go_to_stderr_by_level(install, capsys):
    import logging

    def run() -> None:
        logging.getLogger("distill").debug("detail")
        logging.getLogger("distill").info("told")
        logging.getLogger("distill.data").warning("mind")

    install(run)
    assert main(["run"]) == 0
    assert capsys.readouterr() == ("", "told\nwarning: mind\n")
    assert main(["--quiet", "run"]) == 0
    assert capsys.readouterr() == ("", "warning: mind\n")
    assert main(["-v", "run"]) == 0
    assert capsys.readouterr() == ("", "detail\ntold\nwarning: mind\n")


def test_examples_keep_their_lines(install, capsys):
    def run(recipe: Annotated[str, typer.Argument(help="A name.")] = "x") -> None:
        """Run it.

        Long words about it.

        Example:
          distill run a
          distill run b
        """

    install(run)
    assert main(["run", "--help"]) == 0
    out = capsys.readouterr().out
    assert "  Example:\n    distill run a\n    distill run b\n" in out


def test_broken_pipe_is_silent():
    command = f"{sys.executable} -m distill.cli.main --help"
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -c 1"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["resume", "evaluate", "report", "predict"])
def test_a_run_of_almost_that_name_is_suggested(finished_run, monkeypatch, capsys, command):
    monkeypatch.chdir(finished_run.parent)
    for name in ("quikstart", "runs/quickstart"):
        assert main([command, name]) == 2
        told = f"error: {name}: no such folder; did you mean quickstart?\n"
        assert capsys.readouterr().err == told
