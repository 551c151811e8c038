"""A teacher's logits on disk: worked out once for its weights and the data, checked when read.

Legend: N rows, B batch, L length, C classes.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from distill.system import digest
from distill.system.atomic import write_bytes, write_json
from distill.system.console import Bar
from distill.system.errors import ModelError
from students.heads import head_of, is_token_level, logits_of, outputs_of
from students.pooling import DENSE, POOLING
from teachers.ragged import RaggedLogits, TeacherLogits

logger = logging.getLogger("distill")

_VERSION = 1
#: Parts of a config that change what the same weights compute.
_MEANING = (
    "model_type",
    "hidden_act",
    "layer_norm_eps",
    "num_attention_heads",
    "heads_per_layer",
    "ffn_per_layer",
    "pad_token_id",
    POOLING,
    DENSE,
)


class TokenRows(Protocol):
    """Tokenised rows, such as :class:`distill.data.tokenized.TokenizedDataset`."""

    lengths: npt.NDArray[np.int32]
    digest: str
    pad_id: int

    def __len__(self) -> int:
        """N."""
        ...

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input_ids`` and ``token_type_ids`` of one row."""
        ...


@dataclass(frozen=True)
class CachedLogits:
    """Logits that were found on disk.

    Args:
        array: (N, C), fp32, memory-mapped; row i belongs to row i of the data. Token by token it is
            (sum of lengths, C).
        key: hash of what they were worked out from.
    """

    array: npt.NDArray[np.float32]
    key: str


def cached_logits(
    teacher: PreTrainedModel,
    dataset: TokenRows,
    *,
    folder: Path,
    batch_size: int = 64,
    precision: str = "fp32",
) -> TeacherLogits:
    """A teacher's logits on a data set: from disk where they stand there, else worked out.

    They lie in a folder of their own below ``folder``, named by a hash of the teacher's weights,
    the tokenised data and the precision, so that none is read for another teacher, tokenizer or
    text. What was damaged since is noticed by its hash, said, and worked out again.

    Args:
        teacher: a model with a head; put into eval mode for the time being.
        dataset: N tokenised rows.
        folder: where caches of logits lie.
        batch_size: rows at a time; batches are made of rows of like length.
        precision: ``fp32`` or ``bf16`` (autocast).

    Returns:
        (N, C), fp32, memory-mapped, row i of row i; of a token-level head ragged.

    Raises:
        ModelError: a logit is not a finite number.
    """
    key = _key(teacher, dataset, precision)
    place = folder / key[:32]
    found = _read(place, key, _shape(teacher, dataset))
    if found is not None:
        logger.info("teacher: logits of %d rows are cached", len(dataset))
        return _as_rows(teacher, dataset, found.array)
    logits = compute_logits(teacher, dataset, batch_size=batch_size, precision=precision)
    flat = logits.flat if isinstance(logits, RaggedLogits) else logits
    _write(place, key, flat)
    written = _read(place, key, flat.shape)
    # A disk that does not give back what was written is no reason to stop.
    return logits if written is None else _as_rows(teacher, dataset, written.array)


def _shape(teacher: PreTrainedModel, dataset: TokenRows) -> tuple[int, int]:
    rows = int(np.sum(dataset.lengths)) if is_token_level(teacher) else len(dataset)
    return rows, outputs_of(teacher)


def _as_rows(
    teacher: PreTrainedModel, dataset: TokenRows, array: npt.NDArray[np.float32]
) -> TeacherLogits:
    return RaggedLogits(array, dataset.lengths) if is_token_level(teacher) else array


def remember_logits(
    teacher: PreTrainedModel,
    dataset: TokenRows,
    logits: TeacherLogits,
    *,
    folder: Path,
    precision: str = "fp32",
) -> None:
    """Put logits that are known, such as those of some rows of another data set, on disk.

    Args:
        teacher: whose they are.
        dataset: N tokenised rows.
        logits: (N, C), row i of row i, or ragged.
        folder: as for :func:`cached_logits`, which finds them there.
        precision: what they were worked out in.
    """
    key = _key(teacher, dataset, precision)
    flat = logits.flat if isinstance(logits, RaggedLogits) else logits
    _write(folder / key[:32], key, np.ascontiguousarray(flat, dtype=np.float32))


def _key(teacher: PreTrainedModel, dataset: TokenRows, precision: str) -> str:
    shape = [len(dataset), outputs_of(teacher), head_of(teacher)]
    parts = [_VERSION, weights_digest(teacher), dataset.digest, precision, *shape]
    return digest.of_json(parts)


def compute_logits(
    teacher: PreTrainedModel, dataset: TokenRows, *, batch_size: int = 64, precision: str = "fp32"
) -> TeacherLogits:
    """A teacher's logits on a data set, in eval mode and without gradients.

    Args:
        teacher: a model with a head; left in the mode it was in.
        dataset: N tokenised rows.
        batch_size: rows at a time, longest first.
        precision: ``fp32`` or ``bf16`` (autocast).

    Returns:
        (N, C), fp32; of a token-level head ragged.

    Raises:
        ModelError: a logit is not a finite number.
    """
    device = teacher.device
    cast = (
        torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
    )
    logits = np.empty(_shape(teacher, dataset), dtype=np.float32)
    lengths = np.asarray(dataset.lengths, dtype=np.int64)
    ends = np.cumsum(lengths) if is_token_level(teacher) else None
    training = teacher.training
    teacher.eval()
    try:
        with torch.inference_mode(), cast, Bar("teacher's logits", len(dataset)) as bar:
            for rows, batch in _batches(dataset, batch_size):
                inputs = {name: tensor.to(device) for name, tensor in batch.items()}
                found = logits_of(teacher, inputs).float().cpu().numpy()  # (B, C) or (B, L, C)
                if ends is None:
                    logits[rows] = found
                else:
                    for row, tokens in zip(rows, found, strict=True):
                        logits[ends[row] - lengths[row] : ends[row]] = tokens[: lengths[row]]
                bar.advance(len(rows))
    finally:
        teacher.train(training)
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        first = int(np.argmin(finite))
        row = first if ends is None else int(np.searchsorted(ends, first, side="right"))
        raise ModelError(
            f"the teacher's logits of row {row} are not finite numbers; "
            "its weights are damaged, or its training diverged (lower teacher.finetune.lr)"
        )
    return _as_rows(teacher, dataset, logits)


def weights_digest(model: PreTrainedModel) -> str:
    """SHA-256 (hex) of a model's weights and of what its config makes of them."""
    total = hashlib.sha256()
    config = {name: getattr(model.config, name, None) for name in _MEANING}
    total.update(digest.of_json(config).encode())
    for name, tensor in sorted(model.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        if flat.numel():
            total.update(memoryview(flat.view(torch.uint8).numpy()))
    return total.hexdigest()


def _batches(
    dataset: TokenRows, batch_size: int
) -> Iterator[tuple[npt.NDArray[np.int64], dict[str, Tensor]]]:
    """Rows of like length together, longest first: memory is short at once or never."""
    order = np.argsort(-np.asarray(dataset.lengths, dtype=np.int64), kind="stable")
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        items = [dataset[int(row)] for row in rows]
        shape = (len(rows), int(dataset.lengths[rows].max()))
        ids = np.full(shape, dataset.pad_id, dtype=np.int64)
        types, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for number, item in enumerate(items):
            length = len(item["input_ids"])
            ids[number, :length] = item["input_ids"]
            types[number, :length] = item["token_type_ids"]
            mask[number, :length] = 1
        names = ("input_ids", "token_type_ids", "attention_mask")
        yield (
            rows,
            {n: torch.from_numpy(a) for n, a in zip(names, (ids, types, mask), strict=True)},
        )


def _write(place: Path, key: str, logits: npt.NDArray[np.float32]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, logits, allow_pickle=False)
    content = buffer.getvalue()
    # The facts come last: without them, or with others' facts, the array is not read.
    write_bytes(place / "logits.npy", content)
    write_json(
        place / "logits.json",
        {
            "key": key,
            "shape": list(logits.shape),
            "sha256": hashlib.sha256(content).hexdigest(),
        },
    )


def _read(place: Path, key: str, shape: tuple[int, ...]) -> CachedLogits | None:
    """The logits at ``place``, or ``None`` where they are absent or not what was written."""
    array, facts = place / "logits.npy", place / "logits.json"
    if not facts.is_file() or not array.is_file():
        return None
    try:
        known = json.loads(facts.read_text(encoding="utf-8"))
        sound = (
            known["key"] == key
            and tuple(known["shape"]) == shape
            and known["sha256"] == digest.of_file(array)
        )
        logits = np.load(array, mmap_mode="r", allow_pickle=False) if sound else None
    except (OSError, ValueError, KeyError, TypeError):
        logits = None
    if logits is None:
        logger.info("teacher: the cached logits in %s are damaged and are worked out again", place)
        return None
    return CachedLogits(array=logits, key=key)
