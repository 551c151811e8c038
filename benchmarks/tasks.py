"""One recipe for each kind of task, and one table of all: docs/tasks.md.

    python benchmarks/tasks.py DATA --list
    python benchmarks/tasks.py DATA --runs runs/tasks
    python benchmarks/tasks.py DATA --runs runs/tasks --only trec6 stsb --table-only

DATA holds one folder for each data set, ``train.jsonl.gz`` and the like in it. Each run lies in a
folder of its own below ``--runs``: what is finished is not done again, what was stopped goes on.
The table is written anew after every run, from all that are finished. Settings behind ``--set``
(``--set data.limit_train=200``) go to every recipe; they make other runs, so give them another
``--runs``.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.evaluation.cells import latency_cell
from distill.evaluation.results import ModelRow, Results
from distill.recipe.catalog import names
from distill.recipe.loader import load_recipe
from distill.recipe.schema import Recipe
from distill.report import numbers
from distill.report.html import machine_facts
from distill.report.numbers import align
from distill.report.run_data import RunData, read_run
from distill.report.summary import notes
from distill.report.table import below, caption
from distill.run_folder import RunFolder
from distill.system.console import clock
from distill.system.errors import RecipeError, UserError


@dataclass(frozen=True)
class Case:
    """A recipe and what it is run on.

    Args:
        name: the run's folder and the table's row.
        recipe: the recipe's name.
        task: what is predicted, in a word or two.
        settings: overrides; ``DATA`` and ``RUNS`` stand for the two folders.
        before: commands that are needed first, each with the folder that it makes.
    """

    name: str
    recipe: str
    task: str
    settings: tuple[str, ...]
    before: tuple[tuple[str, str], ...] = ()

    def overrides(self, data: Path, runs: Path) -> list[str]:
        """The settings with the folders in their places."""
        return [filled(word, data, runs) for word in self.settings]

    @property
    def command(self) -> str:
        """How it is run, with the folders' names left open."""
        return shlex.join(["distill", "run", self.recipe, *self.settings, "--run-dir", self.run])

    @property
    def run(self) -> str:
        """Its run folder, with the place of all runs left open."""
        return f"RUNS/{self.name}"


def files(folder: str, validation: str | None = None, test: str | None = None) -> tuple[str, ...]:
    """The settings that name a data set's files."""
    found = ["data.source=files", f"data.train=DATA/{folder}/train.jsonl.gz"]
    found += [f"data.validation=DATA/{folder}/{validation}.jsonl.gz"] if validation else []
    found += [f"data.test=DATA/{folder}/{test}.jsonl.gz"] if test else []
    return tuple(found)


_GLUE = ("teacher.model=minilm-l6", "student.size=3x384")
_ZH = "DATA/chnsenticorp_zh/train.jsonl.gz"
CASES = [
    Case(
        "sst2",
        "sst2",
        "2 classes",
        (*files("glue_sst2", "dev"), *_GLUE, "data.limit_train=8000"),
    ),
    Case(
        "trec6",
        "trec6",
        "6 classes",
        (*files("trec6", test="test"), "data.limit_train=2500"),
    ),
    Case(
        "banking77",
        "banking77",
        "77 classes",
        (*files("banking77", test="test"), "data.limit_train=3000"),
    ),
    Case(
        "nli",
        "nli",
        "3 classes, pairs",
        (
            "data.train=DATA/nli_1k/mnli_matched.jsonl.gz",
            "data.test=DATA/nli_1k/mnli_mismatched.jsonl.gz",
            "data.more.snli=DATA/nli_1k/snli.jsonl.gz",
        ),
    ),
    Case(
        "chnsenticorp",
        "chnsenticorp",
        "2 classes, Chinese",
        (
            *files("chnsenticorp_zh", "dev", "test"),
            "teacher.model=RUNS/zh",
            "data.limit_train=1200",
        ),
        before=(
            (
                "distill blank RUNS/zh --size 4x256 --vocab DATA/vocab/bert-base-chinese-vocab.txt",
                "RUNS/zh",
            ),
        ),
    ),
    Case(
        "stsb",
        "stsb",
        "a number, pairs",
        (*files("glue_stsb", "dev", "test"), "data.limit_train=2000"),
    ),
    Case(
        "docstrings",
        "docstrings",
        "several labels",
        ("data.limit_train=2500",),
    ),
    Case(
        "ner",
        "ner",
        "named entities",
        (
            *files("wnut17", "dev", "test"),
            "data.columns={tokens: tokens, tags: tags}",
            "data.limit_train=2000",
        ),
    ),
    Case(
        "squad",
        "squad",
        "questions",
        (
            "data.train=DATA/squad_v1_dev/local_train.json.gz",
            "data.validation=DATA/squad_v1_dev/local_dev.json.gz",
            "data.limit_train=500",
            "data.limit_validation=200",
        ),
    ),
    Case(
        "stsb-vectors",
        "stsb-vectors",
        "vectors",
        (*files("glue_stsb", "dev", "test"), "data.limit_train=3000"),
    ),
    Case("ranking", "ranking", "candidates of a query", ()),
]


def filled(text: str, data: Path, runs: Path) -> str:
    """A text with the two folders in their places."""
    return text.replace("DATA/", f"{data}/").replace("RUNS/", f"{runs}/")


@dataclass(frozen=True)
class Bench:
    """Where data, runs and the table lie.

    Args:
        data: the folder of the data sets.
        runs: the folder of the runs.
        extra: settings of every recipe.
        note: a sentence for the page, of the machine or of what else ran on it.
    """

    data: Path
    runs: Path
    extra: tuple[str, ...] = ()
    note: str = ""

    def folder(self, case: Case) -> RunFolder:
        """A case's run folder."""
        return RunFolder(self.runs / case.name)

    def settings(self, case: Case) -> list[str]:
        """A case's settings."""
        return [*case.overrides(self.data, self.runs), *self.extra]

    def recipe(self, case: Case) -> Recipe:
        """What a case runs.

        Raises:
            RecipeError: the recipe is not there, or a setting does not fit it.
        """
        return load_recipe(case.recipe, *self.settings(case))

    def state(self, case: Case) -> str:
        """``done``, ``begun``, ``to do``, ``no such recipe``, or what is wrong with it."""
        if case.recipe not in names():
            return "no such recipe"
        try:
            recipe = self.recipe(case)
        except RecipeError as error:
            return str(error).splitlines()[0]
        folder = self.folder(case)
        if not folder.exists():
            return "to do"
        if folder.read_recipe() != recipe:
            return f"{folder.path} was run with other settings; name other --runs, or remove it"
        return "done" if folder.results.is_file() else "begun"

    def do(self, case: Case) -> bool:
        """Run or resume a case; whether it came to its end."""
        for command, made in case.before:
            folder = Path(filled(made, self.data, self.runs))
            words = shlex.split(filled(command, self.data, self.runs))[1:]
            if not folder.exists() and not _distill(words):
                return False
        folder = self.folder(case).path
        if self.folder(case).exists():
            return _distill(["resume", str(folder)])
        return _distill(["run", case.recipe, *self.settings(case), "--run-dir", str(folder)])


def _distill(words: Sequence[str]) -> bool:
    print(f"\n$ {shlex.join(['distill', *words])}", flush=True)
    return subprocess.run([sys.executable, "-m", "distill", *words], check=False).returncode == 0


def plan(bench: Bench, cases: Sequence[Case]) -> list[str]:
    """What stands where and about how long it takes, without loading a model."""
    rows = [["run", "recipe", "task", "state"]]
    for case in cases:
        rows.append([case.name, case.recipe, case.task, bench.state(case)])
    return align(rows, words=4)


def student(results: Results) -> ModelRow:
    """The last model in torch: what is exported."""
    return [row for row in results.models if row.format == "transformers"][-1]


HEADER = [
    "task", "run", "metric", "learned from", "scored", "linear", "teacher", "baseline", "student",
    "bundle", "kept", "MB", "ms", "minutes",
]  # fmt: skip


def row_of(case: Case, run: RunData) -> list[str]:
    """A finished run's line of the table."""
    results = run.results
    if results is None:
        raise UserError(f"{run.path}: no results")
    rows, final, teacher = run.data.get("rows", {}), results.final, results.one
    scores = [results.linear, teacher, results.baseline, student(results), final]
    cell = latency_cell(set(teacher.latency_ms) & set(final.latency_ms))
    times = [row.latency_ms[cell].p50 if cell else None for row in (teacher, final)]
    counts = [rows.get(split) for split in ("train", results.split)]
    seconds = sum(stage.seconds or 0.0 for stage in run.stages)
    return [
        case.task,
        case.name,
        results.metric,
        *("-" if count is None else f"{count:,}" for count in counts),
        *(scored(row) for row in scores),
        numbers.percent(final.retention),
        f"{numbers.megabytes(teacher.bytes)} to {numbers.megabytes(final.bytes)}",
        f"{numbers.milliseconds(times[0])} to {numbers.milliseconds(times[1])}",
        f"{seconds / 60:.1f}",
    ]


def scored(row: ModelRow | None) -> str:
    """A score with half the width of its 95 % interval."""
    if row is None:
        return "-"
    told = numbers.score(row.score)
    return told if row.interval is None else f"{told} {numbers.half_width(row.interval)}"


def page(bench: Bench, runs: Sequence[tuple[Case, RunData]]) -> str:
    """The generated page."""
    lines = ["# Every kind of task", ""]
    lines += [
        "Written by `benchmarks/tasks.py`; each line is one recipe, run once, on cuts that the"
    ]
    lines += [
        "commands name. *bundle* is the last exported model, *kept* its share of the teacher's"
    ]
    lines += [
        "score; *MB* and *ms* are from the teacher to the bundle, ms at batch size 1; *minutes* are"
    ]
    lines += [
        "of the whole run. *linear* needs no BERT (docs/results.md says what it is of each",
        "task). ± is half the 95 % interval over the scored examples, by the bootstrap.",
        *([bench.note] if bench.note else []),
        "",
    ]
    lines += [_line(HEADER), _line(["---"] * 5 + ["---:"] * 9)]
    lines += [_line(row_of(case, run)) for case, run in runs]
    lines += ["", "## Commands", "", "`DATA` holds the data sets' folders, `RUNS` the runs.", ""]
    for case, run in runs:
        results = run.results
        told = f": {'; '.join([caption(results), *below(results)])}" if results is not None else ""
        words = [*(command for command, _ in case.before), _with(case, bench.extra)]
        lines += [f"{case.name}{told}", "", "```", *words, "```", ""]
        found = notes(results) if results is not None else []
        lines += [*(f"- {note}" for note in found), *([""] if found else [])]
    if runs:
        results = runs[-1][1].results
        measured_on = runs[-1][1].machine if results is None else results.machine
        facts = (f"{name}: {value}" for name, value in machine_facts(measured_on))
        lines += ["## Machine", "", *(f"- {fact}" for fact in facts), ""]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _with(case: Case, extra: Sequence[str]) -> str:
    head, tail = case.command.split(" --run-dir ")
    return " --run-dir ".join([shlex.join([*shlex.split(head), *extra]), tail])


def finished(bench: Bench, cases: Sequence[Case]) -> list[tuple[Case, RunData]]:
    """The runs that have results."""
    found = [(case, bench.folder(case)) for case in cases]
    return [(case, read_run(run.path)) for case, run in found if run.results.is_file()]


def main() -> int:
    """Run what is left, or tell what is; how many failed."""
    options = _options()
    unknown = sorted(set(options.only or ()) - {case.name for case in CASES})
    if unknown:
        print(f"no run '{unknown[0]}'; there are: {', '.join(case.name for case in CASES)}")
        return 2
    cases = [case for case in CASES if not options.only or case.name in options.only]
    bench = Bench(options.data, options.runs, tuple(options.set), options.note)
    if options.list:
        print("\n".join(plan(bench, cases)))
        return 0
    failed = [] if options.table_only else _work(bench, cases, options.out)
    _write(bench, options.out)
    print("\n".join(plan(bench, cases)))
    for name in failed:
        print(f"{name}: failed; the same command goes on with it")
    return len(failed)


def _work(bench: Bench, cases: Sequence[Case], out: Path) -> list[str]:
    """Do what is left, one after another; a failure does not stop the rest."""
    failed = []
    start = time.monotonic()
    for number, case in enumerate(cases, start=1):
        state = bench.state(case)
        print(f"[{number}/{len(cases)}] {case.name}: {state} ({clock(time.monotonic() - start)})")
        if state not in ("to do", "begun"):
            failed += [case.name] if state not in ("done", "no such recipe") else []
            continue
        if not bench.do(case):
            failed.append(case.name)
        _write(bench, out)
    return failed


def _write(bench: Bench, out: Path) -> None:
    runs = finished(bench, CASES)
    if runs:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page(bench, runs), "utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="the folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/tasks"))
    parser.add_argument("--out", type=Path, default=Path("docs/tasks.md"))
    parser.add_argument("--only", nargs="+", help="these runs alone; the table has all")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--note", default="", help="a sentence for the page, of the machine")
    parser.add_argument("--list", action="store_true", help="tell what stands where; do nothing")
    parser.add_argument("--table-only", action="store_true", help="write the table; run nothing")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
