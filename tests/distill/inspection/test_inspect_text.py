"""A text looked at: what the models say themselves, what is compared, and what is told."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from distill.inspection.inspect_text import inspect_text
from distill.inspection.subjects import find_subjects
from distill.system.errors import DataError, ModelError

TEXT = "the best film was not a bad one"


@pytest.fixture(scope="module")
def found(tiny_run):
    return inspect_text(find_subjects(tiny_run()), TEXT)


def test_predictions_are_those_of_the_models(found):
    for reading in found.readings:
        model = AutoModelForSequenceClassification.from_pretrained(reading.folder).eval()
        tokenizer = AutoTokenizer.from_pretrained(reading.folder)
        with torch.no_grad():
            shares = model(**tokenizer(TEXT, return_tensors="pt")).logits[0].softmax(-1)
        assert list(reading.outputs) == ["negative", "positive"]
        np.testing.assert_allclose(list(reading.outputs.values()), shares, atol=1e-6)
        assert reading.predicted == ["negative", "positive"][int(shares.argmax())]
        assert reading.tokens == ("[CLS]", *TEXT.split(), "[SEP]")


def test_both_are_explained_for_the_label_that_the_student_chose(found):
    other = {"negative": "positive", "positive": "negative"}[found.student.predicted]
    assert found.explained == f"the log-odds of '{found.student.predicted}' against '{other}'"
    for reading in found.readings:
        share = reading.outputs[found.student.predicted]
        assert reading.attribution.output == pytest.approx(np.log(share / (1 - share)), abs=1e-4)
        assert sum(reading.attribution.values) == pytest.approx(
            reading.attribution.difference, rel=0.01, abs=5e-3
        )


def test_another_label_turns_the_attributions_around(tiny_run):
    subjects = find_subjects(tiny_run())
    one, other = (inspect_text(subjects, TEXT, label=label) for label in ("negative", "positive"))
    np.testing.assert_allclose(
        one.student.attribution.values, np.negative(other.student.attribution.values), atol=1e-5
    )


def test_layers_stand_beside_those_they_were_matched_with(found):
    assert found.layers == ((1, 2), (2, 4))
    assert found.teacher is not None
    assert (sorted(found.teacher.attention), sorted(found.student.attention)) == ([2, 4], [1, 2])


def test_what_attention_has_in_common_is_one_with_itself(tiny_run):
    run = tiny_run()
    subjects = find_subjects(run, teacher=run / "02-match" / "model")
    found = inspect_text(subjects, TEXT)
    assert found.layers == ((1, 1), (2, 2))
    assert found.attention_overlap(1, 1) == pytest.approx(1.0, abs=1e-5)
    assert 0 < (found.attention_overlap(1, 2) or 0) < 1
    assert found.attribution_cosine == pytest.approx(1.0)
    assert any("by a uniform map" in note for note in found.notes)


def test_a_long_text_is_cut_and_that_is_said(tiny_run):
    found = inspect_text(find_subjects(tiny_run()), "film " * 40)
    assert len(found.student.tokens) == 16
    assert any("has 42 tokens and was cut to the first 16" in note for note in found.notes)


def test_pairs_have_two_segments(tiny_run):
    subjects = find_subjects(tiny_run(pair=True))
    found = inspect_text(subjects, "the best film", pair="a bad one")
    assert found.student.segments == (0,) * 5 + (1,) * 4
    with pytest.raises(DataError, match="reads two texts; give the second with --pair"):
        inspect_text(subjects, "the best film")


def test_a_student_alone_shows_all_its_layers(bundle):
    found = inspect_text(find_subjects(bundle()), "the best film")
    assert found.teacher is None
    assert found.layers == ((1, None), (2, None))
    assert found.attribution_cosine is None
    assert found.explained.endswith("minus the mean of the other labels' logits")


def test_texts_and_labels_that_do_not_fit_are_refused(tiny_run, bundle, tiny_bert):
    subjects = find_subjects(tiny_run())
    for given, told in [
        ({"text": " "}, "the text is empty"),
        ({"text": "a", "pair": "b"}, "leave --pair out"),
        ({"text": "a\ud800"}, "not Unicode"),
    ]:
        with pytest.raises(DataError, match=told):
            inspect_text(subjects, **given)
    with pytest.raises(ModelError, match="no label 'fine'; it has negative, positive"):
        inspect_text(subjects, "a", label="fine")
    other = find_subjects(bundle(), teacher=tiny_bert())
    with pytest.raises(ModelError, match="give a teacher of the same task"):
        inspect_text(other, "a")


@pytest.fixture
def token_model(tiny_bert, tmp_path):
    """A factory: a model with a head for tokens or spans, sharp enough to choose."""

    def build(kind, labels, name):
        folder, base = tmp_path / name, tiny_bert(layers=2)
        torch.manual_seed(len(name))
        model = kind.from_pretrained(base, num_labels=len(labels), ignore_mismatched_sizes=True)
        model.config.id2label = dict(enumerate(labels))
        head = model.classifier if hasattr(model, "classifier") else model.qa_outputs
        torch.nn.init.normal_(head.weight, std=2.0)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(base).save_pretrained(folder)
        return folder

    return build


def test_of_tagged_words_one_tag_is_explained(token_model):
    folder = token_model(AutoModelForTokenClassification, ("O", "B-X", "I-X"), "tags")
    subjects = find_subjects(folder)
    assert subjects.task == "ner"
    found = inspect_text(subjects, TEXT, word="bad").student
    model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    at = found.tokens.index("bad")
    with torch.no_grad():
        encoded = AutoTokenizer.from_pretrained(folder)(TEXT, return_tensors="pt")
        logits = model(**encoded).logits[0, at]
    k = int(logits.argmax())
    assert found.predicted == ("O", "B-X", "I-X")[k]
    rest = (logits.sum() - logits[k]) / 2
    assert found.attribution.output == pytest.approx(float(logits[k] - rest), abs=1e-4)
    assert abs(found.attribution.gap) < max(0.01 * abs(found.attribution.difference), 5e-3)
    whole = inspect_text(subjects, TEXT, word="bad", label="I-X")
    assert whole.explained.startswith("the logit of 'I-X' at 'bad'")
    with pytest.raises(DataError, match="--word: 'nowhere' is not in"):
        inspect_text(subjects, TEXT, word="nowhere")


def test_of_a_question_the_answer_is_explained_and_the_teacher_for_the_same(token_model):
    own, theirs = (
        token_model(AutoModelForQuestionAnswering, ("start", "end"), name)
        for name in ("student", "another")
    )
    subjects = find_subjects(own, teacher=theirs)
    found = inspect_text(subjects, "what is it", pair=TEXT)
    assert found.teacher is not None
    assert found.student.predicted in TEXT
    assert found.explained == (
        f"the logits of start and end of the answer '{found.student.predicted}'"
    )
    for reading in found.readings:
        assert found.student.predicted in reading.outputs
        model = AutoModelForQuestionAnswering.from_pretrained(reading.folder).eval()
        tokens = AutoTokenizer.from_pretrained(reading.folder)("what is it", TEXT)
        start = TEXT.index(found.student.predicted)
        first = tokens.char_to_token(0, start, sequence_index=1)
        last = tokens.char_to_token(0, start + len(found.student.predicted) - 1, sequence_index=1)
        with torch.no_grad():
            out = model(**tokens.convert_to_tensors("pt", prepend_batch_axis=True))
        expected = float(out.start_logits[0, first] + out.end_logits[0, last])
        assert reading.attribution.output == pytest.approx(expected, abs=1e-4)


def test_a_model_without_an_output_to_explain_is_refused(tiny_run):
    subjects = find_subjects(tiny_run())
    with pytest.raises(ModelError, match=r"task\.kind 'vectors' has no output to explain"):
        inspect_text(replace(subjects, task="vectors"), "a")
    with pytest.raises(DataError, match="this model tags none"):
        inspect_text(subjects, "a", word="a")


def test_as_json_it_is_whole(found):
    plain = json.loads(json.dumps(found.as_plain()))
    assert plain["student"]["tokens"] == list(found.student.tokens)
    assert plain["layers"][0] == {
        "student_layer": 1, "teacher_layer": 2, "overlap": found.attention_overlap(1, 2)
    }  # fmt: skip
    mean = np.array(plain["student"]["attention"]["1"]["mean"])
    np.testing.assert_allclose(mean.sum(-1), 1.0, atol=1e-3)
    assert plain["student"]["attention"]["1"]["heads"] == 2
