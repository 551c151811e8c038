"""A classifier on frozen sentence vectors: logistic regression, and a bundle that holds it.

Legend: N rows, K width of the vectors, C classes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.data.split import Split, TaskData
from distill.export.bundle import TOKENIZER, copy_files, file_entry
from distill.runtime import BundleModel, load
from distill.runtime.manifest import MANIFEST, find_bundle
from distill.system.atomic import new_folder, write_json
from distill.system.console import Bar
from distill.system.errors import DataError, ModelError
from distill.tasks.vectors.finish import Vectors

#: The file of a bundle that holds the classifier.
HEAD = "head.npz"
#: Inverse strengths of the regularisation that are tried: vectors of length 1 want large ones.
STRENGTHS = (1.0, 10.0, 100.0)
_HELD_OUT = 5  # one row in so many tells the strengths apart
_CHUNK = 1024
_ITERATIONS = 2000
_LEFT_OUT = ("transformers", "torch-export")  # they give vectors, not labels


@dataclass(frozen=True)
class Head:
    """A linear classifier: ``logits = v W + b``."""

    weight: npt.NDArray[np.float32]  # W, (K, C)
    bias: npt.NDArray[np.float32]  # b, (C,)
    strength: float  # inverse strength of its L2 regularisation

    def predict(self, vectors: Vectors) -> npt.NDArray[np.intp]:
        """The likeliest class of each of (N, K) vectors, (N,)."""
        return np.asarray((vectors @ self.weight + self.bias).argmax(axis=1))


def fit_head(
    vectors: Vectors,
    labels: Sequence[int],
    *,
    classes: int,
    strength: float | None = None,
    seed: int = 42,
) -> Head:
    """Logistic regression over all classes at once, on vectors (N, K).

    Classes without a row get a head that never chooses them. ``strength`` is the inverse strength
    of the regularisation; ``None`` chooses among :data:`STRENGTHS` by the accuracy on a fifth of
    the rows, which ``seed`` draws and holds out for that, and fits on all rows then.

    Raises:
        DataError: all examples have the same label.
    """
    given = np.asarray(labels)
    if len(set(given.tolist())) < 2:
        raise DataError(
            "all examples have the same label; there must be at least two to tell apart"
        )
    if strength is None:
        strength = _chosen(vectors, given, classes, seed)
    return _fit(vectors, given, classes, strength)


def _chosen(vectors: Vectors, labels: npt.NDArray[Any], classes: int, seed: int) -> float:
    order = np.random.default_rng(seed).permutation(len(labels))
    held, rest = order[::_HELD_OUT], np.setdiff1d(order, order[::_HELD_OUT])
    if len(set(labels[rest].tolist())) < 2:
        return STRENGTHS[0]
    heads = [_fit(vectors[rest], labels[rest], classes, one) for one in STRENGTHS]
    scores = [(head.predict(vectors[held]) == labels[held]).mean() for head in heads]
    return STRENGTHS[int(np.argmax(scores))]


def _fit(vectors: Vectors, labels: npt.NDArray[Any], classes: int, strength: float) -> Head:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=_ITERATIONS)
    model.fit(vectors.astype(np.float64), labels)
    weight, bias = model.coef_.T, model.intercept_  # (K, c), (c,)
    if weight.shape[1] == 1:  # of two classes it tells the second one's alone
        weight, bias = np.hstack([-weight / 2, weight / 2]), np.array([-bias[0] / 2, bias[0] / 2])
    full = np.zeros((vectors.shape[1], classes), dtype=np.float32)
    floor = np.full(classes, bias.min() - 30.0, dtype=np.float32)
    full[:, model.classes_], floor[model.classes_] = weight, bias
    return Head(full, floor, strength)


def fit_head_bundle(
    source: Path, out: Path, data: TaskData, *, strength: float | None = None, seed: int = 42
) -> dict[str, Any]:
    """Fit a head on a sentence encoder's vectors, and write both as a classifier's bundle.

    The encoder is not trained. The bundle has its graphs and tokenizer, ``head.npz`` with
    ``weight`` (K, C) and ``bias`` (C,), and is loaded like any classifier's; one that is at ``out``
    is replaced. The validation examples (and test examples) are scored. See :func:`fit_head` for
    ``strength`` and ``seed``.

    Returns:
        ``rows``, ``labels``, ``strength``, and ``accuracy`` and ``macro_f1`` of each scored split.

    Raises:
        ModelError: the source is no sentence encoder's bundle, or ``out`` is it.
        DataError: all examples have the same label.
    """
    folder = find_bundle(source)
    model = load(folder)
    if not model.decoder.gives_vectors:
        raise ModelError(
            f"{folder}: a bundle for {model.manifest.task}; a head is fitted on a sentence "
            "encoder's vectors (task.kind: vectors)"
        )
    if out.resolve() == folder.resolve():
        raise ModelError(f"{out}: the sentence encoder itself; name another folder")
    head = fit_head(
        _vectors(model, data.train), data.train.labels, classes=len(data.labels),
        strength=strength, seed=seed,
    )  # fmt: skip
    scores = {
        split.name: _scores(head, _vectors(model, split), split.labels)
        for split in (data.validation, data.test)
        if split is not None
    }
    facts = {"rows": len(data.train), "labels": list(data.labels), "strength": head.strength}
    _write(folder, out, head, facts | {"scores": scores}, model.manifest.settings)
    return facts | {"scores": scores}


def _vectors(model: BundleModel, split: Split) -> Vectors:
    parts = []
    with Bar(f"vectors of {split.name}", len(split)) as bar:
        for texts, _ in split.chunks(_CHUNK):
            parts.append(model.encode(texts, prompt=""))  # the head's bundle knows none
            bar.advance(len(texts))
    return np.concatenate(parts)  # (N, K)


def _scores(head: Head, vectors: Vectors, labels: Sequence[int]) -> dict[str, float]:
    from sklearn.metrics import f1_score

    found = head.predict(vectors)
    return {
        "accuracy": float((found == np.asarray(labels)).mean()),
        "macro_f1": float(f1_score(labels, found, average="macro")),
    }


def _write(
    source: Path, out: Path, head: Head, facts: dict[str, Any], settings: dict[str, Any]
) -> None:
    content = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
    formats = {k: v for k, v in content["formats"].items() if k not in _LEFT_OUT}
    files = [entry["file"] for entry in formats.values()]
    files += [entry["weights"]["file"] for entry in formats.values() if "weights" in entry]
    if settings.get("whitening"):
        files.append(settings["whitening"]["file"])
    with new_folder(out) as new:
        for name in files:
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, new / name)
        copy_files(source, new, TOKENIZER)
        np.savez(new / HEAD, weight=head.weight, bias=head.bias)
        content |= {
            "task": "classification",
            "labels": facts["labels"],
            "formats": formats,
            "numbers": {"head": facts},  # the encoder's own were of another task
            "settings": {"vectors": settings, "head": file_entry(new / HEAD)},
        }
        write_json(new / MANIFEST, content)
