"""A search's tables: what it tried, the best first, and the model found for each budget."""

from __future__ import annotations

from distill.evaluation.cells import describe_length, split_cell
from distill.evaluation.over_seeds import ModelSpread
from distill.evaluation.study import Row, StudyResults
from distill.recipe.schema import Limits
from distill.report import numbers
from distill.report.numbers import change, score_text, share_text
from distill.report.table import Table


def search_table(results: StudyResults) -> Table:
    """What a search tried, the best first."""
    task, is_compared = results.tasks[0], results.chosen is not None and compared(results)
    finals = {table.variant: table.final for table in results.models}
    cell = next((table.cell for table in results.models if table.cell), None)
    split = results.models[0].split if results.models else ""
    predicted = any(row.predicted is not None for row in results.variants)
    rows = []
    for row in results.variants:
        trials = [trial for trial in results.trials if trial.variant == row.name]
        values = [t.validation for t in trials if t.validation is not None]
        mean = sum(values) / len(values) if values else None
        state = next((t.status for t in trials if t.status != "done"), "")
        state = state or ("beyond limits" if row.within is False else "")
        out = [row.title, "-" if mean is None else numbers.score(mean)]
        if finals:
            # A score on the validation examples is the trial's own, in the column before.
            out += _final_cells(finals.get(row.name))[int(split == "validation") :]
        if predicted:
            out += _predicted_cells(row.predicted)
        out += [interval_text(row)] if is_compared else []
        chosen = results.chosen is not None and results.chosen.variant == row.name
        whole = any(trial.evaluated for trial in trials)
        order = (row.within is not False, whole, mean or 0.0)
        rows.append((order, [*out, "best" if chosen else state]))
    rows.sort(key=lambda one: one[0], reverse=True)
    header = ["trial", f"validation {task.metric}"]
    if finals:
        batch = f" b{split_cell(cell)[0]}" if cell else ""
        header += [] if split == "validation" else [f"{split} {task.metric}"]
        header += ["retention", "size MB", f"p50 ms{batch}"]
    header += ["predicted MB", "predicted ms"] if predicted else []
    header += ["to best, 95 %"] if is_compared else []
    where = f"; times at batch {split_cell(cell)[0]}, {describe_length(cell)}" if cell else ""
    text = f"what the search tried, the best first{where}"
    marked = next((n for n, (_, out) in enumerate(rows) if out[-1] == "best"), -1)
    return Table([*header, ""], [out for _, out in rows], 1, text, marked)


def targets_table(results: StudyResults) -> Table:
    """Of every budget the model that keeps it, with what was asked for and what was measured."""
    rows = []
    for target in results.targets:
        chosen = target.chosen
        title = next((r.title for r in results.variants if chosen and r.name == chosen.variant), "")
        score = chosen.validation if chosen is not None else None
        told = "-" if score is None else numbers.score(score)
        bundle = f"{chosen.folder}/bundle" if chosen is not None else "nothing keeps it"
        rows.append([target.words(), title or "-", told, bundle])
    metric = results.tasks[0].metric
    header = ["budget", "model", f"validation {metric}", "bundle"]
    return Table(
        header, rows, 2, "a model for each budget, the best on the validation examples", -1
    )


def _predicted_cells(predicted: Limits | None) -> list[str]:
    """What was predicted of a candidate, beside what was measured."""
    if predicted is None:
        return ["", ""]
    size, latency = predicted.size_mb, predicted.latency_ms
    return [
        "-" if size is None else numbers.megabytes(1e6 * size),
        "-" if latency is None else numbers.milliseconds(latency),
    ]


def _final_cells(final: ModelSpread | None) -> list[str]:
    if final is None:
        return ["-"] * 4
    return [
        score_text(final.score),
        share_text(final.retention),
        numbers.megabytes(final.bytes.mean),
        numbers.milliseconds(final.latency_ms.mean if final.latency_ms else None),
    ]


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
    score = "-" if chosen.validation is None else numbers.score(chosen.validation)
    targets = results.targets[-1].words() if results.targets else ""
    text = f"best of {chosen.seeds}: {title}; validation {chosen.metric} {score}"
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
