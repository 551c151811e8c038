"""What there is to look into: of a run, a bundle, a model folder; and every way it cannot be."""

from __future__ import annotations

import json
import shutil

import pytest

from distill.inspection.subjects import find_subjects
from distill.system.errors import ModelError, RunFolderError


def test_a_run_gives_teacher_student_and_the_map_that_was_matched(tiny_run):
    run = tiny_run()
    found = find_subjects(run)
    assert (found.teacher, found.student) == (run / "01-teacher/model", run / "02-match/model")
    assert found.layer_map == ((1, 2), (2, 4))
    assert (found.task, found.max_length, found.pair) == ("classification", 16, False)
    assert found.notes == ()


def test_pairs_are_told_by_the_recipe(tiny_run):
    assert find_subjects(tiny_run(pair=True)).pair is True


def test_layers_that_were_removed_are_taken_out_of_the_map(tiny_run, tiny_bert):
    shallow = ("03-short", {"kind": "prune", "layers": [2]}, tiny_bert(layers=1))
    run = tiny_run(more="- {kind: prune, name: short, method: depth, layers: 1}\n", last=shallow)
    found = find_subjects(run)
    assert found.student == run / "03-short" / "model"
    assert found.layer_map == ((1, 4),)


def test_a_bundle_is_the_student_alone_and_says_so(bundle):
    folder = bundle()
    found = find_subjects(folder)
    assert (found.student, found.teacher, found.max_length) == (folder, None, 16)
    assert "a bundle holds the student alone; --teacher FOLDER" in found.notes[0]
    assert "fp32" in found.notes[1]


def test_a_teacher_can_be_named(bundle, tiny_bert, tiny_run):
    teacher = tiny_bert(layers=4)
    assert find_subjects(bundle(), teacher=teacher).teacher == teacher
    named = find_subjects(tiny_run(), teacher=teacher)
    assert (named.teacher, named.layer_map) == (teacher, None)


def test_a_model_folder_is_looked_into_as_it_is(tiny_bert):
    folder = tiny_bert()
    found = find_subjects(folder)
    assert (found.student, found.teacher, found.pair) == (folder, None, None)


def test_every_mistake_is_told_in_one_line(tiny_run, bundle, tmp_path):
    run = tiny_run()
    text_run = tmp_path / "text"
    shutil.copytree(run, text_run)
    recipe = text_run / "recipe.yaml"
    recipe.write_text(
        "recipe: 1\nname: t\ntask: {kind: text}\ndata: {source: files, train: a.txt}\n"
        "teacher: {model: m}\nstudent: {size: 2x32/2/64}\nbaseline: false\n"
        "stages: [{kind: distill, objectives: [{kind: hidden}]}]\n"
    )
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run, unfinished)
    (unfinished / "02-match" / "done.json").unlink()
    shutil.rmtree(run / "01-teacher" / "model")
    bare = bundle()
    manifest = json.loads((bare / "distill.json").read_text())
    del manifest["formats"]["transformers"]
    (bare / "distill.json").write_text(json.dumps(manifest))
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for folder, told in [
        (run, r"its teacher \(01-teacher/model\) is gone; name one with --teacher"),
        (bare, "no weights to look into .*export the format transformers too"),
        (text_run, "unlabelled text predicts nothing"),
        (unfinished, "distill resume"),
        (tmp_path / "nowhere", "no such folder"),
        (tmp_path / "file", "a file, not a folder"),
        (tmp_path / "empty", "no config.json"),
    ]:
        with pytest.raises((ModelError, RunFolderError), match=told) as error:
            find_subjects(folder)
        assert len(str(error.value).splitlines()) == 1
