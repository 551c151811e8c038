"""What is asked of devices is checked before anything begins; `auto` asks the processor."""

from __future__ import annotations

import logging

import pytest
import torch

from distill.recipe.schema import TrainerConfig
from distill.system.errors import ProcessError
from distill.training.devices import check_devices, on_gpu, resolve_precision


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("RANK", raising=False)


def test_more_processes_than_cores_are_noted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "distill"):
        check_devices(TrainerConfig(devices=2), cores=2)
        assert not caplog.messages
        check_devices(TrainerConfig(devices=8), cores=2)
    assert caplog.messages == [
        "trainer.devices: 8 processes share 2 physical cores: slower than 2 processes or fewer"
    ]


def test_gpus_that_are_not_there(gpus: None) -> None:
    assert on_gpu(TrainerConfig())
    assert not on_gpu(TrainerConfig(accelerator="cpu"))
    check_devices(TrainerConfig(devices=2, accelerator="cpu"), cores=2)
    with pytest.raises(ProcessError, match=r"devices: 2, but torch finds 1 GPU here; write"):
        check_devices(TrainerConfig(devices=2), cores=2)


def test_no_gpu_at_all() -> None:
    with pytest.raises(ProcessError, match=r"accelerator: gpu, and torch finds none here"):
        check_devices(TrainerConfig(accelerator="gpu"), cores=2)


def test_started_by_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProcessError, match="num_nodes: 2 machines: start it on each of them"):
        check_devices(TrainerConfig(num_nodes=2), cores=2)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_devices(TrainerConfig(), cores=2)
    check_devices(TrainerConfig(devices=2), cores=2)
    check_devices(TrainerConfig(num_nodes=2), cores=2)
    with pytest.raises(ProcessError, match="devices: 2 on 2 machines, and torchrun or srun"):
        check_devices(TrainerConfig(devices=2, num_nodes=2), cores=2)


@pytest.mark.parametrize(
    ("asked", "found", "expected"),
    [
        ("auto", {}, "fp32"),
        ("auto", {"avx512_f": True}, "fp32"),
        ("auto", {"avx512_bf16": True}, "bf16"),
        ("auto", {"amx_bf16": True}, "bf16"),
        ("fp32", {"amx_bf16": True}, "fp32"),
        ("bf16", {}, "bf16"),
    ],
)
def test_auto_asks_the_processor(
    monkeypatch: pytest.MonkeyPatch, asked: str, found: dict[str, bool], expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    config = TrainerConfig(accelerator="cpu", precision=asked)  # type: ignore[arg-type]
    assert resolve_precision(config) == expected
