"""A run as small as can be that goes through every stage kind."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from run_files import write_lines

Distill = Callable[..., subprocess.CompletedProcess[str]]
KilledAt = Callable[..., None]


@pytest.fixture
def tiny_recipe(
    tmp_path: Path, tiny_bert, sentences, exported_once, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A recipe file over 64 sentences and a random 2-layer teacher; every stage kind is in it."""
    # Nothing here says how fast a model is, so its timing need not wait for the machine to rest.
    monkeypatch.setattr("distill.evaluation.speed._PAUSE_SECONDS", 0.0)
    texts, labels = sentences
    names = ("negative", "positive")
    rows = [{"text": t, "label": names[label]} for t, label in zip(texts, labels, strict=True)]
    for name, part in (("train", rows[:48]), ("validation", rows[48:])):
        write_lines(tmp_path / f"{name}.jsonl", part)
    training = {"epochs": 2, "batch_size": 8, "lr": 1e-3}
    logits = [{"kind": "logits"}]
    inside = [{"kind": kind} for kind in ("embedding", "attention", "hidden")]
    prune = {"kind": "prune", "heads": 0.5, "ffn": 0.5, "score_steps": 2, "batch_size": 8}
    timing = {"batch_sizes": [1, 4], "lengths": [8], "repeats": 3, "threads": 1}
    files = {name: str(tmp_path / f"{name}.jsonl") for name in ("train", "validation")}
    recipe: dict[str, Any] = {
        "recipe": 1,
        "name": "tiny",
        "seed": 7,
        "task": {"kind": "classification", "labels": list(names)},
        "data": {"source": "files", **files, "max_length": 32},
        "teacher": {"model": str(tiny_bert()), "finetune": training},
        "student": {"size": "1x32/2/64"},
        "stages": [
            {"kind": "distill", "name": "intermediate", "objectives": inside, **training},
            {"kind": "distill", "name": "prediction", "objectives": logits, **training},
            prune | {"recover": training},
            {"kind": "quantize", "max_drop": 1.0},
            {"kind": "export", "max_drop": 1.0},
            {"kind": "evaluate", **timing},
        ],
        "trainer": {"checkpoint_steps": 1, "threads": 1, "precision": "fp32"},
        "track": {"wandb": {"mode": "offline", "project": "tiny"}},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), "utf-8")
    return path


@pytest.fixture
def distill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> Distill:
    """The command line in this process, which has imported everything; as ``distill_process``."""
    from distill.cli.main import main

    def call(*words: str | Path) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        capfd.readouterr()
        code = main([*map(str, words)])
        said = capfd.readouterr()
        return subprocess.CompletedProcess(words, code, said.out, said.err)

    return call


@pytest.fixture(scope="session")
def killed_at() -> Iterator[KilledAt]:
    """Run the command line in a process of its own until a path is there, and SIGKILL it then.

    ``killed_at(sign, *words)`` fails where the process ended before. Its processes are copies of
    one that has imported torch and Lightning, which takes longer than these runs.
    """
    command = [sys.executable, str(Path(__file__).with_name("forking.py"))]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        stdin, stdout = server.stdin, server.stdout

        def run(sign: Path, *words: str | Path) -> None:
            folder = Path(os.environ["DISTILL_CACHE"])
            log = folder / "killed.txt"
            stdin.write(json.dumps([[*map(str, words)], str(folder), str(log), str(sign)]) + "\n")
            stdin.flush()
            status = int(stdout.readline())
            assert status == -signal.SIGKILL, log.read_text("utf-8")
            assert sign.exists(), f"{sign} did not appear"

        yield run
        stdin.close()


@pytest.fixture
def dies_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """``dies_at(n)``: from now on trainings break at the n-th step that is begun."""
    from distill.training.callbacks import Curves

    original = Curves.on_train_batch_start

    def put(number: int) -> None:
        steps = itertools.count(1)

        def dying(self: Any, *args: Any) -> None:
            if next(steps) == number:
                raise RuntimeError("power cut")
            original(self, *args)

        monkeypatch.setattr(Curves, "on_train_batch_start", dying)

    return put


@pytest.fixture
def distill_process(tmp_path: Path) -> Distill:
    """The command line in a process of its own, from a folder that is not the project's."""

    def call(*words: str | Path, **rest: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "distill", *map(str, words)],
            cwd=tmp_path,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
            **rest,
        )

    return call
