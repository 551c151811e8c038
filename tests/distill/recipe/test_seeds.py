"""``seeds`` in a recipe: what it may say, what it stands in the place of, and its issues."""

import json

import pytest

from distill.cli.main import main
from distill.recipe.loader import load_recipe, resolved, resolved_yaml
from distill.recipe.run_models import model_of_run
from distill.system.errors import ModelError, RecipeError

RECIPE = """\
recipe: 1
name: mine
{seeds}
task: {{kind: classification, labels: [a, b]}}
data: {{source: files, train: a.csv, validation: b.csv}}
teacher: {{model: minilm-l6, finetune: {{epochs: 1}}}}
student: {{size: 3x384}}
stages:
  - {{kind: distill, epochs: 1, objectives: [{{kind: logits}}]}}
  - {{kind: evaluate}}
"""


def write(folder, seeds, name="mine.yaml"):
    path = folder / name
    path.write_text(RECIPE.format(seeds=seeds), "utf-8")
    return path


@pytest.mark.parametrize(
    ("seeds", "line", "told"),
    [
        ("seed: 4\nseeds: [1, 2]", 3, "seed: given beside 'seeds'; leave one of them out"),
        ("seeds: [1, 2, 1]", 3, "seeds: 1 stands here twice; every seed is done once"),
        ("seeds: [1]", 3, "seeds: found a list of 1 item, expected at least 2 items"),
        ("seeds: 3", 3, "seeds: found the number 3, expected a list"),
        ("seeds: [1, -2]", 3, "seeds[1]: found the number -2, expected at least 0"),
        ("seeds: [1, '2']", 3, "seeds[1]: found the text '2', expected a whole number"),
    ],
)
def test_issues_have_file_and_line(tmp_path, seeds, line, told):
    path = write(tmp_path, seeds)
    with pytest.raises(RecipeError) as error:
        load_recipe(path)
    assert len(error.value.issues) == 1
    assert str(error.value).startswith(f"{path}:{line}: {told}")


def test_seeds_need_an_evaluation_and_labels(tmp_path, capsys):
    path = write(tmp_path, "seeds: [1, 2]")
    assert main(["validate", str(path), "stages.evaluate=null"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {path}:3: seeds: several seeds are compared by what the eval")
    assert main(["validate", "general", "seeds=[1,2]"]) == 2
    assert "task.kind: a study compares scores, and unlabelled text" in capsys.readouterr().err


def test_the_later_of_seed_and_seeds_counts(tmp_path):
    path = write(tmp_path, "seed: 4")
    assert load_recipe(path, "seeds=[1,2]").seeds == [1, 2]
    several = write(tmp_path, "seeds: [1, 2]", "several.yaml")
    one = load_recipe(several, "seed=9")
    assert (one.seed, one.seeds) == (9, None)
    for base, said, expected in (
        ("mine.yaml", "seeds: [5, 6]", (42, [5, 6])),
        ("several.yaml", "seed: 8", (8, None)),
        ("several.yaml", "set: {seed: 8}", (8, None)),
    ):
        child = tmp_path / "child.yaml"
        child.write_text(f"base: {base}\n{said}\n", "utf-8")
        recipe = load_recipe(child)
        assert (recipe.seed, recipe.seeds) == expected
    with pytest.raises(RecipeError, match="seed: given beside"):
        load_recipe(path, "seed=1", "seeds=[1,2]")


def test_the_resolved_recipe_has_no_seed_beside_seeds(tmp_path, capsys):
    recipe = load_recipe(write(tmp_path, "seeds: [1, 2, 3]"))
    assert "seed" not in resolved(recipe)
    assert resolved(recipe)["seeds"] == [1, 2, 3]
    again = tmp_path / "again.yaml"
    again.write_text(resolved_yaml(recipe), "utf-8")
    assert load_recipe(again) == recipe
    one = recipe.with_seed(2)
    assert "seeds" not in resolved(one)
    again.write_text(resolved_yaml(one), "utf-8")
    assert load_recipe(again) == one
    assert main(["show", str(tmp_path / "mine.yaml")]) == 0
    assert "\nseeds: [1, 2, 3]\n" in capsys.readouterr().out
    assert main(["schema"]) == 0
    assert "seeds" in json.loads(capsys.readouterr().out)["$defs"]["Recipe"]["properties"]


def test_a_plan_names_the_seeds(capsys):
    assert main(["plan", "quickstart", "seeds=[1,2,3]"]) == 0
    assert "seeds: all of it is done once for each of 1, 2, 3\n" in capsys.readouterr().out


def test_a_study_stands_for_no_model_and_no_run(tmp_path, capsys):
    trial = tmp_path / "out/trials/seed-1"
    trial.mkdir(parents=True)
    (tmp_path / "out/study.json").write_text("{}", "utf-8")
    write(trial, "seed: 4", "recipe.yaml")
    with pytest.raises(ModelError, match=f"a study; name one of its runs, such as {trial}"):
        model_of_run(tmp_path / "out")
    for words in (["resume"], ["compare", str(trial)], ["export", "--out", str(tmp_path / "b")]):
        assert main([words[0], str(tmp_path / "out"), *words[1:]]) == 2
        assert f"such as {trial}" in capsys.readouterr().err


def test_a_run_of_several_seeds_is_refused(tmp_path, capsys):
    run = tmp_path / "run"
    words = ["run", str(write(tmp_path, "seeds: [1, 2]")), "--run-dir", str(run)]
    assert main(words) == 2
    assert "several seeds are a study: distill study RECIPE" in capsys.readouterr().err
    assert not run.exists()
