"""A text looked at: what the models say themselves, what is compared, and what is told."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from distill.errors import DataError, ModelError
from distill.inspection.look import inspect_text
from distill.inspection.subjects import find_subjects

TEXT = "the best film was not a bad one"


@pytest.fixture
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
    with pytest.raises(DataError, match="give the second with --pair"):
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


def test_as_json_it_is_whole(found):
    plain = json.loads(json.dumps(found.as_plain()))
    assert plain["student"]["tokens"] == list(found.student.tokens)
    assert plain["layers"][0] == {
        "student_layer": 1, "teacher_layer": 2, "overlap": found.attention_overlap(1, 2)
    }  # fmt: skip
    mean = np.array(plain["student"]["attention"]["1"]["mean"])
    np.testing.assert_allclose(mean.sum(-1), 1.0, atol=1e-3)
    assert plain["student"]["attention"]["1"]["heads"] == 2
