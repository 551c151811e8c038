"""``seeds`` in a recipe: what it may say, what it stands in the place of, and its issues."""

import json

import pytest

from distill.cli.main import main
from distill.recipe.loader import load_recipe, resolved
from distill.recipe.run_models import model_of_run
from distill.system.errors import ModelError


@pytest.fixture
def seeded(write):
    """Write the small recipe with lines behind its name."""
    return lambda lines, name="small.yaml": write(("small", f"small\n{lines}"), name=name)


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
def test_issues_have_file_and_line(seeded, issues, seeds, line, told):
    (found,) = issues(seeded(seeds))
    assert found.startswith(f"small.yaml:{line}: {told}")


def test_seeds_need_an_evaluation_and_labels(seeded, capsys):
    path = seeded("seeds: [1, 2]")
    assert main(["validate", str(path), "stages.evaluate=null"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {path}:3: seeds: several seeds are compared by what the eval")
    assert main(["validate", "general", "seeds=[1,2]"]) == 2
    assert "task.kind: a study compares scores, and unlabelled text" in capsys.readouterr().err


def test_the_later_of_seed_and_seeds_counts(seeded, write, issues):
    path = seeded("seed: 4")
    assert load_recipe(path, "seeds=[1,2]").seeds == [1, 2]
    several = seeded("seeds: [1, 2]", "several.yaml")
    one = load_recipe(several, "seed=9")
    assert (one.seed, one.seeds) == (9, None)
    for base, said, expected in (
        ("small.yaml", "seeds: [5, 6]", (42, [5, 6])),
        ("several.yaml", "seed: 8", (8, None)),
        ("several.yaml", "set: {seed: 8}", (8, None)),
    ):
        recipe = load_recipe(write(text=f"base: {base}\n{said}\n", name="child.yaml"))
        assert (recipe.seed, recipe.seeds) == expected
    assert "seed: given beside" in issues(path, "seed=1", "seeds=[1,2]")[0]


def test_the_resolved_recipe_has_no_seed_beside_seeds(seeded, capsys, rewritten):
    path = seeded("seeds: [1, 2, 3]")
    recipe = load_recipe(path)
    assert "seed" not in resolved(recipe)
    assert resolved(recipe)["seeds"] == [1, 2, 3]
    assert rewritten(recipe) == recipe
    one = recipe.with_seed(2)
    assert "seeds" not in resolved(one)
    assert rewritten(one) == one
    assert main(["show", str(path)]) == 0
    assert "\nseeds: [1, 2, 3]\n" in capsys.readouterr().out
    assert main(["schema"]) == 0
    assert "seeds" in json.loads(capsys.readouterr().out)["$defs"]["Recipe"]["properties"]


def test_a_plan_names_the_seeds(capsys):
    assert main(["plan", "quickstart", "seeds=[1,2,3]"]) == 0
    assert "seeds: all of it is done once for each of 1, 2, 3\n" in capsys.readouterr().out


def test_a_study_stands_for_no_model_and_no_run(seeded, tmp_path, capsys):
    trial = seeded("seed: 4", "out/trials/seed-1/recipe.yaml").parent
    (tmp_path / "out/study.json").write_text("{}", "utf-8")
    with pytest.raises(ModelError, match=f"a study; name one of its runs, such as {trial}"):
        model_of_run(tmp_path / "out")
    for words in (["resume"], ["compare", str(trial)], ["export", "--out", str(tmp_path / "b")]):
        assert main([words[0], str(tmp_path / "out"), *words[1:]]) == 2
        assert f"such as {trial}" in capsys.readouterr().err


def test_a_run_of_several_seeds_is_refused(seeded, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["run", str(seeded("seeds: [1, 2]")), "--run-dir", str(run)]) == 2
    assert "several seeds are a study: distill study RECIPE" in capsys.readouterr().err
    assert not run.exists()
