from collections.abc import Callable
from pathlib import Path

import pytest

from distill.recipe.loader import load_recipe, resolved_yaml
from distill.system.errors import RecipeError

#: A small recipe that is right; tests change single lines of it.
RECIPE = """\
recipe: 1
name: small
task: {kind: classification, labels: [no, yes]}
data:
  source: builtin
  path: docstrings
teacher:
  model: minilm-l6
  finetune: {epochs: 1, lr: 5e-5}
student: {size: 3x384}
stages:
  - kind: distill
    name: intermediate
    objectives: [{kind: attention}, {kind: hidden, weight: 2}]
  - kind: distill
    name: prediction
    objectives: [{kind: logits}]
  - {kind: export}
  - {kind: evaluate}
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path):
    """Write the small recipe with replacements (old, new), or other text, to a file."""

    def put(*changes: tuple[str, str], text: str = RECIPE, name: str = "small.yaml") -> Path:
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    return put


@pytest.fixture
def issues(tmp_path):
    """The lines that loading a recipe is refused with, without the temporary folder's name."""

    def get(path: Path, *overrides: str) -> list[str]:
        with pytest.raises(RecipeError) as caught:
            load_recipe(path, *overrides)
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return get


@pytest.fixture
def rewritten(tmp_path):
    """A recipe written with every default, as in a run folder, and read again."""

    def again(recipe):
        path = tmp_path / "again.yaml"
        path.write_text(resolved_yaml(recipe), "utf-8")
        return load_recipe(path)

    return again
