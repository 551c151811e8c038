"""General distillation on unlabelled text: a run without labels, and a task that starts from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from run_files import facts
from safetensors.numpy import load_file

from distill import load_recipe, run
from distill.pipeline.runner import resume
from distill.system.errors import UserError

WORDS = ["the", "film", "was", "good", "bad", "a", "story", "of", "love", "and", "time", "life"]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    path = tmp_path / "text.txt"
    with path.open("w", encoding="utf-8") as file:
        for _ in range(60):
            for _ in range(random.integers(1, 6)):
                file.write(" ".join(random.choice(WORDS, random.integers(2, 12))) + ".\n")
            file.write("\n")
    return path


@pytest.fixture
def general(tmp_path: Path, tiny_bert, text: Path) -> Path:
    """A recipe file: a random 1-layer student learns from a 2-layer encoder on text."""
    inside = [{"kind": kind} for kind in ("embedding", "attention", "hidden")]
    training = {"max_steps": 40, "batch_size": 8, "lr": 5e-3, "val_check_interval": 20}
    recipe = {
        "recipe": 1,
        "name": "general",
        "seed": 3,
        "task": {"kind": "text"},
        "data": {"source": "files", "train": str(text), "max_length": 32},
        "teacher": {"model": str(tiny_bert())},
        "student": {"size": "1x32/2/64", "init": "random"},
        "stages": [{"kind": "distill", "name": "general", "objectives": inside, **training}],
        "trainer": {"checkpoint_steps": 5, "threads": 1, "precision": "fp32"},
    }
    path = tmp_path / "general.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), "utf-8")
    return path


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "run"


@pytest.fixture
def whole(general: Path, kept: Path, tmp_path: Path) -> Path:
    """A finished run of the recipe, made once and free to be changed."""
    if not kept.exists():
        assert run(load_recipe(general), kept) == {}
    return Path(shutil.copytree(kept, tmp_path / "run"))


def test_a_random_student_learns_from_text(whole: Path) -> None:
    folder = whole
    stages = sorted(path.name for path in folder.glob("[0-9]*"))
    assert stages == ["01-teacher", "02-general"]
    told = facts(folder / "02-general")
    assert told["steps"] == 40
    assert [entry["step"] for entry in told["history"]] == [0, 20, 40]
    assert told["after"]["loss"] < 0.6 * told["before"]["loss"]
    assert "score" not in told
    page = (folder / "report.html").read_text("utf-8")
    assert "held-out text" in page
    assert "validation" not in page.split("Stages</h2>")[0].split("</style>")[1]
    assert f"distill evaluate {folder.name}-again" in page  # there are no results to compare
    assert "<dt>processor</dt>" in page  # the machine, as no evaluation tells it
    config = json.loads((folder / "02-general" / "model" / "config.json").read_text("utf-8"))
    assert config["architectures"] == ["BertModel"]
    weights = load_file(folder / "02-general" / "model" / "model.safetensors")
    assert not any(name.startswith("classifier") for name in weights)


def test_a_task_starts_from_the_run(tmp_path, whole, tiny_recipe) -> None:
    whole.rename(tmp_path / "general")
    cut = ["baseline=false", "stages.intermediate.epochs=1", "teacher.finetune.epochs=1"]
    recipe = load_recipe(tiny_recipe, f"student.init={tmp_path / 'general'}", *cut)
    recipe = recipe.model_copy(update={"stages": recipe.stages[:1]})
    run(recipe, tmp_path / "task")
    assert 0 <= facts(tmp_path / "task" / "02-intermediate")["score"] <= 1
    # It began with the run's weights.
    from distill.pipeline.runner import prepare
    from distill.recipe.plan import plan_stages
    from distill.run_folder import RunFolder
    from distill.stages.context import StageContext

    stages = plan_stages(recipe)
    context = StageContext(RunFolder(tmp_path / "task"), stages[1], stages, prepare(recipe))
    student = context.load_student()
    learned = load_file(tmp_path / "general" / "02-general" / "model" / "model.safetensors")
    name = "encoder.layer.0.attention.self.query.weight"
    assert np.array_equal(student.base_model.state_dict()[name].numpy(), learned[name])
    # Another teacher's words are other numbers.
    folder = tmp_path / "general" / "02-general" / "model"
    content = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    vocab = content["model"]["vocab"]
    vocab["film"], vocab["story"] = vocab["story"], vocab["film"]
    (folder / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(UserError, match=r"compares token by token, and the student .* another"):
        prepare(recipe)


@pytest.mark.slow
def test_what_a_person_sees(tmp_path, general, distill) -> None:
    done = distill("run", general, "--run-dir", "run")
    assert done.returncode == 0, done.stderr
    assert "step 20/40" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["stage", "steps", "held-out", "before", "after", "change"]
    assert lines[1].split()[:3] == ["general", "40", "loss"]
    assert lines[-1] == "next: distill run RECIPE student.init=run"
    told = distill("evaluate", "run", "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["held_out"][0]["measure"] == "loss"
    assert distill("plan", general).returncode == 0
    assert distill("validate", general, "data.train=nothing*.txt").returncode == 2


def test_an_encoder_goes_on_learning_with_heads(tmp_path: Path, general: Path) -> None:
    from transformers import AutoModelForMaskedLM, BertForPreTraining

    pretrain = "{kind: pretrain, name: heads, nsp: true, max_steps: 60, lr: 5e-3, batch_size: 16}"
    more = "{kind: pretrain, name: more, whole_words: true, max_steps: 5, batch_size: 8}"
    stages = f"stages=[{pretrain}, {more}]"
    recipe = load_recipe(general, stages, "student={size: 2x32/2/64, init: teacher-layers}")
    run(recipe, tmp_path / "run")
    folders = [tmp_path / "run" / name for name in ("02-heads", "03-more")]
    heads, more = map(facts, folders)
    names = {"mlm_loss", "perplexity", "masked_accuracy", "nsp_accuracy"}
    assert set(heads["before"]) == set(heads["after"]) == names
    assert heads["after"]["mlm_loss"] < heads["before"]["mlm_loss"] - 0.5
    assert heads["after"]["masked_accuracy"] > heads["before"]["masked_accuracy"]
    # The second stage went on from the first one's encoder and its head.
    assert set(more["before"]) == names - {"nsp_accuracy"}
    assert more["before"]["mlm_loss"] < heads["before"]["mlm_loss"] - 0.5
    first = BertForPreTraining.from_pretrained(folders[0] / "model")
    assert first.config.architectures == ["BertForPreTraining"]
    told, info = AutoModelForMaskedLM.from_pretrained(
        folders[1] / "model", output_loading_info=True
    )
    assert not info["missing_keys"]
    tied = told.get_output_embeddings().weight
    assert tied.data_ptr() == told.get_input_embeddings().weight.data_ptr()


def test_a_stopped_pre_training_ends_the_same(tmp_path, general, dies_at) -> None:
    stages = "stages=[{kind: pretrain, nsp: true, max_steps: 12, batch_size: 8}]"
    recipe = load_recipe(general, stages, "student={size: 1x32/2/64, init: random}")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(recipe, whole)
    dies_at(8)
    with pytest.raises(RuntimeError, match="power cut"):
        run(recipe, broken)
    resume(broken)
    name = "02-pretrain/model/model.safetensors"
    assert (whole / name).read_bytes() == (broken / name).read_bytes()
