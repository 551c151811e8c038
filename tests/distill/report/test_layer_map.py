"""The drawn layer map."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from distill.report.layer_map import draw, draw_maps, in_words
from distill.report.run_data import StageFacts

PAIRS = ((1, 2), (2, 4), (3, 6))


def test_one_line_a_pair_and_one_box_a_layer():
    svg = draw(PAIRS, 6, 3)
    tree = ElementTree.fromstring(svg)
    assert len(tree.findall("path")) == 3
    assert len(tree.findall("g")) == 9
    unused = [g.find("text").text for g in tree.findall("g") if "unused" in g.get("class")]
    assert unused == ["layer 1", "layer 3", "layer 5"]
    assert "1 from 2, 2 from 4, 3 from 6" in tree.get("aria-label")


def test_lines_end_at_the_middles_of_the_layers_they_join():
    tree = ElementTree.fromstring(draw(PAIRS, 6, 3))
    middles = {"teacher": {}, "student": {}}
    for group in tree.findall("g"):
        rect = group.find("rect")
        middle = float(rect.get("y")) + float(rect.get("height")) / 2
        number = int(group.find("text").text.removeprefix("layer "))
        middles[group.get("class").split()[0]][number] = middle
    for (student, teacher), path in zip(PAIRS, tree.findall("path"), strict=True):
        numbers = [float(n) for n in re.findall(r"[\d.]+", path.get("d"))]
        assert numbers[1] == middles["teacher"][teacher]
        assert numbers[-1] == middles["student"][student]


def test_deeper_layers_stand_higher():
    svg = draw(((1, 1),), 3, 1)
    heights = re.findall(r'class="teacher.*?y="([\d.]+)"', svg)
    assert [float(h) for h in heights] == sorted(map(float, heights), reverse=True)


def test_the_same_map_of_two_stages_is_drawn_once():
    stages = [
        StageFacts("03-a", "a", "distill", layer_map=PAIRS, student_layers=3, teacher_layers=6),
        StageFacts("04-b", "b", "distill", layer_map=PAIRS, student_layers=3, teacher_layers=6),
        StageFacts("05-c", "c", "distill", layer_map=((1, 1),)),
        StageFacts("06-d", "d", "prune"),
    ]
    assert [drawn.stages for drawn in draw_maps(stages)] == [("a", "b"), ("c",)]


def test_in_words():
    assert in_words(PAIRS) == "1 from 2, 2 from 4, 3 from 6"
