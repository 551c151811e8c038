"""A teacher's logits of a data set, and on disk: computed once for its weights and the data.

Legend: N examples, B batch, L length, C classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from distill.data.array_store import ArrayWriter, open_store
from distill.data.batches import Collate
from distill.system import digest
from distill.system.console import Bar
from distill.system.errors import ModelError
from students.heads import head_of, is_token_level, logits_of, outputs_of
from students.pooling import DENSE, POOLING
from students.static import token_vectors

if TYPE_CHECKING:
    from distill.data.tokenized import TokenExamples

_VERSION = 1
#: Examples at a time.
_BATCH = 64
_INPUTS = ("input_ids", "token_type_ids")
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
Floats = npt.NDArray[np.float32]


class RaggedLogits:
    """Logits token by token, of rows that differ in length.

    Args:
        flat: (sum of lengths, C), row after row; may be memory-mapped.
        lengths: tokens of each row, of shape (N,).
    """

    def __init__(self, flat: Floats, lengths: npt.NDArray[np.integer]) -> None:
        self.flat = flat
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self._offsets = np.concatenate([[0], np.cumsum(self.lengths)])

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, longest L, C)."""
        return len(self), int(self.lengths.max(initial=0)), int(self.flat.shape[1])

    def __getitem__(self, rows: npt.NDArray[np.integer]) -> Floats:
        """The rows with these numbers, padded with zeros to the longest of them: (B, L, C)."""
        found = np.zeros((len(rows), int(self.lengths[rows].max()), self.shape[2]), np.float32)
        for place, row in enumerate(rows):
            start, end = self._offsets[row], self._offsets[row + 1]
            found[place, : end - start] = self.flat[start:end]
        return found


#: (N, C), or token by token.
TeacherLogits = npt.NDArray[np.float32] | RaggedLogits


def look_up(logits: TeacherLogits, batch: Mapping[str, Tensor]) -> Tensor:
    """The logits of a batch's rows.

    Args:
        logits: of all rows.
        batch: ``index``, the rows' numbers, (B,), and ``input_ids``, (B, L).

    Returns:
        (B, C), or (B, L, C) with zeros at padding.
    """
    found = logits[batch["index"].cpu().numpy()]
    if isinstance(logits, RaggedLogits):
        longer = batch["input_ids"].shape[1] - found.shape[1]
        found = np.pad(found, ((0, 0), (0, longer), (0, 0)))  # (B, L, C)
    return torch.from_numpy(np.array(found))


def cached_logits(
    teacher: PreTrainedModel,
    dataset: TokenExamples,
    *,
    precision: str = "fp32",
    known: TeacherLogits | None = None,
) -> TeacherLogits:
    """A teacher's logits on a data set: from the cache, or else computed.

    They are stored by a hash of the teacher's weights, the tokenised data and the precision, so
    that none is read for another teacher, tokenizer or text. Damaged ones are computed again.

    Args:
        teacher: a model with a head; left in the mode it was in.
        dataset: N tokenised examples.
        precision: ``fp32`` or ``bf16`` (autocast).
        known: the logits, where they need not be computed, such as those of some examples of
            another data set.

    Returns:
        (N, C), fp32, memory-mapped, row i of example i; of a token-level head ragged.

    Raises:
        ModelError: a logit is not a finite number.
        DataError: the cache cannot be written.
    """

    def fill(writer: ArrayWriter) -> dict[str, Any]:
        logits = compute_logits(teacher, dataset, precision=precision) if known is None else known
        writer.append(logits=logits.flat if isinstance(logits, RaggedLogits) else logits)
        return {}

    shape = [len(dataset), outputs_of(teacher), head_of(teacher)]
    parts = [_VERSION, weights_digest(teacher), dataset.digest, precision, *shape]
    types = {"logits": "float32"}
    store = open_store("logits", digest.of_json(parts), types, name="teacher", fill=fill)
    return _per_example(teacher, dataset, store["logits"].reshape(_shape(teacher, dataset)))


def cached_token_vectors(
    teacher: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> npt.NDArray[np.float64]:
    """The (V, H) of :func:`students.static.token_vectors`: from the cache, or else computed.

    They are stored by a hash of the encoder's weights and the special tokens.

    Raises:
        DataError: the cache cannot be written.
    """

    def fill(writer: ArrayWriter) -> dict[str, Any]:
        writer.append(vectors=token_vectors(teacher, tokenizer))
        return {}

    encoder: Any = teacher.base_model
    around = [tokenizer.cls_token_id, tokenizer.sep_token_id]
    parts = [_VERSION, "tokens", weights_digest(encoder), head_of(teacher) == "vectors", *around]
    types = {"vectors": "float32"}
    store = open_store("logits", digest.of_json(parts), types, name="teacher", fill=fill)
    rows = int(teacher.get_input_embeddings().num_embeddings)  # type: ignore[arg-type]
    return store["vectors"].reshape(rows, -1).astype(np.float64)


def _shape(teacher: PreTrainedModel, dataset: TokenExamples) -> tuple[int, int]:
    rows = int(np.sum(dataset.lengths)) if is_token_level(teacher) else len(dataset)
    return rows, outputs_of(teacher)


def _per_example(
    teacher: PreTrainedModel, dataset: TokenExamples, array: npt.NDArray[np.float32]
) -> TeacherLogits:
    return RaggedLogits(array, dataset.lengths) if is_token_level(teacher) else array


def compute_logits(
    teacher: PreTrainedModel,
    dataset: TokenExamples,
    *,
    precision: str = "fp32",
) -> TeacherLogits:
    """A teacher's logits on a data set, in eval mode and without gradients.

    Args:
        teacher: a model with a head; left in the mode it was in.
        dataset: N tokenised examples.
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
            for rows, batch in _batches(dataset):
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
    return _per_example(teacher, dataset, logits)


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
    dataset: TokenExamples,
) -> Iterator[tuple[npt.NDArray[np.int64], dict[str, Tensor]]]:
    """Examples of like length together, longest first: memory is short at once or never."""
    collate = Collate(dataset.pad_id, multiple_of=1)
    order = np.argsort(-np.asarray(dataset.lengths, dtype=np.int64), kind="stable")
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        items = (dataset[int(row)] for row in rows)
        yield rows, collate([{name: item[name] for name in _INPUTS} for item in items])
