"""Two processes end as one does, stop as one does, and fail with what failed."""

from __future__ import annotations

import csv
import json
import pickle
import signal
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tiny_training as tiny
import torch
from safetensors.torch import load_file

from distill.system.errors import DataError, ProcessError
from distill.training import launch

TWO: dict[str, Any] = {"trainer": {"devices": 2}}


def curves(folder: Path) -> list[tuple[str, str, float]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [(r["step"], r["metric"], float(r["value"])) for r in csv.DictReader(file)]


def assert_alike(one: Any, two: Any, *, tolerance: float) -> None:
    """The weights agree, but for those without any gradient in truth."""
    others = two.state_dict()
    for name, value in one.state_dict().items():
        # A bias of the keys moves every score of a row alike, which softmax takes away again: its
        # gradient is rounding, and AdamW makes steps of full length of it.
        if not name.endswith("attention.self.key.bias"):
            room = tolerance * (value.norm() + 0.01)
            assert (value - others[name]).norm() <= room, name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objectives", "config", "tolerance"),
    [
        # 85 rows in batches of 16, or 8 and 8: parts of different sizes, with different tokens.
        pytest.param(["embedding", "attention", "hidden"], {}, 1e-5, id="layers"),
        pytest.param(["hidden", "logits"], {"accumulate_grad_batches": 4}, 1e-5, id="logits"),
        pytest.param(["attention", "logits"], {"trainer": {"precision": "bf16"}}, 2e-2, id="bf16"),
        pytest.param(
            ["embedding", "attention", "hidden"],
            {"trainer": {"strategy": "fsdp"}, "gradient_clip_val": 0.3},
            1e-5,
            id="sharded",
        ),
    ],
)
def test_two_processes_are_one_with_the_same_batch(
    tmp_path: Path,
    objectives: list[str] | None,
    config: dict[str, Any],
    tolerance: float,
) -> None:
    settings = {"rows": 85, "validation": 41, "dropout": 0.0, "objectives": objectives}
    trainer = config.pop("trainer", {})
    one, alone = tiny.train(tmp_path / "1", batch_size=16, trainer=trainer, **settings, **config)
    both = trainer | {"devices": 2}
    two, shared = tiny.train(tmp_path / "2", batch_size=16, trainer=both, **settings, **config)
    assert_alike(one, two, tolerance=tolerance)
    assert (alone.steps, alone.best_step) == (shared.steps, shared.best_step)
    found, expected = curves(tmp_path / "2"), curves(tmp_path / "1")
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    for (step, metric, value), (_, _, wanted) in zip(found, expected, strict=True):
        assert value == pytest.approx(wanted, rel=tolerance, abs=1e-7), (step, metric)
    checkpoint = tmp_path / "2" / "01-tiny" / "checkpoint" / "last.ckpt"
    kept = torch.load(checkpoint, weights_only=True)
    trained = {name for name in kept["state_dict"] if not name.startswith("project")}
    assert trained == {f"model.{name}" for name in one.state_dict()}  # no teacher, no wrapper


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("killed", ProcessError, r"process 2 of 2 \(rank 1\) was ended by signal 9"),
        pytest.param("mistaken", DataError, r"row 21: no such row"),
        pytest.param(
            "failing",
            RuntimeError,
            r"(?s)process 2 of 2 \(rank 1\) failed:.*ValueError: an issue of ours",
        ),
    ],
)
def test_what_ends_one_ends_all(
    tmp_path: Path, how: str, error: type[Exception], message: str
) -> None:
    ctrl_c = signal.getsignal(signal.SIGINT)
    with pytest.raises(error, match=message):
        tiny.train(tmp_path, spoiled=how, validation=None, **TWO)
    left = [child.cmdline() for child in psutil.Process().children()]
    assert not any("spawn_main" in word for words in left for word in words)
    assert signal.getsignal(signal.SIGINT) is ctrl_c


@pytest.mark.slow
@pytest.mark.parametrize(
    ("death", "last", "strategy"),
    [
        (("step", 7), "process 1 of 2 (rank 0) was ended by signal 9; is memory short?", "ddp"),
        (("interrupt", 4), "KeyboardInterrupt: 2", "fsdp"),
    ],
    ids=["killed", "sharded"],
)
def test_resumed_is_bitwise_the_same(
    start: Any, tmp_path: Path, death: tuple[str, int], last: str, strategy: str
) -> None:
    trainer = TWO["trainer"] | {"strategy": strategy}
    settings = {"trainer": trainer, "rows": 60, "objectives": ["hidden", "logits"]}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(whole, settings) == 0, (whole / "stderr.txt").read_text()
    assert start(broken, settings | {"death": death}) == 1
    assert (broken / "stderr.txt").read_text().rstrip().endswith(last)
    assert not (broken / "final.safetensors").exists()
    assert (broken / "01-tiny" / "checkpoint" / "last.ckpt").is_file()
    assert start(broken, settings) == 0, (broken / "stderr.txt").read_text()
    ours, theirs = (load_file(folder / "final.safetensors") for folder in (whole, broken))
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name
    assert curves(whole) == curves(broken)
    assert json.loads((whole / "result.json").read_text()) == json.loads(
        (broken / "result.json").read_text()
    )


def test_goes_on_from_a_signal_with_another_number_of_processes(start: Any, tmp_path: Path) -> None:
    # The pooler and the head have no gradient, and no state in the optimiser.
    settings = {"rows": 60, "dropout": 0.0, "objectives": ["hidden"]}
    settings |= {"trainer": {"checkpoint_steps": 99}}
    sharded = settings | {"trainer": {"checkpoint_steps": 99, "strategy": "fsdp"}}
    whole, moved = tmp_path / "whole", tmp_path / "moved"
    assert start(whole, settings) == 0, (whole / "stderr.txt").read_text()
    for own, tasks, death, number in (
        (settings, 2, ("requeue-others", 4), 10),  # it reaches one process, and all stop
        (sharded, 4, ("end-all", 3), 15),
        (sharded, 2, ("requeue-all", 2), 10),
    ):
        assert start(moved, own | {"tasks": tasks, "death": death}) == 1
        said = (moved / "stderr.txt").read_text()
        assert said.rstrip().endswith(f"KeyboardInterrupt: {number}"), said
        assert "Traceback" not in (moved / "stderr1.txt").read_text()
    assert start(moved, settings) == 0, (moved / "stderr.txt").read_text()
    ours, theirs = (load_file(folder / "final.safetensors") for folder in (whole, moved))
    for name, value in ours.items():
        if not name.endswith("attention.self.key.bias"):  # its gradient is rounding
            torch.testing.assert_close(theirs[name], value, atol=1e-6, rtol=0.0)
    assert [row[:2] for row in curves(whole)] == [row[:2] for row in curves(moved)]


@pytest.mark.parametrize(("death", "other"), [("step-others", 0), ("step", 1)])
def test_a_task_that_is_killed_ends_the_others(
    start: Any, tmp_path: Path, death: str, other: int
) -> None:
    start(tmp_path, {"tasks": 2, "rows": 60, "death": (death, 4)})
    said = (tmp_path / f"stderr{other or ''}.txt").read_text().splitlines()[-1]
    assert f"ProcessError: process {other + 1} of 2 (rank {other}) has lost the connection" in said


def test_memory_maps_go_by_name(tmp_path: Path) -> None:
    file = tmp_path / "logits.npy"
    np.save(file, np.arange(100_000, dtype=np.float32).reshape(-1, 4))
    mapped = np.load(file, mmap_mode="r")
    given = {"whole": mapped, "part": mapped[3:20_000], "shaped": mapped.reshape(-1, 8)[5:]}
    content = launch._pickled(given)
    assert len(content) < 2_000
    found = pickle.loads(content)
    for name, expected in given.items():
        assert isinstance(found[name], np.memmap)
        np.testing.assert_array_equal(found[name], expected)
    (columns,) = pickle.loads(launch._pickled([mapped[:, 1]]))  # not in one piece: a copy
    np.testing.assert_array_equal(columns, mapped[:, 1])


def test_a_frozen_teacher_stays_frozen_in_another_process() -> None:
    from distill.training.distill import DistillModule

    module = DistillModule(tiny.bert(seed=1), tiny.bert(), ["attention", "logits"])
    found = pickle.loads(launch._pickled(module))
    found.teacher.train()
    assert not any(part.training for part in found.teacher.modules())
    assert not any(parameter.requires_grad for parameter in found.teacher.parameters())
    assert found._student_signals.model is found.model
