from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

from distill.pruning.subwords import (
    count_pieces,
    coverage,
    ids_to_keep,
    trim_embeddings,
    trim_tokenizer,
)
from distill.system.errors import ModelError

TRAIN = ["the good film", "a funny story, loved it", "bad acting (long)", ""]
OTHER = ["the worst plot", "zebra 42 ★", "learning"]


@pytest.fixture
def parts(tiny_bert):
    folder = tiny_bert()
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def trimmed(model, tokenizer):
    keep = ids_to_keep(tokenizer, count_pieces(tokenizer, TRAIN))
    return trim_embeddings(model, keep), trim_tokenizer(tokenizer, keep), keep


def test_any_word_can_still_be_spelled(parts):
    model, tokenizer = parts
    _, short, _ = trimmed(model, tokenizer)
    (pieces, rate), (before, usual) = coverage(short, OTHER), coverage(tokenizer, OTHER)
    assert round(pieces * rate) == round(before * usual) == 1  # the star
    assert short.tokenize("plot") == ["p", "##l", "##o", "##t"]
    assert rate < usual
    assert tokenizer.tokenize("plot") == ["plot"]


def test_what_cannot_be_trimmed_is_told(parts):
    model, tokenizer = parts
    with pytest.raises(ModelError, match="has to stay"):
        trim_tokenizer(tokenizer, list(range(20, 40)))
    with pytest.raises(ModelError, match="word embeddings"):
        trim_embeddings(model, [0, 10**6])


# --- byte-level BPE and Unigram ---------------------------------------------------------------

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
CORPUS = [*TRAIN, *OTHER, "lower lowest slow slower", "naïve café — 北京", "an announcement"]


def trained(kind: str) -> PreTrainedTokenizerFast:
    """A tokenizer learned from a few texts, as its family has it."""
    known = {"special_tokens": SPECIAL, "vocab_size": 400, "show_progress": False}
    if kind == "bpe":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer: Any = trainers.BpeTrainer(initial_alphabet=alphabet, **known)
    else:
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(unk_token="<unk>", **known)
    made.train_from_iterator(CORPUS * 3, trainer)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def of_family(kind: str) -> tuple[RobertaForSequenceClassification, PreTrainedTokenizerFast]:
    """A model and its tokenizer; of a family its own class, which makes it of pieces and merges."""
    tokenizer = trained("unigram" if kind in ("unigram", "xlm-roberta") else "bpe")
    content = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    if kind == "roberta":
        merges = [tuple(pair) for pair in content["merges"]]
        tokenizer = RobertaTokenizer(vocab=content["vocab"], merges=merges)
    if kind == "xlm-roberta":
        tokenizer = XLMRobertaTokenizer(vocab=[tuple(entry) for entry in content["vocab"]])
    config = RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    torch.manual_seed(0)
    return RobertaForSequenceClassification(config).eval(), tokenizer


@pytest.mark.parametrize("kind", ["bert", "bpe", "roberta", "unigram", "xlm-roberta"])
def test_training_texts_have_the_same_pieces_and_logits(kind, parts, tmp_path):
    model, tokenizer = parts if kind == "bert" else of_family(kind)
    small, short, keep = trimmed(model, tokenizer)
    assert len(short) == len(keep) == small.config.vocab_size < len(tokenizer)
    for text, pair in zip(TRAIN, reversed(TRAIN), strict=True):
        for given in ((text,), (text, pair)):
            before, after = tokenizer(*given), short(*given)
            assert [keep[index] for index in after["input_ids"]] == before["input_ids"]
            assert after.get("token_type_ids") == before.get("token_type_ids")
    with torch.no_grad():
        expected = model(**tokenizer(TRAIN, padding=True, return_tensors="pt")).logits
        found = small(**short(TRAIN, padding=True, return_tensors="pt")).logits
    assert torch.equal(found, expected)
    assert model.config.vocab_size == len(tokenizer)
    short.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path)(TRAIN)["input_ids"] == short(TRAIN)["input_ids"]


def test_bpe_still_spells_everything_and_merges_nothing_that_it_lacks():
    tokenizer = trained("bpe")
    short = trim_tokenizer(tokenizer, ids_to_keep(tokenizer, count_pieces(tokenizer, TRAIN)))
    for text in OTHER:
        assert short.decode(short(text, add_special_tokens=False)["input_ids"]) == text
    content = json.loads(short.backend_tokenizer.to_str())["model"]
    assert {left + right for left, right in content["merges"]} <= content["vocab"].keys()


def test_bytes_that_unknown_characters_fall_back_to_stay():
    pieces = [("<unk>", 0.0), ("▁a", -1.0), ("▁b", -2.0), ("c", -3.0)]
    pieces += [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    made = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", pad_token="<unk>")
    short = trim_tokenizer(tokenizer, ids_to_keep(tokenizer, count_pieces(tokenizer, ["a"])))
    assert "▁b" not in short.get_vocab()
    assert short.tokenize("a ★") == tokenizer.tokenize("a ★")
    assert short.tokenize("★")[-1] == "<0x85>"
