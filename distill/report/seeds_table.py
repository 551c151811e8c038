"""The table of several seeds: on the console, and as Markdown."""

from __future__ import annotations

from distill.evaluation.cells import split_cell, told_length
from distill.evaluation.results import is_teacher
from distill.evaluation.seeds import SeedResults, SeedRow
from distill.evaluation.spread import Spread
from distill.report import numbers
from distill.report.columns import align
from distill.report.summary import scored_rows


def score_text(value: Spread | None) -> str:
    """A score's mean and standard deviation, with four decimals."""
    return "-" if value is None else numbers.plus_minus(value.mean, value.deviation, 4)


def share_text(value: Spread | None) -> str:
    """A share's mean and standard deviation in percent: ``96.4 ± 0.4 %``."""
    if value is None:
        return "-"
    deviation = None if value.deviation is None else 100 * value.deviation
    return f"{numbers.plus_minus(100 * value.mean, deviation, 1)} %"


def gain_text(value: Spread | None) -> str:
    """A difference of scores, with its sign."""
    if value is None:
        return "-"
    sign = "+" if value.mean >= 0 else ""
    return f"{sign}{score_text(value)}"


def header(results: SeedResults) -> list[str]:
    """The columns' titles; the first two are words."""
    titles = ["model", "format", "n", results.metric]
    titles += [f"{name} {results.metric}" for name in results.models[0].more_scores]
    titles += ["retention"]
    if _has_gain(results):
        titles.append("to baseline")
    titles.append("size MB")
    if results.cell is not None:
        titles.append(f"p50 ms b{split_cell(results.cell)[0]}")
    return [*titles, "smaller", "faster"] if results.cell else [*titles, "smaller"]


def row_text(results: SeedResults, row: SeedRow) -> list[str]:
    """One model as text; sizes and times are means."""
    out = [row.name, row.format, str(row.score.n), score_text(row.score)]
    out += [score_text(row.more_scores.get(name)) for name in results.models[0].more_scores]
    out.append(share_text(row.retention))
    if _has_gain(results):
        out.append(gain_text(row.gain))
    out.append(numbers.megabytes(row.bytes.mean))
    if results.cell is not None:
        out.append(numbers.milliseconds(row.latency_ms.mean if row.latency_ms else None))
    out.append(numbers.times(row.smaller.mean))
    if results.cell is not None:
        out.append(numbers.times(row.faster.mean if row.faster else None))
    return out


def _has_gain(results: SeedResults) -> bool:
    return any(row.gain is not None for row in results.models)


def caption(results: SeedResults) -> str:
    """What the numbers are, in one line."""
    count = len(results.seeds)
    text = (
        f"{results.metric} on the {results.split} rows; mean ± sample standard deviation over "
        f"{count} seed{'s' if count != 1 else ''} ({', '.join(map(str, results.seeds))})"
    )
    if results.cell is None:
        return f"{text}; speed not measured"
    batch, _ = split_cell(results.cell)
    return f"{text}; sizes and times are means, times at batch {batch}, {told_length(results.cell)}"


def summary(results: SeedResults) -> str:
    """One sentence: what the final model keeps, over the seeds."""
    final = results.final
    if is_teacher(final.name):
        return f"{final.name}: {results.metric} {score_text(final.score)}; no student yet"
    kept = (
        f"{share_text(final.retention)} of the teacher"
        if final.retention is not None
        else f"{results.metric} {score_text(final.score)}"
    )
    text = f"{final.name}: {kept} (n = {final.score.n})"
    if final.gain is not None:
        text += f", {gain_text(final.gain)} to the baseline, seed by seed"
    return text


def notes(results: SeedResults) -> list[str]:
    """What a reader should not overlook, one line each."""
    found = []
    left = [str(seed) for seed in results.asked if seed not in results.seeds]
    if left:
        found.append(
            f"{len(results.seeds)} of {len(results.asked)} seeds done; left: {', '.join(left)}"
        )
    for row in results.models:
        if row.score.n < len(results.seeds):
            made = ", ".join(map(str, row.score.values))
            found.append(f"{row.name} was made with seed {made} only")
        if row is results.final and row.gain is not None:
            below = [str(seed) for seed, value in row.gain.values.items() if value < 0]
            if below:
                found.append(f"{row.name} is below the baseline with seed {', '.join(below)}")
    if results.disturbed:
        found.append(
            f"timing was disturbed with seed {', '.join(map(str, results.disturbed))}; on an idle "
            "machine: distill evaluate RUN --rerun"
        )
    if results.rows_by_seed:
        found.append(
            "each seed drew its own rows to be scored on, which is part of the spread; retention"
            f"{' and the difference to the baseline' if _has_gain(results) else ''} are of models "
            "on the same rows"
        )
    return found + scored_rows(results.split)


def plain_table(results: SeedResults) -> str:
    """Title, table, summary and notes as plain lines."""
    rows = [header(results), *(row_text(results, row) for row in results.models)]
    lines = [f"{results.recipe}: {caption(results)}", "", *align(rows), "", summary(results)]
    return "\n".join([*lines, *(f"note: {note}" for note in notes(results))])


def markdown(results: SeedResults) -> str:
    """The table as Markdown."""
    titles = header(results)
    lines = ["| " + " | ".join(titles) + " |", "|---|---|" + "---:|" * (len(titles) - 2)]
    lines += [f"| {' | '.join(row_text(results, row))} |" for row in results.models]
    told = [caption(results), summary(results), *notes(results)]
    return "\n".join([*lines, "", *(f"- {line}" for line in told), ""])
