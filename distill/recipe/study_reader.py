"""A study file: its names checked, changes laid over its recipe, places kept for errors."""

from __future__ import annotations

import copy
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from distill.recipe.checks import check
from distill.recipe.inputs import missing_inputs
from distill.recipe.issues import translate
from distill.recipe.overrides import (
    apply_overrides,
    apply_setting,
    merge,
    read_tree,
    recipe_file,
)
from distill.recipe.plan import Trial, plan_stages
from distill.recipe.schema import Candidate, Recipe, Study, StudyTask, StudyVariant
from distill.recipe.search_space import Values, misplaced, probes, settings_of, title_of
from distill.recipe.yaml_lines import Loc, Value, one_line
from distill.system.errors import Issue, RecipeError

#: What a folder on the command line begins with.
FOLDERS = "folders."
#: A folder that the file leaves open.
_OPEN = re.compile(r"\$\{([^{}]*)\}")


@dataclass
class LoadedStudy:
    """A study and everything that it runs."""

    config: Study  # what the file says, and the variants that a search has added
    # what is run: first the first seed of every task, then the second, ...; then those of the
    # search
    trials: list[Trial]
    skipped: dict[str, str]  # variants that are not run, and why
    folders: list[str]  # names of the folders that were given
    reader: StudyReader  # reads what a search adds
    likely: list[Trial]  # trials such as a search will make, none of which is run
    # what a search by halving knew of a variant before
    candidates: dict[str, Candidate] = field(default_factory=dict)

    def add_variant(
        self,
        name: str,
        values: Values,
        *,
        title: str | None = None,
        changed: Callable[[Trial], Trial] = lambda trial: trial,
    ) -> list[Trial]:
        """Add a variant of the search; its trials, one for each task and seed.

        Args:
            name: what it is called.
            values: see :mod:`distill.recipe.search_space`.
            title: what it is called in the table; left out, by its name and settings.
            changed: what becomes of each trial's recipe.

        Raises:
            RecipeError: the settings do not go together.
        """
        variant, made, issues = self.reader.searched(name, values)
        if issues:
            raise RecipeError(issues)
        if title is not None:
            variant = variant.model_copy(update={"title": title})
        variants = {**self.config.variants, name: variant}
        self.config = self.config.model_copy(update={"variants": variants})
        trials = [changed(trial) for trial in made]
        self.trials.extend(trials)
        return trials


@dataclass(frozen=True)
class _Change:
    """How a variant changes the recipe, as it is written; and the stage that it is scored after."""

    part: Value
    stage: str | None
    stage_loc: Loc


@dataclass
class StudyReader:
    """One reading of a study; see :func:`~distill.recipe.study.load_study`."""

    path: Path
    tree: Value
    config: Study
    folders: Mapping[str, str]
    overrides: Sequence[str]
    check_files: bool
    base: Value = field(init=False)

    def __post_init__(self) -> None:
        tasks = self.config.tasks or {"": StudyTask()}
        variants = self.config.variants or ({} if self.config.search else {"": StudyVariant()})
        self.config = self.config.model_copy(update={"tasks": tasks, "variants": variants})
        given = self.folders.items()
        self.folders = {name: str(Path(path).expanduser().resolve()) for name, path in given}

    def issues(self) -> Iterator[Issue]:
        """Names that stand for nothing, in the file and on the command line."""
        config = self.config
        if config.variants and config.reference not in config.variants:
            yield self.tree.issue(("compare_to",), _unknown(config.reference, config.variants))
        for name, variant in config.variants.items():
            for index, task in enumerate(variant.tasks or []):
                if task not in config.tasks:
                    at: Loc = ("variants", name, "tasks", index)
                    yield self.tree.issue(at, _unknown(task, config.tasks))
        for part, names in (("tasks", config.tasks), ("variants", config.variants)):
            for name in names:
                for loc, folder in self._needs((part, name)):
                    if folder not in config.folders:
                        message = f"'${{{one_line(folder)}}}': {_unknown(folder, config.folders)}"
                        yield self.tree.issue(loc, message)
                    elif folder not in self.folders and part == "tasks":
                        yield self.tree.issue(loc, self._not_given(folder))
        for folder, path in self.folders.items():
            key = f"{FOLDERS}{one_line(folder)}"
            if folder not in config.folders:
                yield Issue(None, None, key, _unknown(folder, config.folders))
            elif not Path(path).is_dir():
                yield Issue(None, None, key, f"no such folder: {one_line(path, 200)}")
        for at, message in misplaced(config.search) if config.search is not None else ():
            yield self.tree.issue(("search", *at), message)

    def load(self) -> LoadedStudy:
        """Every trial.

        Raises:
            RecipeError: recipes that cannot be, with the trials that they are of.
        """
        config = self.config
        self.base = read_tree(self._recipe())
        skipped = {
            name: self._not_given(missing[0])
            for name in config.variants
            if (missing := [f for _, f in self._needs(("variants", name)) if f not in self.folders])
        }
        found: dict[Issue, list[str]] = defaultdict(list)
        rounds: dict[int, list[Trial]] = defaultdict(list)
        for task in config.tasks:
            for variant, about in config.variants.items():
                if variant in skipped or task not in (about.tasks or config.tasks):
                    continue
                made = self._trials(variant, task, self._written(variant))
                for number, one in enumerate(made):
                    if isinstance(one, Trial):
                        rounds[number].append(one)
                    else:
                        found[one].append(" on ".join(part for part in (variant, task) if part))
        likely: list[Trial] = []
        for values in probes(config.search) if config.search is not None else ():
            _, probed, issues = self.searched("trial", values)
            likely += probed
            for issue in issues:
                found[issue].append("")
        if found:
            raise RecipeError([_in_trials(issue, names) for issue, names in found.items()])
        trials = [trial for number in sorted(rounds) for trial in rounds[number]]
        return LoadedStudy(config, trials, skipped, list(self.folders), self, likely)

    def searched(self, name: str, values: Values) -> tuple[StudyVariant, list[Trial], list[Issue]]:
        """A variant of the search, and its trials or what is wrong with their recipes."""
        search = self.config.search
        if search is None:
            raise RecipeError([self.tree.issue((), "there is no search")])
        tree = self.tree.nearest(("search",))
        settings = settings_of(search, tree, values)
        change = _Change(
            Value({"set": Value(dict(settings), tree.place)}, tree.place),
            search.stage,
            ("search", "stage"),
        )
        made = [one for task in self.config.tasks for one in self._trials(name, task, change)]
        variant = StudyVariant(
            set={key: value.plain() for key, value in settings.items()},
            title=f"{name}: {title_of(settings)}",
            stage=search.stage,
        )
        issues = list(dict.fromkeys(one for one in made if isinstance(one, Issue)))
        if search.limits and any(isinstance(one, Trial) and not one.evaluates for one in made):
            message = "limits are measured by the evaluation: search.stage: its name"
            issues.append(self.tree.issue(("search", "limits"), message))
        return variant, [one for one in made if isinstance(one, Trial)], issues

    def _written(self, variant: str) -> _Change:
        """A variant of the file."""
        loc: Loc = ("variants", variant)
        return _Change(self._part(loc), self.config.variants[variant].stage, (*loc, "stage"))

    def _recipe(self) -> Path:
        path = recipe_file(self.path, self.config.recipe)
        if not path.is_file():
            message = f"no such file, and no recipe of this name: {one_line(str(path), 200)}"
            raise self.tree.error("recipe", message)
        return path

    def _trials(self, variant: str, task: str, change: _Change) -> list[Trial | Issue]:
        """A variant on a task: a trial for each seed, or what is wrong with its recipe."""
        tree, issues = self._changed(copy.deepcopy(self.base), self._part(("tasks", task)))
        issues += apply_overrides(tree, self.overrides)
        tree, more = self._changed(tree, change.part)
        issues += more
        if task or variant:
            name = "-".join(part for part in (self.config.name, task, variant) if part)
            issues += apply_setting(tree, "name", Value(name, change.part.place))
        try:
            recipe = Recipe.model_validate(tree.plain())
        except ValidationError as error:
            return [*issues, *translate(error, tree)]
        found = [*check(recipe)]
        if self.check_files:
            found += missing_inputs(recipe)
        if recipe.task.learns_text:
            loc: Loc = ("task", "kind")
            found.append((loc, "a study compares scores, and unlabelled text has none"))
        issues += [tree.issue(loc, message) for loc, message in found]
        stage = self._scored(recipe, change)
        if issues or isinstance(stage, Issue):
            return [*issues, *([stage] if isinstance(stage, Issue) else [])]
        return [
            Trial(variant, task, seed, recipe.with_seed(seed), stage)
            for seed in self._seeds(recipe, task)
        ]

    def _seeds(self, recipe: Recipe, task: str) -> list[int]:
        own = recipe.seeds or [recipe.seed]
        if any(o.partition("=")[0] in ("seed", "seeds") for o in self.overrides):
            return own
        return self.config.tasks[task].seeds or self.config.seeds or own

    def _changed(self, tree: Value, part: Value) -> tuple[Value, list[Issue]]:
        """A recipe with a task's or a variant's changes laid over it."""
        part = copy.deepcopy(part)
        merged, settings = part.child("merge"), part.child("set")
        if merged is not None:
            tree = merge(tree, self._filled(merged))
        issues: list[Issue] = []
        if settings is not None and isinstance(settings.content, dict):
            for key, value in settings.content.items():
                issues += apply_setting(tree, key, self._filled(value))
        return tree, issues

    def _needs(self, loc: Loc) -> Iterator[tuple[Loc, str]]:
        """The folders that are named below a place of the file."""
        for key in ("merge", "set"):
            value = self._part(loc).child(key)
            if value is not None:
                for at, text in value.texts((*loc, key)):
                    yield from ((at, name) for name in _OPEN.findall(text))

    def _filled(self, value: Value) -> Value:
        """A value with the folders in the place of their names."""
        return value.mapped(
            lambda content: (
                _OPEN.sub(lambda match: self.folders[match[1]], content)
                if isinstance(content, str)
                else content
            )
        )

    def _part(self, loc: Loc) -> Value:
        """A task or a variant of the file; an empty one where the file has none."""
        return self.tree.nearest(loc) if loc[-1] else Value({}, self.tree.place)

    def _scored(self, recipe: Recipe, change: _Change) -> str | Issue:
        stages, wanted = plan_stages(recipe), change.stage
        trained = [s.name for s in stages if s.kind in ("teacher", "baseline") or s.makes_student]
        if wanted is None:
            return trained[-1]
        known = [*trained, *(s.name for s in stages if s.kind == "evaluate")]
        if wanted in known:
            return wanted
        return self.tree.issue(change.stage_loc, _unknown(wanted, known))

    def _not_given(self, folder: str) -> str:
        what = self.config.folders[folder]
        return f"the folder '{folder}' is not given: {FOLDERS}{folder}=DIR ({one_line(what, 200)})"


def _unknown(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    there = f"there are: {', '.join(known)}" if known else "none is declared"
    return f"'{one_line(name)}' is not known; {there}"


def _in_trials(issue: Issue, trials: list[str]) -> Issue:
    trials = list(dict.fromkeys(trials))
    rest = f" and {len(trials) - 1} more" if len(trials) > 1 else ""
    where = f" (in {trials[0]}{rest})" if trials[0] else ""
    return Issue(issue.path, issue.line, issue.where, f"{issue.message}{where}")
