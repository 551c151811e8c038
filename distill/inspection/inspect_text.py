"""Looks at one text with a teacher and its student.

Legend: H heads, L tokens, C outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from distill.capture.capture import Capture
from distill.capture.layer_map import make_layer_map
from distill.files.bad_rows import is_unicode
from distill.inspection.gradients import TOLERANCE, integrated_gradients
from distill.inspection.result import Attribution, Inspection, Map, Reading
from distill.inspection.subjects import Pairs, Subjects
from distill.system.errors import DataError, ModelError
from distill.tasks import decoder_class
from distill.tasks.explain import Choice, Read, Target
from students.anatomy import anatomy, inputs_of
from students.heads import logits_of, positions_of
from teachers.load import load_model, load_tokenizer


@dataclass(frozen=True, kw_only=True)
class _Reader(Read):
    """A model, and the text as it reads it."""

    role: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    batch: dict[str, Tensor]  # (1, L) each
    length: int  # tokens of the text before it was cut

    def masked(self) -> Tensor:
        """The text's ids (1, L) with every word masked; special tokens stay what they are."""
        ids = self.batch["input_ids"]
        mask = self.tokenizer.mask_token_id
        blank = self.tokenizer.pad_token_id if mask is None else mask
        special = torch.tensor(sorted(set(self.tokenizer.all_special_ids)))
        unknown = ids == (-1 if (unk := self.tokenizer.unk_token_id) is None else unk)
        return torch.where(torch.isin(ids, special) & ~unknown, ids, torch.full_like(ids, blank))


def inspect_text(
    subjects: Subjects,
    text: str,
    *,
    pair: str | None = None,
    label: str | None = None,
    word: str | None = None,
) -> Inspection:
    """Read a text with the student and the teacher: predictions, attributions, attention.

    Args:
        subjects: from :func:`distill.inspection.subjects.find_subjects`.
        text: the text.
        pair: the second one, for models of pairs; of a question the text that answers it.
        word: of a model that tags tokens, the word whose tag is explained; left out, the surest.
        label: the label that is explained; left out, the student's choice. Both models are
            explained for the same one.

    Raises:
        ModelError: a model cannot be loaded, or has no output to explain.
        DataError: a second text is missing or too much, a text is empty or no Unicode, or the
            word is not there.
    """
    decoder = decoder_class(subjects.task)
    if not decoder.explains:
        raise ModelError(
            f"{subjects.student}: a model of task.kind '{subjects.task}' has no output to explain"
        )
    if word is not None and not decoder.explains_words:
        raise DataError("--word names a word whose tag is explained; this model tags none")
    _check_texts(text, pair, subjects.pair)
    student = _reader("student", subjects, text, pair)
    teacher = _reader("teacher", subjects, text, pair) if subjects.teacher else None
    same = sorted(teacher.labels) == sorted(student.labels) if teacher else True
    if teacher and decoder.named_outputs and not same:
        raise ModelError(
            f"{teacher.where}: its labels are {', '.join(teacher.labels)}, the student's "
            f"{', '.join(student.labels)}; give a teacher of the same task"
        )
    layers, notes = _layers(subjects.layer_map, student, teacher)
    chosen = decoder.explain(student, Choice(label or ""), word)
    read = {"student": _read(student, chosen, [own for own, _ in layers])}
    if teacher:
        theirs = decoder.explain(teacher, chosen.choice)
        read["teacher"] = _read(teacher, theirs, [one for _, one in layers if one is not None])
    return Inspection(
        text=text,
        pair=pair,
        task=subjects.task,
        explained=chosen.words,
        student=read["student"],
        teacher=read.get("teacher"),
        layers=layers,
        notes=(*subjects.notes, *notes, *_cut(student, subjects), *_about(read)),
    )


def _check_texts(text: str, pair: str | None, wants_pair: bool | None) -> None:
    if wants_pair and pair is None:
        raise DataError("this model reads two texts; give the second with --pair")
    if wants_pair is False and pair is not None:
        raise DataError("this model takes single texts; leave --pair out")
    for one in (text, pair):
        if one is not None and not one.strip():
            raise DataError("the text is empty; give some words in quotes")
        if one is not None and not is_unicode(one):
            raise DataError("the text holds half of a character, which is not Unicode")


def _reader(role: str, subjects: Subjects, text: str, pair: str | None) -> _Reader:
    folder, settings = subjects.student, subjects.settings
    if role == "teacher" and subjects.teacher is not None:
        folder, own = subjects.teacher, subjects.teacher_settings
        settings = settings if own is None else own
    model = load_model(folder).eval().requires_grad_(False)
    tokenizer = load_tokenizer(folder)
    limit = min(subjects.max_length, positions_of(model))
    whole = tokenizer(text, pair, verbose=False)
    encoded = tokenizer(
        text, pair, truncation="longest_first", max_length=limit, padding=False, return_tensors="pt"
    )
    batch = inputs_of(model, encoded)
    names = cast("dict[int, str]", model.config.id2label)
    with torch.no_grad():
        logits = logits_of(model, batch)[0].numpy()
    return _Reader(
        texts=(text,) if pair is None else (text, pair),
        encoded=encoded,
        logits=logits,
        labels=[str(names[number]) for number in sorted(names)],
        settings=settings,
        where=str(folder),
        role=role,
        model=model,
        tokenizer=tokenizer,
        batch=batch,
        length=sum(whole["attention_mask"]),
    )


def _layers(
    layer_map: Pairs | None, student: _Reader, teacher: _Reader | None
) -> tuple[tuple[tuple[int, int | None], ...], tuple[str, ...]]:
    own = anatomy(student.model).depth
    if teacher is None:
        return tuple((layer, None) for layer in range(1, own + 1)), ()
    theirs = anatomy(teacher.model).depth
    if layer_map and all(s <= own and t <= theirs for s, t in layer_map):
        return layer_map, ()
    if own <= theirs:
        kind = "uniform" if theirs % own == 0 else "skip"
        note = f"no map of these layers is told; they stand beside each other by a {kind} map"
        return make_layer_map(kind, own, theirs).pairs, (note,)
    pairs = tuple((layer, max(1, round(layer * theirs / own))) for layer in range(1, own + 1))
    return pairs, ("the student is deeper than the teacher; layers stand by their height",)


def _read(reader: _Reader, target: Target, layers: list[int]) -> Reading:
    ids = reader.batch["input_ids"]
    found: Attribution = integrated_gradients(
        reader.model,
        reader.batch,
        lambda batch: target.number(logits_of(reader.model, batch)),
        baseline_ids=reader.masked(),
        name=f"{reader.role}: attributions",
    )
    types = reader.batch.get("token_type_ids", torch.zeros_like(ids))
    return Reading(
        role=reader.role,
        folder=reader.where,
        tokens=tuple(reader.tokenizer.convert_ids_to_tokens(ids[0].tolist())),
        segments=tuple(types[0].tolist()),
        outputs=target.outputs,
        predicted=target.predicted,
        attribution=found,
        attention=attention_of(reader.model, reader.batch, layers),
        depth=anatomy(reader.model).depth,
    )


def _cut(student: _Reader, subjects: Subjects) -> tuple[str, ...]:
    kept = student.batch["input_ids"].size(1)
    if kept >= student.length:
        return ()
    return (
        f"the text has {student.length} tokens and was cut to the first {kept}, as the models "
        "were trained with no more",
    )


def _about(read: dict[str, Reading]) -> tuple[str, ...]:
    notes = []
    if "teacher" in read and read["teacher"].tokens != read["student"].tokens:
        notes.append("teacher and student read other tokens, so that they do not compare by token")
    for role, one in read.items():
        if abs(one.attribution.gap) > max(2 * TOLERANCE * abs(one.attribution.difference), 0.02):
            notes.append(
                f"the {role}'s attributions are {one.attribution.gap:+.3f} off their sum after "
                f"{one.attribution.steps} steps: take them as rough"
            )
    return tuple(notes)


@torch.no_grad()
def attention_of(
    model: PreTrainedModel, batch: Mapping[str, Tensor], layers: Iterable[int]
) -> dict[int, Map]:
    """Attention probabilities of one text without padding, by layer, counted from 1.

    (H, L, L) each, rows with the sum 1; (0, L, L) of a layer without heads.
    """
    wanted = sorted(set(layers))
    left = anatomy(model).heads_left
    with_heads = [layer for layer in wanted if left[layer - 1]]  # a pruned layer may have none
    length = batch["input_ids"].size(1)
    found = dict.fromkeys(wanted, np.zeros((0, length, length), np.float32))
    if with_heads:
        signals = Capture(model, attention=with_heads)(batch)
        for layer, scores in signals.attention.items():
            found[layer] = scores[0].softmax(dim=-1).numpy()  # (H, L, L)
    return found
