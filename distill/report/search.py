"""A search's tables: what it tried, the best first, and the model found for each budget."""

from __future__ import annotations

from distill.evaluation.cells import describe_length, split_cell
from distill.evaluation.study import Row, StudyResults
from distill.report import numbers
from distill.report.numbers import change, milliseconds, score, score_text, share_text
from distill.report.table import Table


def search_table(results: StudyResults) -> Table:
    """What a search tried, the best first."""
    cell = next((table.cell for table in results.models if table.cell), None)
    rows = [_tried(row, results, cell) for row in results.variants]
    rows.sort(key=lambda one: one[0], reverse=True)
    where = f"; times at batch {split_cell(cell)[0]}, {describe_length(cell)}" if cell else ""
    text = f"what the search tried, the best first{where}"
    marked = next((n for n, (_, cells) in enumerate(rows) if cells[""] == "best"), -1)
    return Table.of([cells for _, cells in rows], 1, text, marked)


def _tried(
    row: Row, results: StudyResults, cell: str | None
) -> tuple[tuple[bool, bool, float], dict[str, str]]:
    """What a row is ordered by, and its cells by their titles."""
    metric, chosen = results.tasks[0].metric, results.chosen
    trials = [trial for trial in results.trials if trial.variant == row.name]
    values = [t.validation for t in trials if t.validation is not None]
    mean = sum(values) / len(values) if values else None
    cells = {"trial": row.title, f"validation {metric}": "-" if mean is None else score(mean)}
    if results.models:
        final = next((one.final for one in results.models if one.variant == row.name), None)
        if (split := results.models[0].split) != "validation":  # else it is the column before
            cells[f"{split} {metric}"] = score_text(final.score if final else None)
        cells["retention"] = share_text(final.retention if final else None)
        cells["size MB"] = numbers.megabytes(final.bytes.mean) if final else "-"
        latency = final.latency_ms.mean if final and final.latency_ms else None
        cells[f"p50 ms b{split_cell(cell)[0]}" if cell else "p50 ms"] = milliseconds(latency)
    if any(one.predicted is not None for one in results.variants):
        told = row.predicted
        size, latency = (told.size_mb, told.latency_ms) if told is not None else (None, None)
        cells["predicted MB"] = "-" if size is None else numbers.megabytes(1e6 * size)
        cells["predicted ms"] = milliseconds(latency)
        if told is None:
            cells |= {"predicted MB": "", "predicted ms": ""}
    if chosen is not None and compared(results):
        cells["to best, 95 %"] = interval_text(row)
    state = next((t.status for t in trials if t.status != "done"), "")
    state = state or ("beyond limits" if row.within is False else "")
    cells[""] = "best" if chosen is not None and chosen.variant == row.name else state
    whole = any(trial.evaluated for trial in trials)
    return (row.within is not False, whole, mean or 0.0), cells


def targets_table(results: StudyResults) -> Table:
    """Of every budget the model that keeps it, with what was asked for and what was measured."""
    titles, rows = {row.name: row.title for row in results.variants}, []
    for target in results.targets:
        chosen = target.chosen
        told = chosen.validation if chosen is not None else None
        rows.append(
            {
                "budget": target.words(),
                "model": titles.get(chosen.variant, "-") if chosen else "-",
                f"validation {results.tasks[0].metric}": "-" if told is None else score(told),
                "bundle": f"{chosen.folder}/bundle" if chosen is not None else "nothing keeps it",
            }
        )
    return Table.of(rows, 2, "a model for each budget, the best on the validation examples")


def searched_summary(results: StudyResults) -> str:
    """What a search found."""
    done = sum(trial.status == "done" for trial in results.trials)
    if results.chosen is None:
        beyond = [row for row in results.variants if row.within is False]
        if beyond and not any(row.within for row in results.variants):
            return f"none of {len(beyond)} trials keeps the limits; widen them, or the space"
        return f"{done} trials; the search ends before the evaluation, so there is no bundle"
    chosen = results.chosen
    title = next(row.title for row in results.variants if row.name == chosen.variant)
    told = "-" if chosen.validation is None else score(chosen.validation)
    targets = results.targets[-1].words() if results.targets else ""
    text = f"best of {chosen.seeds}: {title}; validation {chosen.metric} {told}"
    return "; ".join(filter(None, (text, targets)))


def compared(results: StudyResults) -> bool:
    """Whether the interval of any difference is known."""
    return any(row.low is not None for row in results.variants)


def interval_text(row: Row) -> str:
    """The 95 % interval of a row's difference in points: ``-4.0 to +1.0 (noise)``."""
    if row.low is None or row.high is None:
        return ""
    noise = " (noise)" if row.low <= 0 <= row.high else ""
    return f"{change(row.low)} to {change(row.high)}{noise}"
