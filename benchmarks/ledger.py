"""The ledgers of finished runs, what was aimed at, and the plain way beside: docs/ledger.md.

    python benchmarks/ledger.py runs/cpu-sst2 runs/cpu-mrpc

For each run the ledger of its results, and one more measurement in one process, models taking
turns: the bundle against the same students exported by torch and quantised by ONNX Runtime's
dynamic int8, both with their defaults: the distilled student before pruning, and the pruned one.
The runs are only read. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plain import PlainSession, plain_files

from distill.evaluation.cost import bytes_of
from distill.evaluation.predictors import FilePredictor, Predictor
from distill.evaluation.results import Results, read_results
from distill.evaluation.score import score
from distill.evaluation.speed import measure
from distill.recipe.catalog import names
from distill.recipe.loader import load_recipe
from distill.recipe.plan import PlannedStage, plan_stages
from distill.recipe.schema import EvaluateStage, Recipe
from distill.report import numbers
from distill.report.ledger import markdown_ledger
from distill.run_folder import RunFolder
from distill.runtime.manifest import read_manifest
from distill.stages.context import StageContext, Workspace
from distill.system.processor import physical_cores
from teachers.load import load_model

#: Aims: times faster than BERT-base, bytes of the folder, share of the teacher's score, and times
#: faster than the plain way.
FASTER, BYTES, KEPT, PLAINLY = 100.0, 6_000_000, 0.97, 2.0


@dataclass(frozen=True)
class Compared:
    """One model of the comparison.

    Args:
        what: what the table calls it.
        predictor: answers a batch.
        path: its file.
        context: the stage from which the rows are read as the model reads them.
    """

    what: str
    predictor: Predictor
    path: Path
    context: StageContext


def context_before(run: RunFolder, recipe: Recipe, kind: str) -> StageContext:
    """A context that sees the student as the first stage of a kind found it."""
    stages = plan_stages(recipe)
    first = next(stage for stage in stages if stage.kind == kind)
    stage = PlannedStage(first.index, "evaluate", "evaluate", EvaluateStage(kind="evaluate"))
    return StageContext(run, stage, stages, Workspace(recipe))


def models(run: RunFolder, recipe: Recipe, place: Path, threads: int) -> list[Compared]:
    """The bundle, and the plain way for the student before pruning and behind it."""
    last = context_before(run, recipe, "export")
    manifest = read_manifest(run.bundle)
    path = manifest.file()
    ours = FilePredictor(path, threads, name="bundle", format=manifest.default)
    found = [Compared(f"the bundle ({manifest.default})", ours, path, last)]
    for told, kind in (("distilled", "prune"), ("pruned", "export")):
        context = context_before(run, recipe, kind)
        folder = place / told
        folder.mkdir()
        for name, file in plain_files(load_model(context.trained_student_folder()), folder).items():
            what = f"{told} student, {name}"
            found.append(Compared(what, PlainSession(file, what, threads), file, context))
    return found


def comparison(
    run: RunFolder, recipe: Recipe, threads: int, repeats: int
) -> tuple[str, dict[str, float]]:
    """The table of the plain way, and how much faster the bundle is than each student's int8."""
    with tempfile.TemporaryDirectory() as scratch:
        compared = models(run, recipe, Path(scratch), threads)
        workspace = compared[0].context.workspace
        lengths = workspace.tokenized(workspace.final_split).lengths.tolist()
        speed = measure(
            {one.what: one.predictor for one in compared},
            batch_sizes=[1, 32],
            lengths=["real"],
            threads=threads,
            repeats=repeats,
            vocab_size=min(len(one.context.workspace.tokenizer) for one in compared),
            seed=0,
            example_lengths=lengths,
        )
        metric = workspace.task.primary
        header = ["model", metric, "size MB", "p50 ms", "p95 ms", "ex/s b32", "bundle faster"]
        base = speed[compared[0].what]["latency_ms"]["b1_real"]["p50"]
        rows = [_row(one, speed[one.what], base) for one in compared]
        plainly = {
            one.what.partition(" ")[0]: speed[one.what]["latency_ms"]["b1_real"]["p50"] / base
            for one in compared
            if one.what.endswith("int8")
        }
    rule = ["---", *["---:"] * (len(header) - 1)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *rows])
    return table, plainly


def _row(one: Compared, speed: dict[str, Any], base: float) -> list[str]:
    workspace = one.context.workspace
    found = score(one.predictor, workspace.tokenized(workspace.final_split), workspace.task)
    single = speed["latency_ms"]["b1_real"]
    return [
        one.what,
        numbers.score(found[workspace.task.primary]),
        numbers.megabytes(bytes_of(one.path)),
        numbers.milliseconds(single["p50"]),
        numbers.milliseconds(single["p95"]),
        numbers.rate(speed["throughput"]["b32_real"]),
        numbers.times(single["p50"] / base),
    ]


def command(recipe: Recipe, run: RunFolder) -> str:
    """How the run was made, with the names of its files alone."""
    name = next((n for n in names() if load_recipe(n).name == recipe.name), recipe.name)
    given = load_recipe(name)
    words = [f"distill run {name}", f"data.source={recipe.data.source}"]
    for key in ("train", "validation", "test"):
        value = getattr(recipe.data, key)
        if value is not None and value != getattr(given.data, key):
            words.append(f"data.{key}={Path(str(value)).name}")
    if recipe.teacher.model != given.teacher.model:
        words.append("teacher.model=TEACHER teacher.finetune=null")
    if recipe.baseline != given.baseline:
        words.append("baseline=false")
    return " ".join([*words, f"--run-dir runs/{run.path.name}"])


def aims(results: Results, folder: Path, plainly: dict[str, float]) -> str:
    """What was aimed at, and what came out."""
    final = results.final
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    faster = final.against.latency if final.against else None
    rows = [
        ("times faster than BERT-base in PyTorch eager", f"{FASTER:.0f}", numbers.times(faster),
         (faster or 0.0) >= FASTER),
        ("the whole bundle, tokenizer included", f"under {BYTES / 1e6:.0f} MB",
         f"{numbers.megabytes(held)} MB (model {numbers.megabytes(final.bytes)} MB)", held < BYTES),
        ("of the teacher's score", numbers.percent(KEPT), numbers.percent(final.retention),
         (final.retention or 0.0) >= KEPT),
        *(
            (f"times faster than the {student} student, plainly exported and quantised",
             f"{PLAINLY:.0f}", numbers.times(times), times >= PLAINLY)
            for student, times in plainly.items()
        ),
    ]  # fmt: skip
    lines = ["| aim | wanted | reached | |", "|---|---:|---:|---|"]
    lines += [
        f"| {what} | {wanted} | {reached} | {'met' if met else 'missed'} |"
        for what, wanted, reached, met in rows
    ]
    return "\n".join(lines)


def section(run: RunFolder, threads: int, repeats: int) -> str:
    """Everything of one run."""
    recipe, results = run.read_recipe(), read_results(run.path)
    table, plainly = comparison(run, recipe, threads, repeats)
    parts = [
        f"## {recipe.description or recipe.name}",
        f"```\n{command(recipe, run)}\n```",
        markdown_ledger(results).rstrip(),
        aims(results, run.bundle, plainly),
        f"The plain way, batch 1 at real lengths, {threads} threads, in one process in turns:",
        table,
    ]
    return "\n\n".join(parts)


HEAD = """# Ledgers

Written by `benchmarks/ledger.py` from finished runs: what each step from the teacher to the bundle
cost and gained, at the lengths of the task's examples. The first 1x is the teacher in PyTorch, the
second a model of BERT-base's shape, both in eager mode and all on the same threads.
`prediction` is the distilled student; `words` (vocabulary) and `units` (heads, neurons) are pruned.
`TEACHER` in a command is `01-teacher/model` of a finished run, so that it was not fine-tuned twice.
Ledger and plain way are two measurements: compare milliseconds within each, not across them.
"""


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", type=Path, nargs="+", help="finished run folders")
    parser.add_argument("--threads", type=int, default=physical_cores())
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("docs/ledger.md"))
    options = parser.parse_args()
    parts = [section(RunFolder(run), options.threads, options.repeats) for run in options.runs]
    options.out.write_text("\n".join([HEAD, "\n\n".join(parts), ""]), "utf-8")
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
