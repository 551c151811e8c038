"""A study read and turned into trials: one checked recipe for each variant, task and seed.

A trial's recipe is the study's recipe, with the task's changes over it, the command line's over
those, the variant's over those, and the seed last. So a setting on the command line reaches every
trial, and a variant stays what it is. A recipe with ``seeds`` is a study of one variant.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from distill.recipe import catalog
from distill.recipe.issues import translate
from distill.recipe.loader import read_recipe
from distill.recipe.schema import EvaluateStage, Study, StudyVariant
from distill.recipe.study_reader import FOLDERS, LoadedStudy, StudyReader
from distill.recipe.yaml_lines import Value, read
from distill.system.errors import Issue, RecipeError, quoted

__all__ = ["LoadedStudy", "is_study", "load_study"]


def is_study(source: str | Path) -> bool:
    """Whether a name or a path is a study file's, and no recipe's.

    Raises:
        RecipeError: there is none of that name, or it cannot be read.
    """
    return read(catalog.find(source)).child("study") is not None


def load_study(source: str | Path, *overrides: str, check_files: bool = False) -> LoadedStudy:
    """Read a study file, or a recipe with ``seeds``, and make every trial's recipe.

    Args:
        source: the name of a built-in study or recipe, or a path.
        overrides: dotted settings of every trial; ``folders.NAME=DIR`` gives a folder that the
            file leaves open. A variant that needs one that is not given is skipped. ``seed`` and
            ``seeds`` stand in the place of the file's.
        check_files: whether the files and folders that the trials name have to be there.

    Raises:
        RecipeError: every error at once, of the file, of its recipe and of what it makes of it.

    Example:
        >>> study = load_study("quickstart", "seeds=[1,2,3]")
        >>> [trial.folder for trial in study.trials]
        ['trials/seed-1', 'trials/seed-2', 'trials/seed-3']
    """
    path = catalog.find(source)
    tree = read(path)
    folders = dict(o[len(FOLDERS) :].split("=", 1) for o in overrides if _gives_folder(o))
    settings = [o for o in overrides if not _gives_folder(o)]
    if tree.child("study") is None:
        config = _of_recipe(source, path, settings)
        tree = Value({}, tree.place)
    else:
        try:
            config = Study.model_validate(tree.plain())
        except ValidationError as error:
            raise RecipeError(translate(error, tree, Study)) from None
    reader = StudyReader(path, tree, config, folders, settings, check_files=check_files)
    if issues := [*reader.issues()]:
        raise RecipeError(issues)
    return reader.load()


def _gives_folder(override: str) -> bool:
    return override.startswith(FOLDERS) and "=" in override


def _of_recipe(source: str | Path, path: Path, overrides: Sequence[str]) -> Study:
    """The study that a recipe with several seeds is: one variant, run to its evaluation."""
    recipe, tree = read_recipe(path, *overrides)
    if recipe.seeds is None:
        message = (
            "one recipe with one seed is no study: give seeds=[1,2,3], or a study file "
            f"(docs/study.md), or run it once: distill run {quoted(source)}"
        )
        raise RecipeError([Issue(path, None, "", message)])
    last = recipe.stages[-1]
    if not isinstance(last, EvaluateStage) and not recipe.task.learns_text:
        message = "several seeds are compared by what the evaluation measures; add {kind: evaluate}"
        raise tree.error("seeds", message)
    config = Study(
        study=1, name=recipe.name, description=recipe.description, recipe=str(path.resolve())
    )
    return config.model_copy(update={"variants": {"": StudyVariant(stage=last.name)}})
