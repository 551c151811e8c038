"""The attention picture: its numbers come back, its words are escaped."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET

import numpy as np

from distill.report.attention_map import attention_svg, picture


def opacity(address: str) -> np.ndarray:
    """What a browser sees of a picture: its opacity from 0 to 255."""
    import io

    from matplotlib.image import imread

    assert address.startswith("data:image/png;base64,")
    content = imread(io.BytesIO(base64.b64decode(address.partition(",")[2])), format="png")
    return np.rint(content[:, :, 3] * 255)


def test_probabilities_come_back_from_the_picture():
    values = np.random.default_rng(0).dirichlet(np.ones(7), size=7).astype(np.float32)
    found = (opacity(picture(values)) / 255) ** 2
    np.testing.assert_allclose(found, values, atol=0.005)


def test_every_head_and_the_mean_lie_in_one_svg_and_the_mean_shows():
    heads = np.random.default_rng(0).dirichlet(np.ones(3), size=(4, 3)).astype(np.float32)
    svg = attention_svg(heads, ["[CLS]", "<b>", "a&b"], name="student-1", label='says "x"')
    root = ET.fromstring(re.sub(r" hidden ", ' hidden="" ', svg))
    images = [one for one in root if one.tag == "image"]
    assert [one.get("data-head") for one in images] == ["0", "1", "2", "3", "4"]
    assert [one.get("data-head") for one in images if one.get("hidden") is None] == ["0"]
    mean = (opacity(images[0].get("href")) / 255) ** 2
    np.testing.assert_allclose(mean, heads.mean(0), atol=0.005)
    assert [one.text for one in root if one.get("class") == "row"] == ["[CLS]", "<b>", "a&b"]
    assert root.get("aria-label") == 'says "x"'


def test_many_tokens_keep_cells_that_can_be_seen():
    heads = np.full((1, 100, 100), 0.01, np.float32)
    svg = attention_svg(heads, ["token"] * 100, name="a", label="b")
    assert float(re.search(r'width="(\d+)"', svg)[1]) > 900
    assert 'class="attention wide"' in svg
