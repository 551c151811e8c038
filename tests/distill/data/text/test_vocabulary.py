from __future__ import annotations

from pathlib import Path

import pytest

from distill.cli.main import main
from distill.data.text.documents import FileSource
from distill.data.text.vocabulary import SPECIAL, learn_vocabulary, make_tokenizer, read_vocabulary
from distill.recipe.model_shapes import vocabulary
from distill.system.errors import DataError


def source(tmp_path: Path, text: str) -> FileSource:
    path = tmp_path / "text.txt"
    path.write_text(text, "utf-8")
    return FileSource([path])


def test_english(tmp_path: Path) -> None:
    text = source(tmp_path, "The walker walked on.\nCafé walks talked; talking!\n" * 20)
    tokens = learn_vocabulary(text, size=80)
    assert tokens[:5] == list(SPECIAL)
    assert len(tokens) <= 80
    assert tokens == learn_vocabulary(text, size=80)
    tokenizer = make_tokenizer(tokens)
    subwords = tokenizer.tokenize("WALKING cafe")
    assert subwords[0].startswith("walk")
    assert tokenizer.unk_token not in subwords
    ids = tokenizer("the walker", "talked")
    assert tokenizer.decode(ids["input_ids"]) == "[CLS] the walker [SEP] talked [SEP]"
    assert ids["token_type_ids"][-1] == 1
    cased = learn_vocabulary(text, size=80, lowercase=False)
    assert any("T" in token for token in cased if token not in SPECIAL)


def test_chinese_signs_are_words(tmp_path: Path) -> None:
    text = source(tmp_path, "酒店环境很好。\n房间很小,但服务好!\n" * 10)
    tokenizer = make_tokenizer(learn_vocabulary(text, size=100))
    assert tokenizer.tokenize("房间很好") == ["房", "间", "很", "好"]
    assert tokenizer.tokenize("猫") == ["[UNK]"]


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIAL, "the", "film"]) + "\n", "utf-8")
    assert read_vocabulary(path) == [*SPECIAL, "the", "film"]
    path.write_text("\n".join([*SPECIAL, "the", "the"]), "utf-8")
    with pytest.raises(DataError, match="'the' stands in it twice"):
        read_vocabulary(path)
    path.write_text("the\n", "utf-8")
    with pytest.raises(DataError, match=r"no \[PAD\], \[UNK\]"):
        read_vocabulary(path)


def test_a_line_separator_is_a_token_like_any_other(tmp_path: Path) -> None:
    """Chinese BERT's vocabulary has U+2028 in the place of a token, on a line of its own."""
    path = tmp_path / "vocab.txt"
    tokens = [*SPECIAL, "a", "\u2028", "b", "##\u2028", "\x85", "c"]
    path.write_text("\n".join(tokens) + "\n", "utf-8")
    assert read_vocabulary(path) == tokens
    assert vocabulary(str(tmp_path)) == {token: number for number, token in enumerate(tokens)}


def test_a_blank_model_is_pre_trained(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "The walker walked. He walked on.\n\nThe talk was long. It went on.\n\n" * 40
    source(tmp_path, text)
    words = ["blank", "own", "--text", "text.txt", "--tokens", "100", "--size", "1x16/2/32"]
    assert main(words) == 0
    assert "next: distill run pretrain teacher.model=own" in capsys.readouterr().out
    changes = ["stages.pretrain.max_steps=4", "stages.pretrain.batch_size=8", "data.max_length=16"]
    run = ["run", "pretrain", "teacher.model=own", "student.size=1x16/2/32", "data.train=text.txt"]
    assert main([*run, *changes, "--run-dir", "run"]) == 0
    assert "mlm_loss" in capsys.readouterr().out
    assert main(words) == 2
