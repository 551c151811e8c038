"""Chinese BERT's vocabulary on real reviews: signs are words, and nothing is lost unsaid."""

from __future__ import annotations

import gzip
import json
import unicodedata
from pathlib import Path

import pytest

from distill.data.split import Split
from distill.data.text.vocabulary import make_tokenizer, read_vocabulary
from distill.data.tokenized import tokenize

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def words(real_data: Path) -> list[str]:
    return read_vocabulary(real_data / "vocab" / "bert-base-chinese-vocab.txt")


@pytest.fixture(scope="module")
def reviews(real_data: Path) -> list[str]:
    path = real_data / "chnsenticorp_zh" / "dev.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]


def is_sign(character: str) -> bool:
    """Whether it is a CJK ideograph, by its name in Unicode."""
    return unicodedata.name(character, "").startswith("CJK UNIFIED IDEOGRAPH")


def test_every_sign_is_a_token_where_it_stands(words: list[str], reviews: list[str]) -> None:
    known, tokenizer = set(words), make_tokenizer(words)
    signs = 0
    for text in reviews[:300]:
        found = tokenizer(text, return_offsets_mapping=True, verbose=False)
        tokens = tokenizer.convert_ids_to_tokens(found["input_ids"])
        at = dict(zip(map(tuple, found["offset_mapping"]), tokens, strict=True))
        for place, character in enumerate(text):
            if is_sign(character):
                expected = character if character in known else "[UNK]"
                assert at[place, place + 1] == expected, (text, place)
                signs += 1
        for (start, end), token in at.items():
            if token not in ("[UNK]", "[CLS]", "[SEP]"):
                assert text[start:end].lower() == token.removeprefix("##"), text
    assert signs > 20_000


def test_ids_are_those_of_transformers(words: list[str], reviews: list[str]) -> None:
    from transformers import BertTokenizerFast

    ours = make_tokenizer(words)
    ids = {word: number for number, word in enumerate(words)}
    theirs = BertTokenizerFast(vocab=ids, do_lower_case=True)
    assert len(words) == 21_128
    assert ids["的"] == 4638  # as in Google's bert-base-chinese
    for text in reviews:
        both = [t(text, return_offsets_mapping=True, verbose=False) for t in (ours, theirs)]
        assert both[0]["input_ids"] == both[1]["input_ids"]
        assert both[0]["offset_mapping"] == both[1]["offset_mapping"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("（真的）！？，。", ["（", "真", "的", "）", "！", "？", "，", "。"]),
        ("ＡＢ１２", ["ａ", "##ｂ", "##１", "##２"]),  # full width: made small, kept wide
        ("全\u3000角", ["全", "角"]),
        ("iPhone手机2016年", ["iphone", "手", "机", "2016", "年"]),
        ("“好”……", ["[UNK]", "好", "[UNK]", "[UNK]", "[UNK]"]),  # not in Google's vocabulary
        ("😀𠮷龘好", ["[UNK]", "[UNK]", "[UNK]", "好"]),  # two of them beyond 16 bits
    ],
)
def test_full_width_signs_and_rare_ones(words: list[str], text: str, tokens: list[str]) -> None:
    tokenizer = make_tokenizer(words)
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    assert tokenizer.convert_ids_to_tokens(found["input_ids"]) == tokens
    # Places are counted in characters, not bytes or halves of them.
    assert [text[a:b].lower() for a, b in found["offset_mapping"]] == [
        token.removeprefix("##") if token != "[UNK]" else text[a:b].lower()
        for token, (a, b) in zip(tokens, found["offset_mapping"], strict=True)
    ]
    assert found["offset_mapping"][-1][1] == len(text)


def test_cut_rows_and_unknown_signs_are_told(words: list[str], reviews: list[str]) -> None:
    rows = Split("validation", reviews, [0] * len(reviews))
    dataset = tokenize(rows, make_tokenizer(words), max_length=128)
    assert 300 < dataset.truncated < 400
    cut, unknown = dataset.notes(max_length=128, limit=512)
    assert cut.startswith(f"{dataset.truncated} of 1,200 examples (")
    assert unknown == (
        "220 of 95,481 subwords (0.2%) are not in the vocabulary, most often “ ” … — 圬 忝"
    )
