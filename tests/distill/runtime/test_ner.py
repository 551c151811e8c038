from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForTokenClassification, BertTokenizerFast

from distill.export.folder import export_folder
from distill.runtime import BundleModel, load
from distill.system.errors import ModelError
from distill.text.tags import tags_of

LABELS = tags_of(["person", "place"], "bio")
TEXTS = [
    "Ann Lee loves New York, film.",
    "北京是good的。ann",
    "  😂👍🏽 ann@lee  Cafe\u0301 ",
    "שלום ann",
    "",
    "\u200b",
]


WORDS = ["ann", "lee", "loves", "new", "york", "film", "good", "cafe", "北", "京", "是", "的", "。"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "@", ",", ".", "##s"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tagger whose tags vary."""
    folder = tmp_path_factory.mktemp("tagger")
    vocabulary = {piece: number for number, piece in enumerate(VOCABULARY)}
    BertTokenizerFast(vocab=vocabulary, do_lower_case=True).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        initializer_range=0.1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = BertForTokenClassification(config)
        torch.nn.init.normal_(model.classifier.weight, std=1.0)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tagger(source: Path, tmp_path_factory: pytest.TempPathFactory) -> BundleModel:
    bundle = tmp_path_factory.mktemp("bundle") / "bundle"
    export_folder(source, bundle, formats=("transformers", "onnx"), max_length=16)
    return load(bundle)


def tags_by(tagger: BundleModel, texts: list[str], **how: int) -> list[list[tuple[int, int, str]]]:
    inputs = tagger.decoder.inputs(tagger.encoder, texts, None)
    return tagger.decoder.tags(inputs, tagger.run(inputs.rows, **how))


def expected_tags(source: Path, text: str) -> list[tuple[int, str]]:
    """The first character and the tag of every unit, by transformers alone."""
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = BertForTokenClassification.from_pretrained(source).eval()
    encoded = tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
    offsets = encoded.pop("offset_mapping")[0].tolist()
    words = encoded.word_ids(0)
    with torch.inference_mode():
        tags = model(**encoded).logits[0].argmax(-1).tolist()
    return [
        (offsets[place][0], LABELS[tags[place]])
        for place, word in enumerate(words)
        if word is not None and word != words[place - 1]
    ]


def test_tags_are_those_of_transformers(source: Path, tagger: BundleModel) -> None:
    found = tags_by(tagger, TEXTS)
    for text, tags in zip(TEXTS, found, strict=True):
        assert [(start, tag) for start, _, tag in tags] == expected_tags(source, text)
    assert len({tag for row in found for _, _, tag in row}) > 2


def test_entities_stand_where_they_are_said_to(tagger: BundleModel) -> None:
    predictions = tagger.predict(TEXTS)
    entities = [
        (text, entity)
        for text, one in zip(TEXTS, predictions, strict=True)
        for entity in one["entities"]
    ]
    assert entities
    for text, entity in entities:
        assert text[entity["start"] : entity["end"]] == entity["text"] != ""
        assert entity["text"] == entity["text"].strip()
        assert 0 < entity["score"] <= 1
        assert entity["type"] in ("person", "place")
    assert json.loads(json.dumps(predictions)) == predictions
    assert predictions[4] == predictions[5] == {"entities": []}
    assert all(tagger.decoder.line(one) for one in predictions)


def test_batches_change_nothing(tagger: BundleModel) -> None:
    alone = [tags_by(tagger, [text])[0] for text in TEXTS]
    assert tags_by(tagger, TEXTS, batch_size=2) == alone


def test_long_texts_are_read_to_their_end(tagger: BundleModel) -> None:
    words = ["Ann", "Lee", "film", "New", "York"] * 30
    text = " ".join(words)
    [tags] = tags_by(tagger, [text])
    assert [text[start:end] for start, end, _ in tags] == words
    spans = [(e["start"], e["end"]) for e in tagger.predict([text])[0]["entities"]]
    assert spans == sorted(spans)


def test_labels_must_be_tags(source: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(source, wrong)
    config = json.loads((wrong / "config.json").read_text("utf-8"))
    config["id2label"]["0"] = "nothing"
    (wrong / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ModelError, match="no tags of entities"):
        export_folder(wrong, tmp_path / "bundle", formats=("onnx",))
