import json

import pytest

from distill.recipe.plan import plan_stages
from distill.recipe.schema import Recipe
from distill.run_folder import RunFolder, free_folder
from distill.system.errors import RunFolderError


def _recipe(**changes):
    logits = {"kind": "distill", "name": "one", "objectives": [{"kind": "logits"}]}
    return Recipe.model_validate(
        {
            "recipe": 1,
            "name": "r",
            "task": {"kind": "classification"},
            "data": {"source": "builtin", "path": "docstrings"},
            "teacher": {"model": "minilm-l6"},
            "student": {"size": "3x384"},
            "stages": [logits, logits | {"name": "two", "epochs": 2, "lr": 1e-4}],
        }
        | changes
    )


def test_stages_are_teacher_baseline_and_the_recipe_s():
    planned = plan_stages(_recipe())
    assert [s.folder for s in planned] == ["01-teacher", "02-baseline", "03-one", "04-two"]
    assert [s.makes_student for s in planned] == [False, False, True, True]
    # The baseline sees the rows as often as the student: 3 epochs by default, and 2.
    assert planned[1].config.epochs == 5
    assert planned[1].config.lr == 1e-4
    without = plan_stages(_recipe(baseline=False))
    assert [s.folder for s in without] == ["01-teacher", "02-one", "03-two"]


def test_a_folder_of_another_recipe_is_refused(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create(_recipe())
    assert folder.read_recipe() == _recipe()
    with pytest.raises(RunFolderError, match="holds a run of other settings of this recipe"):
        folder.create(_recipe(seed=1))
    with pytest.raises(RunFolderError, match="holds a run of 'r'"):
        folder.create(_recipe(name="other"))
    folder.create(_recipe())  # goes on
    for stage in plan_stages(_recipe()):
        folder.begin(stage, "inputs")
        folder.finish(stage, "inputs", [])
    with pytest.raises(RunFolderError, match="this recipe's run is finished here"):
        folder.create(_recipe())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(RunFolderError, match="not an empty folder"):
        RunFolder(tmp_path / "full").create(_recipe())
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]
    with pytest.raises(RunFolderError, match="not a run folder"):
        RunFolder(tmp_path / "full").read_recipe()
    inside = tmp_path / "full" / "mine.txt" / "run"
    with pytest.raises(RunFolderError, match=r"run: cannot be made \(Not a directory\); choose"):
        RunFolder(inside).create(_recipe())


def test_done_means_same_inputs_and_untouched_outputs(tmp_path):
    folder, stage = RunFolder(tmp_path / "run"), plan_stages(_recipe())[0]
    folder.create(_recipe())
    place = folder.begin(stage, "inputs-1")
    (place / "model").mkdir()
    (place / "model" / "w").write_text("1")
    (place / "stage.json").write_text("{}")
    assert not folder.is_done(stage, "inputs-1")
    folder.finish(stage, "inputs-1", [place / "model"])
    assert folder.is_done(stage, "inputs-1")
    assert not folder.is_done(stage, "inputs-2")
    (place / "model" / "w").write_text("2")
    assert not folder.is_done(stage, "inputs-1")
    (place / "model" / "w").write_text("1")
    for damaged in ("stage.json", "done.json"):
        assert folder.is_done(stage, "inputs-1")
        whole = (place / damaged).read_text()
        for content in ("{", "", "[]", None):
            if content is None:
                (place / damaged).unlink()
            else:
                (place / damaged).write_text(content)
            assert not folder.is_done(stage, "inputs-1")
        (place / damaged).write_text(whole)
    (place / "done.json").write_text('{"inputs": "inputs-1"}')
    assert not folder.is_done(stage, "inputs-1")
    (place / "model" / "w").write_text("2")
    # Begun from the same inputs: kept. From others: emptied.
    assert (folder.begin(stage, "inputs-1") / "model" / "w").exists()
    assert not (folder.begin(stage, "inputs-2") / "model").exists()
    assert json.loads((place / "begun.json").read_text()) == {"inputs": "inputs-2"}


def test_only_one_process_works_in_a_folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create(_recipe())
    with (
        folder.held(),
        pytest.raises(RunFolderError, match="another process"),
        RunFolder(tmp_path / "run").held(),
    ):
        pass
    with folder.held():
        pass


def test_free_folder_counts_up(tmp_path):
    assert free_folder("q", tmp_path).name == "q"
    (tmp_path / "q").mkdir()
    (tmp_path / "q-2").mkdir()
    assert free_folder("q", tmp_path).name == "q-3"
