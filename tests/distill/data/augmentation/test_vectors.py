from __future__ import annotations

import gzip

import numpy as np
import pytest
import torch

from distill.data.augmentation.vectors import Embeddings, Glove, read_glove
from distill.system.errors import DataError

ODD = (
    "4 3\n"  # word2vec's counts
    "good 1 0 0\n"
    ". . . 0.5 0.5 0.5\n"  # a token with spaces, as in GloVe 840B
    "great 0.9 0.1 0\n"
    "Good 1 0.01 0\n"
    "bad -1 0 0.2\n"
    "1990 0.95 0 0\n"
    "broken 1 x 0\n"
    "nan nan 0 0\n"
    "short 1\n"
    "zero 0 0 0\n"
    "film 0 1 0\n"
    "电影 0 0.9 0.1\n"
)


@pytest.fixture
def glove(tmp_path):
    path = tmp_path / "vectors.txt.gz"
    path.write_bytes(gzip.compress(ODD.encode()))
    return path


def _pairs(neighbours, reader, text):
    sentence = reader.read([text])[0]
    return [neighbours.key(sentence, word) for word in sentence.words]


def test_a_glove_file_with_odd_tokens(glove):
    words, matrix = read_glove(glove)
    assert words == ["good", ". . .", "great", "Good", "bad", "1990", "film", "电影"]
    assert matrix.shape == (8, 3)
    np.testing.assert_allclose(matrix[1], [0.5, 0.5, 0.5])


def test_neighbours_in_a_glove_file(glove, reader):
    near = Glove(glove)
    keys = _pairs(near, reader, "GOOD movies, good film")
    assert keys == ["good", None, "good", "film"]
    found = near.nearest(["good", "film"], 2)
    assert [[near.words[i] for i in row] for row in found] == [
        ["great", "电影"],  # neither Good, which is the word itself, nor a number
        ["电影", "great"],
    ]
    assert near.nearest(["good"], 9)[0].tolist().count(-1) == 5


@pytest.mark.parametrize("content", [b"", b"\n\n", b"good\nbad\n", b"good x y z\n"])
def test_a_file_without_vectors(tmp_path, content):
    path = tmp_path / "vectors.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match="holds no word vectors"):
        read_glove(path)


def test_embeddings_by_an_independent_search(reader):
    torch.manual_seed(0)
    matrix = torch.randn(len(reader.subwords), 8)
    near = Embeddings(matrix, reader)
    keys = _pairs(near, reader, "unlikable film")
    found = near.nearest(keys, 3)
    for key, row in zip(keys, found, strict=True):
        own = matrix[list(key)].mean(0)
        word = "".join(reader.subwords[i].removeprefix("##") for i in key)
        cosine = {
            i: float(torch.cosine_similarity(own, matrix[i], dim=0))
            for i in reader.replacements()
            if reader.subwords[i] != word
        }
        assert row.tolist() == sorted(cosine, key=cosine.__getitem__, reverse=True)[:3]


@pytest.mark.realdata
def test_real_glove_vectors(real_data, reader):
    near = Glove(real_data / "glove_50d_5k" / "glove.6B.50d.5k.txt.gz")
    assert len(near.words) > 5000
    found = [near.words[i] for i in near.nearest(["good"], 10)[0]]
    assert "better" in found
    assert "good" not in found
