"""Which engine, threads, fusions and batches serve a bundle fastest here: found by measuring.

Two things are tuned apart: the time of a single text (latency), and texts per second when there are
many (throughput). Candidates take turns, so that what else the machine does falls on all alike; a
candidate's turn begins with a pause, in which the last one's idle threads come to rest, and calls
that do not count.

Legend: N rows.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from distill.runtime.backends import ENGINES, Session, is_installed, open_session
from distill.runtime.manifest import Manifest
from distill.runtime.session import SLOW_OPTIMIZERS
from distill.runtime.workers import compute
from distill.system.processor import processor, usable_cores
from distill.text.encoding import Encoded, TextEncoder

_PAUSE_SECONDS = 0.06
_ROUNDS = 7
_SINGLE_ROWS = 24  # of each candidate in a round
_MANY_ROWS = 256
_BATCH_SIZES = (8, 32)
_MULTIPLES = (1, 8)
# A choice must be worth more than the noise of the measurement, or the simpler one stays.
_WORTH = 0.97


@dataclass(frozen=True)
class Row:
    """A row of tokens without a text: stands in where no real rows are given."""

    ids: list[int]
    type_ids: list[int]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass
class _Candidate:
    settings: dict[str, Any]
    session: Session
    times: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.times)


def stand_ins(manifest: Manifest, vocabulary: int, *, seed: int = 0) -> list[Row]:
    """Rows of random tokens (below ``vocabulary``), as long as the bundle's own rows."""
    draw = np.random.default_rng(seed)
    steps = manifest.lengths or (min(32, manifest.max_length),)
    lengths = np.interp(
        np.linspace(0, len(steps) - 1, _MANY_ROWS), range(len(steps)), steps
    ).astype(int)
    rows = [draw.integers(0, vocabulary, max(2, int(length))).tolist() for length in lengths]
    order = draw.permutation(len(rows))
    return [Row(rows[index], [0] * len(rows[index])) for index in order]


def tune(
    manifest: Manifest,
    encoder: TextEncoder,
    rows: Sequence[Encoded],
    *,
    cores: int | None = None,
    formats: Sequence[str] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure a small grid and choose.

    Latency: every format whose engine is installed (fp32 ones only where there is no smaller one),
    with one thread and with all cores, for ONNX Runtime with and without the fusions that are slow
    on some processors. Throughput: one batch at a time on all cores against as many single-thread
    instances as there are cores, each with small and large batches, padded and not.

    ``rows`` are real ones or stand-ins, at least one; ``cores`` are all that this process may use
    where nothing is said; ``progress`` is called with what is being measured.

    Returns:
        What goes into ``distill.json`` as ``runtime``: ``cpu``, ``isa``, ``cores``, ``rows``,
        ``median_length``, ``latency`` and ``throughput`` (the choices, see
        :class:`distill.runtime.workers.Tuned`, with ``ms`` or ``examples_per_second``) and
        ``measured``: every candidate with its number.
    """
    cores = cores or usable_cores()
    single = _for_single(manifest, formats or _formats(manifest), cores)
    batches = [encoder.batch([row]) for row in _spread(rows, _SINGLE_ROWS)]
    _measure(
        single,
        lambda one, batch: one.session.run(*batch),
        batches,
        batches[:2],
        rounds=_ROUNDS,
        told=lambda text: progress(f"single examples, {text}"),
    )
    many = _for_many(manifest, single, cores)
    some = rows[:_MANY_ROWS]

    def run(one: _Candidate, some: Sequence[Encoded]) -> None:
        names = ("instances", "batch_size", "padding_multiple")
        instances, size, multiple = (one.settings[name] for name in names)
        compute(one.session, some, encoder, instances=instances, batch_size=size, multiple=multiple)

    _measure(
        many,
        run,
        [some],
        [some[:32]],
        rounds=_ROUNDS // 2 + 1,
        told=lambda text: progress(f"many examples, {text}"),
    )
    here = processor()
    best, fastest = _best(single), _best(many)
    count = len(some)
    return {
        "cpu": here.name,
        "isa": list(here.isa),
        "cores": cores,
        "rows": len(rows),
        "median_length": int(np.median([len(row) for row in rows])),
        "latency": best.settings | {"ms": _ms(best)},
        "throughput": fastest.settings | {"examples_per_second": round(count / fastest.median, 1)},
        "measured": {
            "latency_ms": [c.settings | {"ms": _ms(c)} for c in single],
            "examples_per_second": [
                c.settings | {"examples_per_second": round(count / c.median, 1)} for c in many
            ],
        },
    }


def _formats(manifest: Manifest) -> list[str]:
    there = [name for name in ENGINES if name in manifest.formats and is_installed(name)]
    small = [name for name in there if "-" in name]
    return small or there


def _for_single(manifest: Manifest, names: Sequence[str], cores: int) -> list[_Candidate]:
    candidates = []
    for name, threads in itertools.product(names, sorted({1, cores})):
        base = {"format": name, "threads": threads}
        if ENGINES[name] == "onnxruntime":
            every = [base | {"disabled_optimizers": off} for off in (list(SLOW_OPTIMIZERS), [])]
        else:
            every = [base]
        candidates += [_Candidate(settings, _session(manifest, settings)) for settings in every]
    return candidates


def _for_many(manifest: Manifest, single: Sequence[_Candidate], cores: int) -> list[_Candidate]:
    """Instances, batch sizes and padding, with the best fusions of every format."""
    fusions = {}
    for candidate in sorted(single, key=lambda c: c.median, reverse=True):
        settings = candidate.settings
        fusions[settings["format"]] = {
            key: settings[key] for key in ("disabled_optimizers",) if key in settings
        }
    candidates = []
    for name, extra in fusions.items():
        for threads, instances in sorted({(cores, 1), (1, cores)}):
            base = {"format": name, "threads": threads, "instances": instances}
            session = _session(manifest, base | extra)
            for size, multiple in itertools.product(_BATCH_SIZES, _MULTIPLES):
                settings = base | {"batch_size": size, "padding_multiple": multiple} | extra
                candidates.append(_Candidate(settings, session))
    return candidates


def _measure(
    candidates: Sequence[_Candidate],
    run: Callable[[_Candidate, Any], object],
    work: Sequence[Any],
    warm_up: Sequence[Any],
    *,
    rounds: int,
    told: Callable[[str], None],
) -> None:
    """Time every piece of work; candidates take turns, beginning with another one each round."""
    for turn in range(rounds):
        told(f"round {turn + 1} of {rounds}")
        first = turn % len(candidates)
        for candidate in [*candidates[first:], *candidates[:first]]:
            time.sleep(_PAUSE_SECONDS)
            for one in work if turn == 0 else warm_up:  # new shapes are laid out once
                run(candidate, one)
            for one in work:
                start = time.perf_counter()
                run(candidate, one)
                candidate.times.append(time.perf_counter() - start)


def _session(manifest: Manifest, settings: Mapping[str, Any]) -> Session:
    name = str(settings["format"])
    return open_session(name, manifest.file(name), settings["threads"], settings=settings)


def _best(candidates: Sequence[_Candidate]) -> _Candidate:
    """The fastest; the first one stays unless another is faster by more than noise."""
    best = candidates[0]
    for candidate in candidates[1:]:
        if candidate.median < _WORTH * best.median:
            best = candidate
    fastest = min(candidates, key=lambda candidate: candidate.median)
    return best if best.median * _WORTH <= fastest.median else fastest


def _ms(candidate: _Candidate) -> float:
    return round(candidate.median * 1e3, 4)


def _spread(rows: Sequence[Encoded], count: int) -> list[Encoded]:
    """Rows of all lengths: every so-many-th of them by length."""
    ordered = sorted(rows, key=len)
    places = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int)
    return [ordered[place] for place in places]
