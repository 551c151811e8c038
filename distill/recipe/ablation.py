"""An ablation file read and turned into cells: one checked recipe for a variant, task and seed.

A cell's recipe is the ablation's recipe, with the task's changes over it, the command line's over
those, the variant's over those, and the seed last. So a setting on the command line reaches every
cell, and a variant stays what it is.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from distill.errors import Fault, RecipeError
from distill.recipe import catalog
from distill.recipe.checks import check
from distill.recipe.faults import fault_at, translate
from distill.recipe.inputs import missing_inputs
from distill.recipe.merge import merge, read_tree
from distill.recipe.overrides import apply_overrides, apply_setting, give_way
from distill.recipe.placeholders import filled, placeholders
from distill.recipe.plan import PlannedStage, plan_stages
from distill.recipe.schema import Ablation, Recipe, TextTask, ablation_schema
from distill.recipe.yaml_lines import Loc, Value, one_line, read


@dataclass(frozen=True)
class Cell:
    """One recipe of an ablation.

    Args:
        variant: the row.
        task: the column.
        seed: the recipe's seed.
        recipe: what is run.
        stage: name of the stage whose score counts, and after which the cell stops.
    """

    variant: str
    task: str
    seed: int
    recipe: Recipe
    stage: str

    @property
    def folder(self) -> str:
        """Where the cell's run lies in the ablation's folder."""
        return f"cells/{self.task}/seed-{self.seed}/{self.variant}"

    def planned(self) -> list[PlannedStage]:
        """The stages that are done for the score."""
        stages = plan_stages(self.recipe)
        last = next(n for n, stage in enumerate(stages, 1) if stage.name == self.stage)
        return stages[:last]


@dataclass(frozen=True)
class LoadedAblation:
    """An ablation and everything that it runs.

    Args:
        config: what the file says.
        cells: what is run: first the first seed of every task, then the second, ...
        skipped: variants that are not run, and why.
        folders: names of the folders that were given.
    """

    config: Ablation
    cells: list[Cell]
    skipped: dict[str, str]
    folders: list[str]


def load_ablation(
    source: str | Path,
    *overrides: str,
    folders: Mapping[str, str] | None = None,
    look: bool = False,
) -> LoadedAblation:
    """Read an ablation file and make every cell's recipe.

    Args:
        source: the name of an ablation that comes along, or a path.
        overrides: dotted settings of every cell.
        folders: what ``${NAME}`` stands for. A variant that needs one that is not given is
            skipped.
        look: whether the files and folders that the cells name have to be there.

    Raises:
        RecipeError: every fault at once, of the file, of its recipe and of what it makes of it.
    """
    path = catalog.find_ablation(source)
    tree = read(path)
    if tree.child("ablation") is None and tree.child("stages") is not None:
        message = f"a recipe and no ablation (that begins with `ablation: 1`): distill run {path}"
        raise RecipeError([Fault(path, None, "", message)])
    try:
        config = Ablation.model_validate(tree.plain())
    except ValidationError as error:
        raise RecipeError(translate(error, tree, ablation_schema())) from None
    reader = _Reader(path, tree, config, dict(folders or {}), overrides, look=look)
    faults = [*reader.faults()]
    if faults:
        raise RecipeError(faults)
    return reader.load()


class _Reader:
    """One reading of an ablation file."""

    def __init__(
        self,
        path: Path,
        tree: Value,
        config: Ablation,
        folders: dict[str, str],
        overrides: Sequence[str],
        *,
        look: bool,
    ) -> None:
        self.path, self.tree, self.config = path, tree, config
        self.folders, self.overrides, self.look = folders, overrides, look

    def faults(self) -> Iterator[Fault]:
        """Names that stand for nothing, in the file and on the command line."""
        config = self.config
        if config.reference not in config.variants:
            yield self._fault(("compare_to",), _unknown(config.reference, config.variants))
        for name, variant in config.variants.items():
            for index, task in enumerate(variant.tasks or []):
                if task not in config.tasks:
                    at: Loc = ("variants", name, "tasks", index)
                    yield self._fault(at, _unknown(task, config.tasks))
        for part, names in (("tasks", config.tasks), ("variants", config.variants)):
            for name in names:
                for loc, folder in self._needs((part, name)):
                    if folder not in config.folders:
                        message = f"'${{{one_line(folder)}}}': {_unknown(folder, config.folders)}"
                        yield self._fault(loc, message)
                    elif folder not in self.folders and part == "tasks":
                        yield self._fault(loc, self._not_given(folder))
        for folder in self.folders:
            if folder not in config.folders:
                message = _unknown(folder, config.folders)
                yield Fault(None, None, f"--folder {one_line(folder)}", message)

    def load(self) -> LoadedAblation:
        """Every cell.

        Raises:
            RecipeError: recipes that cannot be, with the cells that they are of.
        """
        config = self.config
        base = read_tree(self._recipe())
        skipped = {
            name: self._not_given(missing[0])
            for name in config.variants
            if (missing := [f for _, f in self._needs(("variants", name)) if f not in self.folders])
        }
        cells: dict[tuple[str, str, int], Cell] = {}
        found: dict[Fault, list[str]] = defaultdict(list)
        for variant, task, seed in self._combinations():
            if variant in skipped:
                continue
            made = self._cell(base, variant, task, seed)
            if isinstance(made, Cell):
                cells[variant, task, made.seed] = made
            else:
                for fault in made:
                    found[fault].append(f"{variant} on {task}")
        if found:
            raise RecipeError([_in_cells(fault, names) for fault, names in found.items()])
        return LoadedAblation(config, list(cells.values()), skipped, list(self.folders))

    def _recipe(self) -> Path:
        recipe = self.config.recipe
        if Path(recipe).suffix not in (".yaml", ".yml") and recipe in catalog.names():
            return catalog.find(recipe)
        path = self.path.parent / Path(recipe).expanduser()
        if not path.is_file():
            message = f"no such file, and no recipe of this name: {one_line(str(path), 200)}"
            raise RecipeError([self._fault(("recipe",), message)])
        return path

    def _combinations(self) -> Iterator[tuple[str, str, int | None]]:
        tasks = self.config.tasks
        most = max(len(task.seeds or [0]) for task in tasks.values())
        for number in range(most):
            for name, task in tasks.items():
                seeds: Sequence[int | None] = task.seeds or [None]
                for variant, config in self.config.variants.items():
                    if number < len(seeds) and name in (config.tasks or tasks):
                        yield variant, name, seeds[number]

    def _cell(self, base: Value, variant: str, task: str, seed: int | None) -> Cell | list[Fault]:
        tree = copy.deepcopy(base)
        place = self.tree.nearest(("variants", variant)).place
        tree, faults = self._changed(tree, ("tasks", task))
        faults += apply_overrides(tree, self.overrides)
        tree, more = self._changed(tree, ("variants", variant))
        faults += more
        if seed is not None:
            give_way(tree, {"seed"})
        for key, value in (("name", f"{self.config.name}-{task}-{variant}"), ("seed", seed)):
            if value is not None:
                faults += apply_setting(tree, key, Value(value, place))
        try:
            recipe = Recipe.model_validate(tree.plain())
        except ValidationError as error:
            return faults + translate(error, tree)
        faults += [fault_at(tree, loc, message) for loc, message in check(recipe)]
        if self.look:
            faults += [fault_at(tree, loc, message) for loc, message in missing_inputs(recipe)]
        if recipe.seeds is not None:
            message = "an ablation has its seeds task by task: tasks.NAME.seeds in its own file"
            faults.append(fault_at(tree, ("seeds",), message))
        if isinstance(recipe.task, TextTask):
            message = "an ablation compares scores, and unlabelled text has none"
            faults.append(fault_at(tree, ("task", "kind"), message))
        stage = self._scored(recipe, variant)
        if isinstance(stage, Fault):
            faults.append(stage)
        if faults or isinstance(stage, Fault):
            return faults
        return Cell(variant, task, recipe.seed, recipe, stage)

    def _changed(self, tree: Value, loc: Loc) -> tuple[Value, list[Fault]]:
        """A recipe with a task's or a variant's changes laid over it."""
        part = copy.deepcopy(self.tree.nearest(loc))
        merged, settings = part.child("merge"), part.child("set")
        if merged is not None:
            tree = merge(tree, filled(merged, self.folders))
        faults: list[Fault] = []
        if settings is not None and isinstance(settings.content, dict):
            for key, value in settings.content.items():
                faults += apply_setting(tree, key, filled(value, self.folders))
        return tree, faults

    def _needs(self, loc: Loc) -> Iterator[tuple[Loc, str]]:
        """The folders that are named below a place of the file."""
        for key in ("merge", "set"):
            value = self.tree.nearest(loc).child(key)
            if value is not None:
                yield from placeholders((*loc, key), value)

    def _scored(self, recipe: Recipe, variant: str) -> str | Fault:
        stages = plan_stages(recipe)
        wanted = self.config.variants[variant].stage
        trained = [s.name for s in stages if s.kind in ("teacher", "baseline") or s.makes_student]
        if wanted is None:
            return trained[-1]
        if wanted in trained:
            return wanted
        return self._fault(("variants", variant, "stage"), _unknown(wanted, trained))

    def _not_given(self, folder: str) -> str:
        what = " ".join(self.config.folders[folder].split())
        return f"the folder '{folder}' is not given: --folder {folder}=DIR ({what})"

    def _fault(self, loc: Loc, message: str) -> Fault:
        return fault_at(self.tree, loc, message)


def _unknown(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    there = f"there are: {', '.join(known)}" if known else "none is declared"
    return f"'{one_line(name)}' is not known; {there}"


def _in_cells(fault: Fault, cells: list[str]) -> Fault:
    cells = list(dict.fromkeys(cells))
    rest = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
    return Fault(fault.path, fault.line, fault.where, f"{fault.message} (in {cells[0]}{rest})")
