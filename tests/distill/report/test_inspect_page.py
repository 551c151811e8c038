"""The page of one text: whole, without a script, loading nothing."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from pages import Page

from distill.inspection.result import Attribution, Inspection, Reading
from distill.report.inspect_page import render


def reading(role, heads, tokens=("[CLS]", "un", "##able", "<i>", "[SEP]"), values=None):
    random = np.random.default_rng(len(role))
    size = len(tokens)
    values = values or (0.0, 1.5, -0.5, 0.25, 0.0)
    return Reading(
        role=role,
        folder=f"runs/x/{role}",
        tokens=tokens,
        segments=(0,) * size,
        outputs={"bad": 0.1, "good": 0.9},
        predicted="good",
        attribution=Attribution(values, 2.0, 0.75, 16),
        attention={
            layer: random.dirichlet(np.ones(size), size=(count, size)).astype(np.float32)
            for layer, count in heads.items()
        },
        depth=len(heads),
    )


@pytest.fixture(scope="module")
def found():
    return Inspection(
        text="unable <i>",
        pair=None,
        task="classification",
        explained="the log-odds of 'good' against 'bad'",
        student=reading("student", {1: 3, 2: 0}),
        teacher=reading("teacher", {2: 4, 4: 4}),
        layers=((1, 2), (2, 4)),
        notes=("something to know",),
    )


@pytest.fixture(scope="module")
def page(found):
    return render(found)


def test_it_is_whole_and_loads_nothing(page):
    parsed = Page(page)
    assert parsed.open == []
    assert not {"script", "link", "iframe", "object"} & set(parsed.tags)
    assert parsed.addresses
    assert all(one.startswith("data:image/svg+xml;base64,") for one in parsed.addresses)
    outside = re.sub(r"data:image/svg\+xml;base64,[\w+/=]+", "", page)
    assert "http" not in outside
    assert not re.search(r"@import|url\(", outside)


def test_it_shows_both_predictions_attributions_and_every_mapped_layer(page):
    text = Page(page).text
    for told in (
        "Teacher says good", "Student says good", "with 90.0 %", "something to know",
        "the log-odds of 'good' against 'bad'", "+0.75 with all words masked, +2.00 with the text",
        "add up to +1.25", "Student layer 1 from teacher layer 2", "mean of 3 heads",
        "mean of 4 heads",
        "Student layer 2 from teacher layer 4", "All heads of this layer were pruned",
    ):  # fmt: skip
        assert told in text, told


def test_words_of_the_text_are_escaped(page):
    assert "i" not in Page(page).tags


def test_a_student_alone_is_drawn(found):
    alone = replace(found, teacher=None, layers=((1, None), (2, None)))
    text = Page(render(alone)).text
    assert "How a student reads a text" in text
    assert "Teacher" not in text
    assert "Layer 1" in text
