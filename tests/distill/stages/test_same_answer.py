"""The same text gets the same answer: alone, beside other texts, and however far it is padded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import task_kinds as kinds
from bundles import openvino

from distill.export.onnx import export_onnx
from distill.export.openvino import export_openvino
from distill.quantization.calibrate import calibrated
from distill.quantization.graph import Int8
from distill.quantization.methods.nncf import quantize_nncf
from distill.quantization.onnx_int8 import quantize_onnx, quantize_qdq, quantize_weights
from distill.runtime.backends import open_session

KINDS = ("classification", "multi_label", "regression", "ner", "qa", "vectors")
TOKENS = 300
POSITIONS = 512
PADDED = (16, 118, 128, 512)

Row = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """Rows (1, L) of many lengths, some beyond what one block of a kernel holds."""
    draw = np.random.default_rng(0)
    lengths = [2, 3, 5, 7, 8, 9, 15, 16, 17, 23, 31, 33, 47, 64, 65, 100, 127, 200, 300]
    made = []
    for length in lengths:
        ids = draw.integers(5, TOKENS, (1, length), dtype=np.int64)
        types = np.zeros_like(ids)
        types[:, length // 2 :] = 1
        made.append((ids, np.ones_like(ids), types))
    return made


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The fp32 graph of a kind of task, exported once."""
    folder = tmp_path_factory.mktemp("plain")

    def export(kind: str) -> Path:
        path = folder / f"{kind}.onnx"
        if not path.is_file():
            export_onnx(kinds.make_model(kind, TOKENS, positions=POSITIONS), path)
        return path

    return export


def _static(plain: Path, path: Path, rows: list[Row]) -> None:
    scales = calibrated(plain, rows[:10], calibration="minmax")
    quantize_onnx(plain, path, Int8(scales=scales))


def _static_openvino(plain: Path, path: Path, rows: list[Row]) -> None:
    pairs = path.with_suffix(".onnx")
    scales = calibrated(plain, rows[:10], calibration="minmax")
    quantize_qdq(plain, pairs, Int8(scales=scales))
    export_openvino(pairs, path)


Way = tuple[str, float, Callable[[Path, Path, list[Row]], None]]
EXCLUDED = Int8(per_channel=False, exclude=["bert.encoder.layer.1.output.dense", "classifier"])
#: Ways to make a file that a bundle serves, the format of each and the largest difference.
WAYS: dict[str, Way] = {
    "fp32": ("onnx", 1e-5, lambda plain, path, _: path.write_bytes(plain.read_bytes())),
    "static": ("onnx-int8", 1e-6, _static),
    "per_token": ("onnx-int8", 1e-6, lambda plain, path, _: quantize_onnx(plain, path)),
    "excluded": ("onnx-int8", 1e-6, lambda plain, path, _: quantize_onnx(plain, path, EXCLUDED)),
    "weights_8": ("onnx-int8", 1e-5, lambda plain, path, _: quantize_weights(plain, path, bits=8)),
    "weights_4": ("onnx-int4", 1e-5, lambda plain, path, _: quantize_weights(plain, path, bits=4)),
}
OPENVINO: dict[str, Way] = {
    "fp32": ("openvino", 1e-5, lambda plain, path, _: export_openvino(plain, path)),
    "static": ("openvino-int8", 1e-6, _static_openvino),
    "nncf": (
        "openvino-int8",
        1e-6,
        lambda plain, path, rows: quantize_nncf(plain, path, rows=rows[:10]),
    ),
}


def pairs(ways: Any, *turns: int) -> list[tuple[str, str]]:
    """Every kind of task with one way for each turn, and every way about equally often."""
    given = [*ways]
    return [(kind, given[(i + t) % len(given)]) for t in turns for i, kind in enumerate(KINDS)]


@pytest.mark.parametrize(("kind", "way"), pairs(WAYS, 0, 2))
def test_one_text_alone_in_any_batch_and_padded(
    kind: str, way: str, plain: Callable[[str], Path], rows: list[Row], tmp_path: Path
) -> None:
    format, tolerance, make = WAYS[way]
    make(plain(kind), tmp_path / "model.onnx", rows)
    check(kind, format, tmp_path / "model.onnx", rows, tolerance)


@pytest.mark.slow
@openvino
@pytest.mark.parametrize(("kind", "way"), pairs(OPENVINO, 0))
def test_openvino_too(
    kind: str, way: str, plain: Callable[[str], Path], rows: list[Row], tmp_path: Path
) -> None:
    format, tolerance, make = OPENVINO[way]
    make(plain(kind), tmp_path / "model.xml", rows)
    # OpenVINO compiles for every new shape, which takes longest here.
    check(kind, format, tmp_path / "model.xml", rows[1::4], tolerance, threads=(2,))


def check(
    kind: str,
    format: str,
    path: Path,
    rows: list[Row],
    tolerance: float,
    *,
    threads: tuple[int, ...] = (1, 2),
) -> None:
    """Each row alone, padded, and in batches drawn at random."""
    draw = np.random.default_rng(1)
    for count in threads:
        session = open_session(format, path, count)
        alone = [answers(kind, session.run(*row))[0] for row in rows]
        batches = [[index] for index in range(len(rows))]
        batches += [draw.permutation(len(rows))[:size].tolist() for size in (2, 5, 12)]
        for batch in batches:
            longest = max(rows[index][0].shape[1] for index in batch)
            lengths = [length for length in PADDED if length >= longest]
            for length in lengths if len(batch) == 1 else (longest, POSITIONS):
                found = session.run(*padded([rows[index] for index in batch], length))
                for index, logits in zip(batch, found, strict=True):
                    own = logits[: rows[index][0].shape[1]] if logits.ndim == 2 else logits
                    given = answers(kind, own[None])[0]
                    assert np.abs(given - alone[index]).max() <= tolerance, (index, batch, length)
                    if given.ndim and kind != "vectors":
                        assert (given.argmax(-1) == alone[index].argmax(-1)).all()


def answers(kind: str, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """What the logits say: probabilities, numbers or unit vectors."""
    exact = logits.astype(np.float64)
    if kind == "regression":
        return exact
    if kind == "multi_label":
        return 1 / (1 + np.exp(-exact))
    if kind == "vectors":
        return exact / np.linalg.norm(exact, axis=-1, keepdims=True)
    axis = 1 if kind == "qa" else -1  # of a question's answer over the tokens
    powers = np.exp(exact - exact.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def padded(rows: Sequence[Row], length: int) -> Row:
    """Rows as a batch (B, length)."""
    ids, mask, types = (np.zeros((len(rows), length), dtype=np.int64) for _ in range(3))
    for index, row in enumerate(rows):
        count = row[0].shape[1]
        for target, given in zip((ids, mask, types), row, strict=True):
            target[index, :count] = given[0]
    return ids, mask, types
