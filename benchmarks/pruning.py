"""Pruning methods side by side, on the student of a finished run.

    python benchmarks/pruning.py RUN --train train.jsonl --validation dev.jsonl [--rows 6000]

For every method, budget of MACs and shape (layers of their own sizes, or all the same) the student
is pruned and scored on the validation examples, without training and after an epoch of recovery on
``--rows`` training examples. ``--methods fisher+none`` leaves the least-squares repair out, and
``l1+weights`` puts it behind another method. Prints a Markdown table; nothing in RUN is changed.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from transformers import PreTrainedModel

from distill.pruning.masks import layer_sizes
from distill.pruning.methods import AnyPrune
from distill.pruning.methods.taylor import TaylorPrune
from distill.recipe.loader import load_recipe
from distill.recipe.plan import PlannedStage, plan_stages
from distill.recipe.schema import Budget, PruneStage, TrainConfig
from distill.run_folder import RunFolder
from distill.stages.context import StageContext, Workspace
from distill.stages.distill import distil_logits
from distill.stages.prune import bench_of

COLUMNS = ["method", "budget", "shape"]


def prepare(options: argparse.Namespace, scratch: Path) -> StageContext:
    """A context behind the run's last distill stage, in a folder of its own."""
    run = RunFolder(options.run)
    overrides = [f"data.limit_train={options.rows}"]
    for name in ("train", "validation"):
        if getattr(options, name) is not None:
            overrides.append(f"data.{name}={getattr(options, name)}")
    recipe = load_recipe(run.recipe_file, *overrides)
    planned = plan_stages(recipe)
    last = max(stage.index for stage in planned if stage.kind == "distill")
    stages = planned[:last]
    for stage in (stages[0], stages[-1]):
        (scratch / stage.folder).symlink_to(run.stage(stage).resolve())
    stages.append(PlannedStage(last + 1, "prune", "prune", TaylorPrune(kind="prune")))
    recipe = recipe.model_copy(update={"track": type(recipe.track)(wandb=None)})
    return StageContext(RunFolder(scratch), stages[-1], stages, Workspace(recipe))


def config_of(method: str, budget: float, uniform: bool, rows: int) -> PruneStage:
    """The settings of one line of the table; ``fisher+none`` names a method and its repair."""
    name, _, repair = method.partition("+")
    settings: dict[str, Any] = {
        "kind": "prune",
        "method": name,
        "budget": Budget(macs=budget),
        "uniform": uniform,
        "reconstruct": repair or None,
    }
    if name == "fisher":
        settings["samples"] = min(2048, rows)
    config: PruneStage = TypeAdapter(AnyPrune).validate_python(settings)
    return config


def measure(
    context: StageContext, student: PreTrainedModel, config: PruneStage, lr: float
) -> list[str]:
    """One line of the table behind its first three columns."""
    start = time.monotonic()
    done = config.prune(student, bench_of(context, context.folder), 1.0)
    pruned, facts = done.model, done.facts
    seconds = time.monotonic() - start
    before = context.validation_score(pruned)
    heads, ffn = layer_sizes(pruned)
    part = Path(f"{config.method}-{time.monotonic_ns()}")
    recover = TrainConfig(epochs=1, lr=lr, batch_size=32, dropout=0.0)
    recovered, _ = distil_logits(context, pruned, recover, part=part)
    after = context.validation_score(recovered)
    return [
        f"{facts['budget']['reached']:.3f}",
        " ".join(map(str, heads)),
        " ".join(map(str, ffn)),
        f"{seconds:.0f}",
        f"{before:.4f}",
        f"{after:.4f}",
    ]


def main() -> None:
    """Print the table line by line, as it comes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run folder with a trained student")
    parser.add_argument("--train", help="training examples, in place of the recipe's")
    parser.add_argument("--validation", help="validation examples, in place of the recipe's")
    parser.add_argument("--rows", type=int, default=6000, help="training examples that are used")
    parser.add_argument("--methods", nargs="+", default=["fisher", "taylor", "l1"])
    parser.add_argument("--budgets", nargs="+", type=float, default=[0.7, 0.5, 0.3])
    parser.add_argument("--shapes", nargs="+", default=["uneven", "uniform"])
    parser.add_argument("--lr", type=float, default=2e-4, help="learning rate of the recovery")
    options = parser.parse_args()
    logging.getLogger("distill").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as scratch:
        context = prepare(options, Path(scratch))
        student = context.load_student()
        print(f"student: {context.validation_score(student):.4f}", flush=True)
        columns = [*COLUMNS, "MACs", "heads", "ffn", "seconds", "untrained", "recovered"]
        print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
        for budget in options.budgets:
            for method in options.methods:
                for shape in options.shapes:
                    config = config_of(method, budget, shape == "uniform", options.rows)
                    cells = measure(context, student, config, options.lr)
                    print(f"| {method} | {budget} | {shape} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
