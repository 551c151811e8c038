"""A training that is killed and gone on with ends as one that was never stopped."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_training as tiny
import torch
from safetensors.torch import load_file

from distill.system.errors import RunFolderError

#: 90 rows in batches of 8 are 12 batches an epoch; 2 epochs, scored 3 times each.
PLAIN: dict[str, Any] = {"val_check_interval": 0.34}
#: Three batches a step: neither the epoch nor the training is a multiple of it at 5 batches.
ACCUMULATED: dict[str, Any] = {"accumulate_grad_batches": 5, "trainer": {"checkpoint_steps": 1}}
BF16: dict[str, Any] = {"trainer": {"precision": "bf16"}}
DISTILLED: dict[str, Any] = {"objectives": ["embedding", "attention", "hidden", "logits"]}
SCHEDULED: dict[str, Any] = {
    "objectives": [{"kind": "hidden", "weight": {"from": 2.0, "to": 0.0, "end": 0.6}}, "logits"]
}
PATIENT: dict[str, Any] = {"epochs": 6, "patience": 2, "lr": 1e-6}
DECAYED: dict[str, Any] = {"layer_decay": 0.7}
BATCHES: dict[str, Any] = {"val_check_interval": 5, "accumulate_grad_batches": 2}
STEPS: dict[str, Any] = {"max_steps": 26, "val_check_interval": 4}
LAYERS: dict[str, Any] = {"objectives": ["hidden"]}
LAST_KEPT: dict[str, Any] = {"validation": None}


Start = Callable[[Path, dict[str, Any]], int]
Whole = Callable[[dict[str, Any]], Path]


def said(folder: Path) -> str:
    return (folder / "stderr.txt").read_text()


def curves(folder: Path) -> list[list[str]]:
    """The rows without the last column, the seconds."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [row[:-1] for row in csv.reader(file)]


def assert_same(one: Path, other: Path) -> None:
    ours, theirs = (load_file(folder / "final.safetensors") for folder in (one, other))
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
    assert json.loads((one / "result.json").read_text()) == json.loads(
        (other / "result.json").read_text()
    )
    assert curves(one) == curves(other)


@pytest.fixture(scope="session")
def whole(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Runs that were never stopped, made once for each setting."""
    made: dict[str, Path] = {}

    def run(settings: dict[str, Any]) -> Path:
        key = json.dumps(settings)
        if key not in made:
            folder = tmp_path_factory.mktemp("whole")
            assert start(folder, settings) == 0, said(folder)
            made[key] = folder
        return made[key]

    return run


@pytest.mark.parametrize(
    ("settings", "deaths"),
    [
        pytest.param(PLAIN, [("step", 2)], id="before-the-first-checkpoint"),
        pytest.param(PLAIN, [("step", 18), ("step", 3)], id="twice-in-the-second-epoch"),
        pytest.param(PLAIN, [("best", 1)], id="between-best-weights-and-checkpoint"),
        pytest.param(PLAIN, [("saving", 2), ("saved", 1)], id="while-and-after-saving"),
        pytest.param(PLAIN, [("scored", 30)], id="in-the-last-scoring"),
        pytest.param(PLAIN, [("saved", 12)], id="after-the-last-step"),
        pytest.param(ACCUMULATED, [("step", 8)], id="between-accumulated-batches"),
        pytest.param(ACCUMULATED, [("saved", 3), ("step", 4)], id="accumulated-over-the-epoch"),
        pytest.param(PATIENT, [("saved", 8)], id="before-patience-runs-out"),
        pytest.param(BF16, [("step", 9)], id="bf16"),
        pytest.param(DISTILLED, [("step", 8), ("saved", 2)], id="distilled"),
        pytest.param(SCHEDULED, [("step", 8)], id="weights-that-move"),
        pytest.param(DECAYED, [("step", 8)], id="rates-by-layer"),
        pytest.param(LAST_KEPT, [("step", 17)], id="without-validation"),
        pytest.param(LAST_KEPT, [("saved", 4), ("step", 1)], id="at-the-end-of-an-epoch"),
        pytest.param(BATCHES, [("saved", 3), ("saved", 2)], id="scored-every-five-batches"),
        pytest.param(STEPS, [("saved", 4), ("step", 3)], id="by-steps"),
        pytest.param(LAYERS, [("step", 9), ("saved", 6)], id="scored-before-the-first-step"),
    ],
)
def test_killed_and_resumed_is_bitwise_the_same(
    start: Start,
    whole: Whole,
    tmp_path: Path,
    settings: dict[str, Any],
    deaths: list[tuple[str, int]],
) -> None:
    folder = tmp_path / "killed"
    for death in deaths:
        status = start(folder, settings | {"death": death})
        assert status == -signal.SIGKILL, said(folder)
        assert not (folder / "final.safetensors").exists()
    assert start(folder, settings) == 0, said(folder)
    assert_same(folder, whole(settings))


@pytest.mark.parametrize(
    ("event", "count", "position", "number"),
    [("interrupt", 6, 6, 2), ("ask", 18, 16, 2), ("requeue", 6, 6, 10), ("end", 6, 6, 15)],
)
def test_interrupted_saves_a_checkpoint_and_raises(
    start: Start, whole: Whole, tmp_path: Path, event: str, count: int, position: int, number: int
) -> None:
    folder = tmp_path / "stopped"
    rare = {"trainer": {"checkpoint_steps": 99}}
    assert start(folder, PLAIN | rare | {"death": (event, count)}) == 1
    assert said(folder).rstrip().endswith(f"KeyboardInterrupt: {number}")
    last = folder / "01-tiny" / "checkpoint" / "last.ckpt"
    found = torch.load(last, weights_only=True)["loops"]["fit_loop"]
    assert found["epoch_loop.batch_progress"]["total"]["completed"] == position
    # A kill right after going on must count nothing twice.
    assert start(folder, PLAIN | rare | {"death": ("step", 1)}) == -signal.SIGKILL
    assert start(folder, PLAIN | rare) == 0, said(folder)
    assert_same(folder, whole(PLAIN))


def test_half_written_checkpoints_are_removed(tmp_path: Path) -> None:
    checkpoints = tmp_path / "01-tiny" / "checkpoint"
    checkpoints.mkdir(parents=True)
    (checkpoints / ".last.ckpt.x1").write_bytes(b"half")
    tiny.train(tmp_path, rows=16, validation=None, epochs=1)
    assert sorted(path.name for path in checkpoints.iterdir()) == ["last.ckpt"]


def test_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    tiny.train(tmp_path, rows=16, validation=None, epochs=1)
    with pytest.raises(RunFolderError, match="other data, length or seed"):
        tiny.train(tmp_path, rows=16, validation=None, epochs=2)


def test_unreadable_checkpoint_is_refused_in_one_line(tmp_path: Path) -> None:
    last = tmp_path / "01-tiny" / "checkpoint" / "last.ckpt"
    last.parent.mkdir(parents=True)
    last.write_bytes(b"PK torn")
    with pytest.raises(RunFolderError, match=r"last\.ckpt: not a checkpoint") as error:
        tiny.train(tmp_path, rows=16, validation=None, epochs=1)
    assert "\n" not in str(error.value)


def test_checkpoint_is_plain_and_holds_the_model_only(tmp_path: Path) -> None:
    model, _ = tiny.train(tmp_path, rows=16, validation=None, epochs=1)
    found = torch.load(tmp_path / "01-tiny" / "checkpoint" / "last.ckpt", weights_only=True)
    assert set(found["state_dict"]) == {f"model.{name}" for name in model.state_dict()}
