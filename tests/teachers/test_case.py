"""Vocabularies and tokenizers that disagree about capital letters."""

from __future__ import annotations

import json

from teachers.load import load_tokenizer

CASED = ("Berlin", "The", "Anna", "Oslo")


def only_vocabulary(folder, **config):
    """Leave the vocabulary as older models publish it, and what is said of case."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    words = sorted(tokenizer["model"]["vocab"].items(), key=lambda pair: pair[1])
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word, _ in words))
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_a_cased_vocabulary_that_is_lower_cased_is_told_with_the_setting(tiny_bert, caplog):
    folder = only_vocabulary(tiny_bert(words=CASED))
    tokenizer = load_tokenizer(folder)
    assert tokenizer.tokenize("Berlin")[:2] == ["be", "##r"]
    [record] = caplog.records
    told = record.getMessage()
    assert record.levelname == "WARNING"
    assert "its vocabulary is cased (4 of " in told
    assert "'Berlin' becomes be ##r" in told
    assert f'write "do_lower_case": false into {folder}/tokenizer_config.json' in told
    # What it says to do mends it.
    caplog.clear()
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert load_tokenizer(folder).tokenize("Berlin") == ["Berlin"]
    assert not caplog.records


def test_a_file_of_the_tokenizer_that_transformers_overrules_is_told_too(tiny_bert, caplog):
    folder = tiny_bert(words=CASED)
    content = json.loads((folder / "tokenizer.json").read_text())
    content["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(content))
    (folder / "tokenizer_config.json").unlink()
    load_tokenizer(folder)
    assert "its vocabulary is cased" in caplog.text


def test_capital_letters_that_an_uncased_vocabulary_has_not_are_told(tiny_bert, caplog):
    folder = only_vocabulary(tiny_bert(), do_lower_case=False)
    assert load_tokenizer(folder).tokenize("Film") == ["[UNK]"]
    assert "has no capital letters and its tokenizer keeps them" in caplog.text
    assert 'write "do_lower_case": true into' in caplog.text
    caplog.clear()
    load_tokenizer(folder, written_here=True)
    assert not caplog.records
