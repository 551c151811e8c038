"""What models answered to every question, how sure they were, and where they differ.

Legend: N questions, B windows of a batch, L length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill import atomic
from distill.errors import RunFolderError, quoted
from distill.evaluation.mistakes import calibration_of
from distill.evaluation.parts import Calibration, Disagreement
from distill.tasks.qa.answers import best_of, normalize
from distill.tasks.qa.windows import Asked, QuestionSplit
from distill.text.spans import Decoding, Span, answer, window_spans

_ARRAYS = ("starts", "ends", "scores", "em", "f1")


@dataclass(frozen=True)
class Answers:
    """A model's answers.

    Args:
        starts: the first character of each, int32 (N,).
        ends: the character behind its last; of no answer both are 0.
        scores: its probability, float32 (N,).
        em: whether it is one of the right ones exactly, float32 (N,).
        f1: words in common with the nearest right one, float32 (N,).
    """

    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    em: npt.NDArray[np.float32]
    f1: npt.NDArray[np.float32]


@dataclass
class AnswerPredictions:
    """What models answered to the questions of one split.

    Args:
        split: the questions.
        decoding: how answers are chosen.
        windows: model to what it said of each window: the question's number, then the window's
            with its best span and the score of none.
    """

    split: QuestionSplit
    decoding: Decoding
    windows: dict[str, list[dict[int, tuple[list[Span], float]]]] = field(default_factory=dict)
    _answers: dict[str, Answers] = field(default_factory=dict)

    def keeper(self, model: str) -> Callable[[npt.NDArray[Any], Mapping[str, Any]], None]:
        """What takes a model's logits (B, L, 2) batch by batch, as scoring meets them."""
        kept: list[dict[int, tuple[list[Span], float]]] = [{} for _ in range(len(self.split))]
        self.windows[model] = kept
        self._answers.pop(model, None)

        def keep(logits: npt.NDArray[Any], batch: Mapping[str, Any]) -> None:
            asked: list[Asked] = batch["asked"]
            for row, one, window in zip(logits, asked, batch["index"].tolist(), strict=True):
                kept[one.question][window] = window_spans(
                    row, one.first, one.chars, max_answer=self.decoding.max_answer, count=1
                )

        return keep

    def answers(self, model: str) -> Answers:
        """What it answered: of a question's windows, the one with the best span tells."""
        if model not in self._answers:
            self._answers[model] = self._chosen(model)
        return self._answers[model]

    def _chosen(self, model: str) -> Answers:
        places, shares, rights = [], [], []
        for row, windows in enumerate(self.windows[model]):
            ordered = [windows[window] for window in sorted(windows)]
            told = answer(self.split.contexts[row], ordered, self.decoding)
            places.append((told["start"], told["end"]))
            shares.append(told["score"])
            rights.append(best_of(told["answer"], [text for text, _ in self.split.answers[row]]))
        starts, ends = np.asarray(places, dtype=np.int32).T
        em, f1 = np.asarray(rights, dtype=np.float32).T
        return Answers(starts, ends, np.asarray(shares, dtype=np.float32), em=em, f1=f1)

    def texts(self, model: str) -> list[str]:
        """The answers in words; the empty text says that nothing answers."""
        told = self.answers(model)
        places = zip(self.split.contexts, told.starts.tolist(), told.ends.tolist(), strict=True)
        return [context[start:end] for context, start, end in places]

    def calibration(self, model: str) -> Calibration:
        """Whether answers are as often right, exactly, as their probability says."""
        told = self.answers(model)
        return calibration_of(told.scores, told.em > 0)

    def _differ(self, teacher: str, model: str) -> npt.NDArray[np.bool_]:
        """Which questions both answer differently, once answers are normalised."""
        theirs, own = (list(map(normalize, self.texts(name))) for name in (teacher, model))
        return np.asarray([one != other for one, other in zip(theirs, own, strict=True)])

    def disagreement(self, teacher: str, model: str) -> Disagreement:
        """How many questions a model and its teacher answer differently, and who is right then."""
        differ = self._differ(teacher, model)
        theirs, own = (self.answers(name).em > 0 for name in (teacher, model))
        return Disagreement(
            model=model,
            rows=int(differ.sum()),
            share=float(differ.mean()),
            teacher_right=int((differ & theirs).sum()),
            model_right=int((differ & own).sum()),
            neither_right=int((differ & ~theirs & ~own).sum()),
        )

    def disagreeing(self, teacher: str, model: str, *, most: int) -> list[int]:
        """Questions that both answer differently, the model's surest answers first."""
        differ = self._differ(teacher, model)
        order: list[int] = np.argsort(-self.answers(model).scores, kind="stable").tolist()
        return [row for row in order if differ[row]][:most]


def write_answers(path: Path, found: AnswerPredictions) -> None:
    """Write answers as arrays, nothing pickled.

    There are ``task``, ``ids`` (of the questions), ``models``, and of the K-th model ``starts_K``,
    ``ends_K``, ``scores_K``, ``em_K`` and ``f1_K``.
    """
    arrays: dict[str, npt.NDArray[Any]] = {
        "task": np.array("qa"),
        "ids": np.array(found.split.ids, dtype=np.str_),
        "models": np.array(list(found.windows), dtype=np.str_),
    }
    for number, model in enumerate(found.windows):
        told = found.answers(model)
        arrays |= {f"{name}_{number}": getattr(told, name) for name in _ARRAYS}
    with atomic.new_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_answers(path: Path) -> tuple[list[str], dict[str, Answers]]:
    """The ids of the questions, and each model's answers.

    Raises:
        RunFolderError: the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            found = {
                str(model): Answers(*(content[f"{name}_{number}"] for name in _ARRAYS))
                for number, model in enumerate(content["models"])
            }
            return [str(name) for name in content["ids"]], found
    except Exception as error:  # zip, numpy and key errors: whatever a broken file gives
        raise RunFolderError(
            f"{path}: cannot be read ({error}); make it anew: "
            f"distill evaluate {quoted(path.parent.parent)} --rerun"
        ) from error
