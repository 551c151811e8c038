"""What one training does: scores when due, keeps the best, stops, tells, and does not wait."""

from __future__ import annotations

import csv
import logging
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tiny_training as tiny
import torch

from distill.system.errors import UserError
from distill.training import callbacks
from distill.training.callbacks import Curves


def rows(folder: Path, metric: str) -> dict[int, float]:
    with (folder / "metrics.csv").open(newline="") as file:
        return {
            int(r["step"]): float(r["value"]) for r in csv.DictReader(file) if r["metric"] == metric
        }


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the scores of the evaluations in order, and note the weights at each."""
    from distill.training.base import FinetuneModule

    seen: list[torch.Tensor] = []

    def plan(values: list[float]) -> list[torch.Tensor]:
        def scripted(self: FinetuneModule) -> dict[str, float]:
            seen.append(self.model.classifier.weight.detach().clone())
            return {"accuracy": values[len(seen) - 1]}

        monkeypatch.setattr(FinetuneModule, "scores", scripted)
        return seen

    return plan


def test_learns(tmp_path: Path) -> None:
    _, result = tiny.train(tmp_path, rows=160, epochs=6, lr=1e-2)
    assert result.best_score is not None
    assert result.best_score > 0.8
    losses = list(rows(tmp_path, "loss").values())
    assert losses[-1] < losses[0]


def test_keeps_the_weights_of_the_strictly_better_score(tmp_path: Path, scores: Any) -> None:
    seen = scores([0.5, 0.7, 0.7, 0.6])
    model, result = tiny.train(tmp_path, epochs=2, val_check_interval=0.5)
    assert (result.best_score, result.best_step, result.steps) == (0.7, 12, 24)
    assert torch.equal(model.classifier.weight, seen[1])
    assert not torch.equal(seen[1], seen[2])
    assert not model.training
    kept = {path.name for path in (tmp_path / "01-tiny" / "checkpoint").iterdir()}
    assert kept == {"best-12.ckpt", "best-18.ckpt", "last.ckpt"}


def test_a_score_that_is_no_number_is_never_best(tmp_path: Path, scores: Any) -> None:
    scores([0.1, float("nan")])
    _, result = tiny.train(tmp_path, epochs=2)
    assert (result.best_score, result.best_step) == (0.1, 12)


def test_stops_when_patience_runs_out(tmp_path: Path, scores: Any) -> None:
    scores([0.5, 0.6, 0.6, 0.5, 0.9])
    _, result = tiny.train(tmp_path, epochs=5, patience=2)
    assert result.stopped_early
    assert (result.best_step, result.steps) == (24, 48)
    again, repeated = tiny.train(tmp_path, epochs=5, patience=2)
    assert repeated.steps == 48
    assert repeated.history == result.history
    del again


@pytest.mark.parametrize(
    ("count", "interval", "settings", "expected"),
    [
        (90, 0.34, {}, [4, 8, 12, 16, 20, 24]),
        (80, 0.34, {}, [3, 6, 9, 13, 16, 19, 20]),
        (80, 1.0, {"accumulate_grad_batches": 4}, [3, 6]),
        (80, 4, {"max_steps": 14}, [4, 8, 12, 14]),
        (8, 0.1, {}, [1, 2]),
    ],
)
def test_scored_when_due_and_at_the_end(
    tmp_path: Path,
    count: int,
    interval: float,
    settings: dict[str, int],
    expected: list[int],
) -> None:
    _, result = tiny.train(tmp_path, rows=count, val_check_interval=interval, **settings)
    assert [entry["step"] for entry in result.history] == expected
    assert list(rows(tmp_path, "validation/accuracy")) == expected
    assert result.steps == expected[-1]


def test_without_validation_the_last_weights_are_kept(tmp_path: Path) -> None:
    model, result = tiny.train(tmp_path, validation=None)
    assert (result.best_score, result.best_step, result.history) == (None, 24, [])
    last = torch.load(tmp_path / "01-tiny" / "checkpoint" / "last.ckpt", weights_only=True)
    for name, value in model.state_dict().items():
        assert torch.equal(value, last["state_dict"][f"model.{name}"])


def test_curves_are_means_over_the_steps_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    single: list[float] = []
    original = Curves.on_train_batch_end

    def noting(self: Any, trainer: Any, module: Any, outputs: Any, *rest: Any) -> None:
        single.append(float(outputs["losses"]["loss"]))
        original(self, trainer, module, outputs, *rest)

    monkeypatch.setattr(Curves, "on_train_batch_end", noting)
    tiny.train(tmp_path)
    logged = rows(tmp_path, "loss")
    assert list(logged) == [20, 24]
    assert logged[20] == pytest.approx(sum(single[:20]) / 20, rel=1e-6)
    assert logged[24] == pytest.approx(sum(single[20:]) / 4, rel=1e-6)
    rates = rows(tmp_path, "lr")
    assert rates[20] == pytest.approx(5e-3 * (1 - 17 / 22))
    assert rates[24] == pytest.approx(5e-3 * (1 - 21 / 22))


def test_steps_do_not_wait_for_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    for name in ("item", "tolist", "numpy", "__float__", "__bool__", "__int__", "cpu"):
        original = getattr(torch.Tensor, name)

        def counted(
            self: torch.Tensor, *rest: Any, _name: str = name, _original: Any = original
        ) -> Any:
            # transformers looks whether a batch has padding, to do without a mask if not.
            ours = not sys._getframe(1).f_code.co_filename.endswith("masking_utils.py")
            if ours and (self.requires_grad or self.ndim == 0):
                calls[_name] += 1
            return _original(self, *rest)

        monkeypatch.setattr(torch.Tensor, name, counted)

    def count(steps: int) -> Counter[str]:
        calls.clear()
        trainer = {"checkpoint_steps": 10_000}
        folder = tmp_path / str(steps)
        tiny.train(folder, rows=8 * steps, validation=None, epochs=1, trainer=trainer)
        return calls.copy()

    monkeypatch.setattr(callbacks, "LOG_STEPS", 10_000)
    monkeypatch.setattr(Curves, "_report", lambda *_: None)
    assert count(30) == count(5)


def test_loss_that_is_no_number_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distill.tasks.classification.task import Classification

    monkeypatch.setattr(
        Classification, "loss", lambda *_: torch.tensor(float("nan"), requires_grad=True)
    )
    with pytest.raises(UserError, match=r"tiny: the loss is nan at step 20: lower lr") as error:
        tiny.train(tmp_path)
    assert "\n" not in str(error.value)


def test_one_line_an_epoch_is_told_and_nothing_of_lightning(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with caplog.at_level(logging.INFO):
        tiny.train(tmp_path)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2, lines
    assert lines[0].startswith("tiny: epoch 1/2, loss 0.")
    assert ", accuracy 0." in lines[0]
    assert "(best 0." in lines[0]
    assert "ETA" not in lines[0]  # it is over before the pace is known
    assert lines[1].startswith("tiny: epoch 2/2, loss ")
    assert capfd.readouterr() == ("", "")


def test_deterministic_kernels_where_they_are_asked_for(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(lambda: torch.use_deterministic_algorithms(False))
    for asked in (False, True):
        folder = tmp_path / str(asked)
        tiny.train(folder, rows=8, validation=None, trainer={"deterministic": asked})
        assert torch.are_deterministic_algorithms_enabled() == asked


def test_full_disk_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    original, seen = torch.save, 0

    def full(content: Any, file: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == 3:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        original(content, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        tiny.train(tmp_path)
    checkpoints = tmp_path / "01-tiny" / "checkpoint"
    assert [path.name for path in checkpoints.iterdir()] == ["last.ckpt"]
    assert torch.load(checkpoints / "last.ckpt", weights_only=True)["global_step"] == 6


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_best_weights_that_are_gone_are_noticed_before_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    model, result = tiny.train(tmp_path)
    curve = rows(tmp_path, "loss")
    best = tmp_path / "01-tiny" / "checkpoint" / f"best-{result.best_step}.ckpt"
    content = best.read_bytes()
    best.write_bytes(content[:-100])
    if damage == "missing":
        best.unlink()
    caplog.clear()
    again, repeated = tiny.train(tmp_path)
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned == [f"tiny: {best} is missing or damaged; the training begins again"]
    assert (repeated.best_score, repeated.steps) == (result.best_score, result.steps)
    state = again.state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in model.state_dict().items())
    assert rows(tmp_path, "loss") == curve


@pytest.mark.parametrize(("count", "accumulate"), [(12, 3), (20, 8)])
def test_accumulated_batches_are_one_big_batch(tmp_path: Path, count: int, accumulate: int) -> None:
    """By the optimiser's first mean of the gradient; of 5 and 8 batches there are not as many."""
    same = {
        "rows": count,
        "epochs": 1,
        "dropout": 0.0,
        "validation": None,
        "gradient_clip_val": 0.0,
    }
    big, _ = tiny.train(tmp_path / "big", batch_size=count, **same)
    parts, result = tiny.train(
        tmp_path / "parts", batch_size=4, accumulate_grad_batches=accumulate, **same
    )
    assert result.steps == 1
    states = [
        torch.load(tmp_path / name / "01-tiny" / "checkpoint" / "last.ckpt", weights_only=True)
        for name in ("big", "parts")
    ]
    means = [
        {number: entry["exp_avg"] for number, entry in s["optimizer_states"][0]["state"].items()}
        for s in states
    ]
    assert means[0].keys() == means[1].keys()
    for number, mean in means[0].items():
        assert torch.allclose(mean, means[1][number], rtol=1e-4, atol=1e-7), number
    for one, other in zip(big.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-3)  # Adam's first step has the rate's size


def test_large_gradients_are_clipped_to_the_norm(tmp_path: Path) -> None:
    def norm(clip: float) -> float:
        folder = tmp_path / f"clip-{clip}"
        tiny.train(folder, rows=8, epochs=1, validation=None, gradient_clip_val=clip)
        path = folder / "01-tiny" / "checkpoint" / "last.ckpt"
        state = torch.load(path, weights_only=True)["optimizer_states"][0]["state"]
        # The first mean is a tenth of the gradient.
        return 10 * float(torch.stack([e["exp_avg"].norm() for e in state.values()]).norm())

    free = norm(0.0)
    assert free > 0.05
    assert norm(0.05) == pytest.approx(0.05, rel=1e-4)
    assert norm(10 * free) == pytest.approx(free, rel=1e-5)
