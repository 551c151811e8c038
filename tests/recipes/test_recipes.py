"""Every recipe that comes along, walked on a tiny random model up to its last training."""

import json

import pytest

from distill.recipe import catalog
from distill.recipe.loader import load_recipe
from distill.recipe.plan import plan_stages
from distill.recipe.schema import AugmentStage, DistillStage, PretrainStage, PruneStage
from distill.recipe.study import is_study, load_study
from distill.tasks.classification.config import ClassificationTask
from distill.tasks.ner.config import NerTask
from distill.tasks.qa.config import QuestionTask
from distill.tasks.ranking.config import RankingTask
from distill.tasks.regression.config import RegressionTask
from distill.tasks.text.config import TextTask
from distill.tasks.vectors.config import VectorsTask

RECIPES = [name for name in catalog.names() if not is_study(name)]
TINY = [
    "student.size=2x32/2/64",
    "trainer.threads=1",
    "trainer.precision=fp32",
    "data.limit_train=null",
    "data.limit_validation=null",
]
#: What the paper's recipes have to say (section 4.2): intermediate epochs, tokens, copies (of the
#: published code).
PAPER = {
    "cola": (50, 64, 30), "mnli": (10, 128, 10), "mrpc": (20, 128, 30), "qnli": (10, 128, 20),
    "qqp": (10, 128, 10), "rte": (20, 128, 30), "sst2": (20, 64, 20),
}  # fmt: skip


def write_rows(folder, recipe, texts):
    """Files with the recipe's columns and labels, and the settings that name them."""
    if isinstance(recipe.task, TextTask):
        (folder / "text.txt").write_text("\n\n".join(texts), "utf-8")
        return [f"data.train={folder / 'text.txt'}", "data.max_length=16"]
    settings = ["data.source=files", "data.path=null", "data.subset=null", "data.test=null"]
    settings += ["data.more={}"]
    if isinstance(recipe.task, QuestionTask):  # the tiny one reads 128
        settings = ["data.max_length=32", "stages.evaluate.lengths=[32]"]
    rows = [row_of(recipe, index, text, texts) for index, text in enumerate(texts[:28])]
    for name, part in (("train", rows[:16]), ("validation", rows[16:])):
        path = folder / f"{name}.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in part), "utf-8")
        settings.append(f"data.{name}={path}")
    return settings


def row_of(recipe, index, text, texts):
    """An example of the recipe's task, with its columns and labels."""
    columns, names, words = recipe.data.columns, recipe.task.labels or ["no", "yes"], text.split()
    match recipe.task:
        case QuestionTask():  # answered by the second word
            answer = {"text": words[1], "answer_start": len(words[0]) + 1}
            return {"question": "what is it?", "context": text, "answers": [answer]}
        case RankingTask():  # three candidates, of which one is relevant
            listed = {"candidates": texts[index : index + 3], "label": [0, 1, 0]}
            return {"query": text[:12] + str(index), **listed}
        case NerTask():
            tags = ["B-film" if word == "film" else "O" for word in words]
            return {columns.tokens: words, columns.tags: tags}
        case RegressionTask() | VectorsTask():
            label = index % 6
        case _:
            label = names[index % len(names)]
    pair = {columns.text_pair: texts[-index]} if columns.text_pair else {}
    return {columns.text: text, columns.label: label, **pair}


def shortened(recipe):
    """Settings that leave one short epoch of every training."""
    found = []
    for stage in recipe.stages:
        at = f"stages.{stage.name}"
        if isinstance(stage, DistillStage | PretrainStage):
            found += [f"{at}.epochs=1", f"{at}.batch_size=8", f"{at}.val_check_interval=1.0"]
            found += [f"{at}.max_steps=2"] * (stage.max_steps is not None)
        if isinstance(stage, DistillStage):
            found += [f"{at}.layer_map=uniform"] * isinstance(stage.layer_map, list)
        if isinstance(stage, AugmentStage):
            found += [f"{at}.copies=1", f"{at}.model=null"]
        if isinstance(stage, PruneStage):
            found += [f"{at}.score_steps=1"] * (stage.method in ("taylor", "movement", "depth"))
            found += [f"{at}.samples=8"] * (stage.method == "fisher")
            found += [f"{at}.recover.epochs=1"] * (stage.recovery is not None)
    if isinstance(recipe.task, TextTask):
        return found
    if not recipe.teacher.files:
        found.append("teacher.finetune={epochs: 1, batch_size: 8}")
    return [*found, "baseline=true"]


#: Of the paper's recipes one, as they differ in epochs, lengths and copies alone.
WALKED = [name for name in RECIPES if name == "glue/mnli" or not name.startswith("glue/")]


@pytest.mark.parametrize("name", WALKED)
def test_a_recipe_trains(name, tmp_path, tiny_bert, sentences):
    from distill.pipeline.runner import go_on

    whole = load_recipe(name)
    # A static student has a width and no size.
    small = TINY if whole.student.has_layers else ["student.dim=16", *TINY[1:]]
    model = "student.model" if whole.teacher.files else "teacher.model"
    settings = [*small, f"{model}={tiny_bert(layers=4)}", *shortened(whole)]
    if isinstance(whole.task, VectorsTask) and whole.task.matryoshka:
        settings.append("task.matryoshka=[16]")
    if whole.teacher.files and whole.task.labels:
        file, row = tmp_path / "targets.jsonl", dict.fromkeys(whole.task.labels, 0) | {"ABBR": 1}
        file.write_text(16 * f"{json.dumps(row)}\n", "utf-8")
        settings.append(f"teacher.targets={file}")
    recipe = load_recipe(name, *settings, *write_rows(tmp_path, whole, sentences[0]))
    last = [stage for stage in plan_stages(recipe) if stage.makes_student][-1]
    facts = go_on(recipe, tmp_path / "run", until=last.name)
    assert facts["name"] == last.name
    assert isinstance(whole.task, TextTask) or -1 <= facts["score"] <= 1
    done = [path.parent.name for path in (tmp_path / "run").glob("*/done.json")]
    assert len(done) == last.index


@pytest.mark.parametrize("task", sorted(PAPER))
def test_the_paper_s_recipes_differ_where_tasks_differ(task):
    recipe, sst2 = load_recipe(f"glue/{task}"), load_recipe("glue/sst2")
    stages = {stage.name: stage for stage in recipe.stages}
    intermediate, prediction = stages["intermediate"], stages["prediction"]
    assert isinstance(intermediate, DistillStage)
    assert isinstance(prediction, DistillStage)
    augment = stages["augment"]
    assert isinstance(augment, AugmentStage)
    assert (intermediate.epochs, recipe.data.max_length, augment.copies) == PAPER[task]
    assert (augment.replace, augment.candidates) == (0.4, 15)
    assert (intermediate.lr, intermediate.schedule, intermediate.warmup) == (5e-5, "constant", 0)
    assert (prediction.epochs, prediction.lr, prediction.warmup) == (3, 3e-5, 0.1)
    assert {intermediate.batch_size, prediction.batch_size} == {32}
    assert (intermediate.mode, prediction.mode) == ("reference", "reference")
    assert recipe.student.size == "tinybert4"
    assert recipe.teacher == sst2.teacher
    others = [s for s in recipe.stages if s.name not in ("intermediate", "augment")]
    assert others == [s for s in sst2.stages if s.name not in ("intermediate", "augment")]


def test_mnli_scores_its_mismatched_rows_apart(monkeypatch, sentences):
    """Splits under the names that the hub's data set has, in the place of those on the hub."""
    from datasets import Dataset, DatasetDict

    from distill.tasks.load import load_task_data

    sizes = {"train": 40, "validation_matched": 20, "validation_mismatched": 24}
    names = {"premise": sentences[0], "hypothesis": sentences[0][::-1]}
    splits = {
        split: Dataset.from_dict(
            {name: texts[:size] for name, texts in names.items()}
            | {"label": [index % 3 for index in range(size)]}
        )
        for split, size in sizes.items()
    }
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: DatasetDict(splits))
    recipe = load_recipe("glue/mnli")
    assert isinstance(recipe.task, ClassificationTask)
    found = load_task_data(recipe.data, recipe.task, seed=recipe.seed)
    assert (len(found.train), len(found.validation)) == (40, 20)
    assert {name: len(split) for name, split in found.more.items()} == {"mismatched": 24}
    assert found.test is None


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_s_header_says_how_to_run_it(name):
    header = catalog.find(name).read_text("utf-8").partition("\n\n")[0]
    assert f"#   distill run {name}" in header
    assert "https://arxiv.org/abs/" in header or not name.startswith("glue/")
    assert load_recipe(name).description


def test_the_tinybert_study_changes_what_its_rows_say(tmp_path):
    folders = (f"folders.{name}={tmp_path}" for name in ("data", "general"))
    loaded = load_study("ablation/tinybert", *folders)
    rte = {
        trial.variant: trial for trial in loaded.trials if (trial.task, trial.seed) == ("rte", 2)
    }
    assert set(rte) == set(loaded.config.variants)
    full = rte["full"].recipe
    for name, trial in rte.items():
        if name in ("full", "teacher"):
            continue
        assert trial.recipe.model_copy(update={"name": full.name}) != full, name
    kinds = {
        name: [o.kind for o in trial.recipe.stages[0].objectives]
        for name, trial in rte.items()
        if name != "with-augmentation"
    }
    assert kinds["full"] == ["embedding", "attention", "hidden"]
    assert kinds["without-attention"] == ["embedding", "hidden"]
    assert [s.kind for s in rte["with-augmentation"].planned()] == [
        "teacher", "augment", "distill", "distill",
    ]  # fmt: skip
    assert kinds["without-trm"] == ["embedding"]
    assert kinds["relations"] == ["embedding", "relations"]
    assert kinds["without-intermediate"] == ["logits"]
    assert [s.name for s in rte["labels-only"].planned()] == ["teacher", "baseline"]
