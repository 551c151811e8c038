"""A run means the same files from any folder, and what it prints can be pasted into a shell."""

from __future__ import annotations

import shlex
import shutil

import pytest
import yaml
from run_files import write_lines

from distill.cli.main import main
from distill.recipe.inputs import anchored
from distill.recipe.loader import load_recipe
from distill.recipe.schema import Recipe


@pytest.fixture
def project(tmp_path, tiny_bert, sentences, monkeypatch):
    """A folder with a recipe whose paths are relative; it is the current one."""
    place = tmp_path / "my project's"
    (place / "models").mkdir(parents=True)
    shutil.copytree(tiny_bert(), place / "models" / "tiny")
    texts, labels = sentences
    rows = [{"text": t, "label": "ab"[label]} for t, label in zip(texts, labels, strict=True)]
    write_lines(place / "train.jsonl", rows)
    training = {"epochs": 1, "batch_size": 16}
    recipe = {
        "recipe": 1,
        "name": "r",
        "task": {"kind": "classification", "labels": ["a", "b"]},
        "data": {"source": "files", "train": "train.jsonl", "max_length": 16},
        "teacher": {"model": "models/tiny", "finetune": training},
        "baseline": False,
        "student": {"size": "2x32/2/64", "init": "./models/tiny"},
        "stages": [{"kind": "distill", "objectives": [{"kind": "logits"}], **training}],
        "trainer": {"threads": 1, "precision": "fp32"},
    }
    (place / "r.yaml").write_text(yaml.safe_dump(recipe))
    monkeypatch.chdir(place)
    return place


def test_a_run_is_resumed_from_another_folder_and_when_the_project_was_moved(
    project, tmp_path, monkeypatch, capsys
):
    assert main(["run", "r.yaml", "--run-dir", "a run"]) == 0
    said = capsys.readouterr().out
    assert "next: distill show 'a run/recipe.yaml'" in said
    kept = yaml.safe_load((project / "a run" / "recipe.yaml").read_text())
    assert kept["data"]["train"] == str(project / "train.jsonl")
    assert kept["teacher"]["model"] == kept["student"]["init"] == str(project / "models" / "tiny")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["resume", str(project / "a run")]) == 0
    told = capsys.readouterr().err
    assert told.count("done before") == 2
    # The same recipe again, from where it stands: the command that goes on can be pasted.
    monkeypatch.chdir(project)
    assert main(["run", "r.yaml", "--run-dir", "a run"]) == 2
    told = capsys.readouterr().err.strip()
    assert "this recipe's run is finished here" in told
    assert shlex.split(told.partition("look at it: ")[2]) == ["distill", "evaluate", "a run"]
    # A project that was moved keeps what is done.
    moved = tmp_path / "moved"
    monkeypatch.chdir(tmp_path)
    project.rename(moved)
    monkeypatch.chdir(moved)
    assert main(["resume", "a run"]) == 2
    assert "my project's/models/tiny: no such folder" in capsys.readouterr().err
    settings = ["data.train=train.jsonl", "teacher.model=models/tiny", "student.init=models/tiny"]
    assert main(["resume", "a run", *settings]) == 0
    assert capsys.readouterr().err.count("done before") == 2
    kept = yaml.safe_load((moved / "a run" / "recipe.yaml").read_text())
    assert kept["data"]["train"] == str(moved / "train.jsonl")


def test_every_path_of_a_recipe_is_written_in_full_and_no_name_is(project):
    recipe = load_recipe("r.yaml").model_dump(mode="json", exclude_none=True)
    recipe["data"] |= {"test": "test.jsonl", "more": {"odd": "odd.jsonl"}}
    recipe["teacher"]["more"] = [{"model": "models/tiny"}, {"model": "bert-base-uncased"}]
    recipe["stages"].insert(
        0, {"kind": "augment", "name": "x", "glove": "glove.txt", "words": "neighbours"}
    )
    found = anchored(Recipe.model_validate(recipe))
    tiny = str(project / "models" / "tiny")
    assert [teacher.model for teacher in found.teacher.all] == [tiny, tiny, "bert-base-uncased"]
    assert found.data.test == str(project / "test.jsonl")
    assert found.data.more == {"odd": str(project / "odd.jsonl")}
    assert found.stages[0].glove == str(project / "glove.txt")
    assert anchored(found) == found
    text = recipe | {"task": {"kind": "text"}, "baseline": False}
    text["data"] = {"source": "files", "train": ["a/*.txt", "b.txt"]}
    text["teacher"] = {"model": "minilm-l6"}
    text["student"] = {"size": "2x32/2/64"}
    text["stages"] = [{"kind": "distill", "objectives": [{"kind": "hidden"}]}]
    found = anchored(Recipe.model_validate(text))
    assert found.data.train == [str(project / "a/*.txt"), str(project / "b.txt")]
    assert (found.teacher.model, found.student.init) == ("minilm-l6", "teacher-layers")
    text["data"] = {"source": "hub", "path": "some/data", "train": "train"}
    assert anchored(Recipe.model_validate(text)).data.train == "train"
