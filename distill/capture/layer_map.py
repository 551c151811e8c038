"""Which teacher layer each student layer learns from."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from distill.system.errors import ModelError

#: Kinds of layer map that are worked out from the two depths.
KINDS = ("uniform", "first", "last", "skip")


@dataclass(frozen=True)
class LayerMap:
    """Pairs of (student layer, teacher layer), both counted from 1, by student layer."""

    pairs: tuple[tuple[int, int], ...]

    @property
    def student(self) -> tuple[int, ...]:
        """The student layers that learn, lowest first."""
        return tuple(student for student, _ in self.pairs)

    @property
    def teacher(self) -> tuple[int, ...]:
        """The teacher layers learned from, in the order of the student layers."""
        return tuple(teacher for _, teacher in self.pairs)


def make_layer_map(
    kind: str | Sequence[Sequence[int]], student_depth: int, teacher_depth: int
) -> LayerMap:
    """Work out a layer map for a student of M layers and a teacher of N.

    ==========  =======================================  =================
    kind        student layer i learns from              needs
    ==========  =======================================  =================
    uniform     i * k, with k = N / M                    N a multiple of M
    first       i                                        N >= M
    last        N - M + i                                N >= M
    skip        1 + (i - 1) * k, with k = N // M         N >= M
    ==========  =======================================  =================

    ``uniform`` ends at the teacher's top layer; ``skip`` takes every k-th layer from the lowest.
    Several student layers may learn from one teacher layer where a list says so.

    Args:
        kind: one of the kinds, or a list of [student layer, teacher layer] counted from 1.
        student_depth: M.
        teacher_depth: N.

    Raises:
        ModelError: the depths do not go together (told with those that would), the kind is
            unknown, or a list names a layer that is not there or a student layer twice.

    Reference:
        TinyBERT, section 3.1 and table 4 (uniform, top, bottom).

    Example:
        >>> make_layer_map("uniform", 4, 12).pairs
        ((1, 3), (2, 6), (3, 9), (4, 12))
    """
    if not isinstance(kind, str):
        return _explicit(kind, student_depth, teacher_depth)
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ModelError(
            f"layer_map: unknown kind '{kind}'; known: {', '.join(KINDS)}, "
            f"or a list of [student, teacher]{hint}"
        )
    if student_depth > teacher_depth:
        raise ModelError(
            f"layer_map: the student has {student_depth} layers and the teacher only "
            f"{teacher_depth}; give a list of [student, teacher], or a student of at most "
            f"{teacher_depth} layers"
        )
    rows = range(1, student_depth + 1)
    if kind == "uniform":
        return LayerMap(tuple(_uniform(student_depth, teacher_depth)))
    if kind == "first":
        return LayerMap(tuple((i, i) for i in rows))
    if kind == "last":
        return LayerMap(tuple((i, teacher_depth - student_depth + i) for i in rows))
    step = teacher_depth // student_depth
    return LayerMap(tuple((i, 1 + (i - 1) * step) for i in rows))


def candidates(
    wanted: Sequence[str | Sequence[Sequence[int]]] | None, student_depth: int, teacher_depth: int
) -> dict[str, LayerMap]:
    """The distinct layer maps that a search tries, in the order given.

    Each by its kind (or kinds, where several come to the same), or its pairs in words.

    Args:
        wanted: kinds and lists of [student, teacher]; ``None`` takes every kind that fits.
        student_depth: M.
        teacher_depth: N.

    Raises:
        ModelError: a candidate does not fit the depths, or there is none.

    Example:
        >>> list(candidates(None, 5, 12))
        ['first', 'last', 'skip']
    """
    chosen = _fitting(student_depth, teacher_depth) if wanted is None else wanted
    names: dict[LayerMap, list[str]] = {}
    for kind in chosen:
        layer_map = make_layer_map(kind, student_depth, teacher_depth)
        told = kind if isinstance(kind, str) else _in_words(layer_map)
        if told not in names.setdefault(layer_map, []):
            names[layer_map].append(told)
    if not names:
        raise ModelError(
            f"layer_map: no kind of map fits a student of {student_depth} layers and a teacher of "
            f"{teacher_depth}; give search.candidates as lists of [student, teacher]"
        )
    return {" = ".join(told): layer_map for layer_map, told in names.items()}


def _fitting(student_depth: int, teacher_depth: int) -> list[str]:
    if student_depth > teacher_depth:
        return []
    return [kind for kind in KINDS if kind != "uniform" or teacher_depth % student_depth == 0]


def _in_words(layer_map: LayerMap) -> str:
    return " ".join(f"{student}<{teacher}" for student, teacher in layer_map.pairs)


def _uniform(student_depth: int, teacher_depth: int) -> list[tuple[int, int]]:
    if teacher_depth % student_depth:
        works = [depth for depth in range(1, teacher_depth + 1) if teacher_depth % depth == 0]
        raise ModelError(
            f"layer_map: uniform needs the teacher's depth ({teacher_depth}) to be a multiple of "
            f"the student's ({student_depth}); student depths that work: "
            f"{', '.join(map(str, works))}; or use first, last, skip or a list"
        )
    step = teacher_depth // student_depth
    return [(i, i * step) for i in range(1, student_depth + 1)]


def _explicit(pairs: Sequence[Sequence[int]], student_depth: int, teacher_depth: int) -> LayerMap:
    seen: dict[int, int] = {}
    for pair in pairs:
        if len(pair) != 2:
            raise ModelError(f"layer_map: {list(pair)} is not a pair [student, teacher]")
        student, teacher = pair
        for who, layer, depth in (
            ("student", student, student_depth),
            ("teacher", teacher, teacher_depth),
        ):
            if not 1 <= layer <= depth:
                raise ModelError(
                    f"layer_map: [{student}, {teacher}] names {who} layer {layer}; "
                    f"the {who}'s layers are 1 to {depth}"
                )
        if student in seen:
            raise ModelError(
                f"layer_map: student layer {student} stands in the list twice "
                f"(teacher layers {seen[student]} and {teacher}); keep one"
            )
        seen[student] = teacher
    if not seen:
        raise ModelError("layer_map: the list is empty; give at least one [student, teacher]")
    return LayerMap(tuple(sorted(seen.items())))
