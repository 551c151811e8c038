"""What `distill fit-budget` finds, against fixed shapes trained by the same recipe.

    OMP_NUM_THREADS=1 python benchmarks/fit_budget.py sst2 --latency-ms 0.5,1 \
      --out docs/fit-budget.md --run-dir runs/fit-budget data.limit_train=4000 ...

One study for all budgets (a ladder): the fixed shapes are trained in full as its variants, then the
search runs; all share one teacher. Writes Markdown: for each budget the model found, with target
and measured latency, beside every fixed shape that keeps the budget; and how long the search took
against the recipe as it is. Run it again to go on after a stop. Scores that choose are those on the
validation examples; the table has the test scores too, where there are test examples.

    OMP_NUM_THREADS=1 python benchmarks/fit_budget.py quickstart --trials-per-hour --trials 4 \
      --latency-ms 1 --out docs/trials.md --run-dir runs/trials data.limit_train=600

The search against the same candidates each trained by itself with `distill run`, in hours of the
processor: what shared stages and short trainings save. `--run-dir` must be new.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from distill.evaluation.cells import latency_cell
from distill.evaluation.limits import excess
from distill.evaluation.results import read_results
from distill.evaluation.study import StudyResults, TrialResult, read_study
from distill.recipe.choices import Choices
from distill.recipe.loader import load_recipe
from distill.recipe.sizes import resolve_size
from distill.report.numbers import seconds
from distill.system import atomic
from distill.system.errors import RecipeError

SHAPES = "2x128,3x384,4x312,tinybert4,recipe"


def trainable(recipe: str, overrides: list[str], size: str) -> str | None:
    """The size, or nearly: with as many heads as the teacher where attention needs it."""
    choices = Choices(recipe, overrides)
    heads, own = choices.teacher.heads, resolve_size(choices.student.size)
    if size == "recipe":
        return size
    shape = resolve_size(size)
    if (shape.layers, shape.hidden) == (own.layers, own.hidden):
        return None  # it would take over the stages of the recipe as it is, whose time counts
    near = f"{shape.layers}x{shape.hidden - shape.hidden % heads}/{heads}"
    for one in (size, near):
        try:
            load_recipe(recipe, *overrides, f"student.size={one}")
        except RecipeError:
            continue
        return one
    return None


def table(folder: Path, results: StudyResults) -> list[str]:
    """Each budget's models as Markdown: what was found, then the fixed shapes that keep it."""
    titles = {row.name: row for row in results.variants}
    whole = results.measured()
    lines = ["| budget | model | validation | test | measured ms | size MB | trained in |"]
    lines.append("|---|---|---|---|---|---|---|")
    for target in results.targets:
        mine = [
            one
            for one in whole
            if excess(target.limits, read_results(folder / one.folder).final) == 0
        ]
        found = [one for one in mine if target.chosen and one.folder == target.chosen.folder]
        fixed = [one for one in mine if not titles[one.variant].searched and one not in found]
        for one in [*found, *sorted(fixed, key=lambda t: t.validation or 0.0, reverse=True)]:
            title, ours = titles[one.variant].title, one in found
            name = f"**{title}**" if ours else title
            lines.append(line(folder, target.words() if ours else "", name, one))
        if not found:
            lines.append(f"| {target.words()} | nothing keeps it |" + " |" * 5)
    return lines


def line(folder: Path, budget: str, title: str, trial: TrialResult) -> str:
    """One model."""
    final = read_results(folder / trial.folder).final
    cell = latency_cell(set(final.latency_ms))
    latency = f"{final.latency_ms[cell].p50:.3f}" if cell else "-"
    test = f"{trial.score:.4f}" if trial.split == "test" and trial.score is not None else "-"
    score = "-" if trial.validation is None else f"{trial.validation:.4f}"
    cells = (budget, title, score, test, latency, f"{final.bytes / 1e6:.1f}")
    return f"| {' | '.join(cells)} | {seconds(trial.seconds)} |"


def clocked(words: Sequence[str]) -> tuple[float, float]:
    """Run a command; the seconds that it took, and those of the processor, all its processes'."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    start, before = time.monotonic(), used()
    code = subprocess.run([sys.executable, "-m", *words], check=False).returncode
    if code not in (0, 2):
        raise SystemExit(f"{' '.join(words)}: exit code {code}")
    return time.monotonic() - start, used() - before


def trials_per_hour(options: argparse.Namespace) -> list[str]:
    """The search and the same candidates one by one: what each took, as Markdown."""
    last = Choices(options.recipe, options.overrides).recipe.stages[-1].name
    settings = [*options.overrides, f"stages.{last}.lengths=[real]"]
    settings.append(f"stages.{last}.threads={options.threads}")
    study, alone = options.run_dir / "study", options.run_dir / "alone"
    limits = ["--latency-ms", options.latency_ms, "--trials", str(options.trials)]
    took = clocked(["distill", "fit-budget", options.recipe, *settings, *limits,
                    "--run-dir", str(study)])  # fmt: skip
    candidates = yaml.safe_load((study / "study.yaml").read_text("utf-8"))["search"]["candidates"]
    tried = {name: one["set"] for name, one in candidates.items() if not one.get("reserve")}
    found = []
    for name, changes in tried.items():
        words = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
        run = ["distill", "run", options.recipe, *settings, *words, "--run-dir", str(alone / name)]
        found.append(clocked(run))
    rows = {"one study": took, "each by itself": tuple(map(sum, zip(*found, strict=True)))}
    lines = ["| candidates | processor time | by the clock | trials per processor hour |"]
    lines.append("|---|---|---|---|")
    for how, (clock, processor) in rows.items():
        rate = 3600 * len(tried) / processor
        lines.append(
            f"| {len(tried)}, {how} | {seconds(processor)} | {seconds(clock)} | {rate:.1f} |"
        )
    return lines


def main() -> None:
    """Run the search and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*", help="settings of every trial")
    parser.add_argument("--latency-ms", default="0.5,1", help="budgets in ms, by commas")
    parser.add_argument("--shapes", default=SHAPES, help="fixed shapes, by commas")
    parser.add_argument("--trials", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--trials-per-hour", action="store_true", help="against single runs")
    parser.add_argument("--run-dir", type=Path, default=Path("runs/fit-budget"))
    parser.add_argument("--out", type=Path, default=Path("docs/fit-budget.md"))
    options = parser.parse_intermixed_args()
    if options.trials_per_hour:
        atomic.write_text(options.out, "\n".join([*trials_per_hour(options), ""]))
        print(f"{options.out}")
        return
    wanted = [trainable(options.recipe, options.overrides, s) for s in options.shapes.split(",")]
    shapes = list(dict.fromkeys(one for one in wanted if one is not None))
    words = ["distill", "fit-budget", options.recipe, *options.overrides]
    words += ["--ladder", options.latency_ms, "--length", "real", "--threads", str(options.threads)]
    words += ["--trials", str(options.trials), "--compare", ",".join(shapes)]
    words += ["--run-dir", str(options.run_dir)]
    code = subprocess.run([sys.executable, "-m", *words], check=False).returncode
    results = read_study(options.run_dir)
    if code not in (0, 2) or results is None:
        raise SystemExit(code or 1)
    searched = {row.name for row in results.variants if row.searched}
    search = sum(one.seconds for one in results.trials if one.variant in searched)
    full = [one.seconds for one in results.trials if one.variant == "fixed-recipe"]
    teacher = read_teacher(options.run_dir, results)
    text = [f"# Budgets: {results.description}", "", f"```\n{' '.join(words)}\n```", ""]
    text += [*table(options.run_dir, results), ""]
    text.append(f"The search took {seconds(search)} beside the teacher's {seconds(teacher)}.")
    if full:
        whole = full[0] + (0.0 if took_teacher(results, "fixed-recipe") else teacher)
        ratio = (search + teacher) / whole
        text.append(f"One full run of the recipe took {seconds(whole)}, teacher included: "
                    f"{ratio:.1f} times that.")  # fmt: skip
    text += ["", f"Measured on {results.machine.get('cpu', 'an unknown processor')}, "
             f"{options.threads} thread(s), batch 1, real lengths.", ""]  # fmt: skip
    atomic.write_text(options.out, "\n".join(text))
    print(f"{options.out}")


def took_teacher(results: StudyResults, variant: str) -> bool:
    """Whether a variant's trial trained the teacher that the others took over: the first did."""
    return bool(results.trials) and results.trials[0].variant == variant


def read_teacher(folder: Path, results: StudyResults) -> float:
    """Seconds that the teacher's training took."""
    import json

    for trial in results.trials:
        file = folder / trial.folder / "01-teacher" / "stage.json"
        if file.is_file():
            return float(json.loads(file.read_text("utf-8"))["seconds"])
    return 0.0


if __name__ == "__main__":
    main()
