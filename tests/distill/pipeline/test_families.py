"""Every family goes the whole way: teacher, student, pruning, int8, and served without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from run_files import changed, models, recipe_at
from tiny_tokenizers import trained
from transformers import (
    ConvBertConfig,
    ConvBertForSequenceClassification,
)

from distill.pipeline.runner import run
from distill.recipe.loader import load_recipe
from distill.runtime import load
from distill.system.errors import UserError
from students.family import FAMILIES, PRUNED, STUDENT, TEACHERS, family_of
from students.folder import read_config
from students.heads import logits_of
from teachers.load import load_model, load_tokenizer

pytestmark = pytest.mark.slow

#: Settings of families that are not those of the others.
OWN: dict[str, dict[str, Any]] = {
    "electra": {"embedding_size": 16},
    "albert": {"embedding_size": 16},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    **{name: {} for name in ("distilbert", "mpnet", "modernbert")},
}
#: XLM-RoBERTa and CamemBERT are RoBERTa by other names.
WALKED = sorted({*FAMILIES, *TEACHERS} - {"bert", "xlm-roberta", "camembert"})
#: Of which kind the tokenizer of a family is; Unigram where none is named.
TOKENS = {
    **dict.fromkeys(("roberta", "modernbert"), "bytes"),
    **dict.fromkeys(("electra", "distilbert", "mpnet"), "wordpiece"),
}


def teacher(family: str, folder: Path, texts: list[str]) -> Path:
    """A folder with a small random model and its tokenizer."""
    tokenizer = trained(TOKENS.get(family, "unigram"), texts, model_max_length=64)
    parts = family_of(family)
    prefix = parts.prefix
    config = getattr(transformers, f"{prefix}Config")(
        vocab_size=len(tokenizer),
        **{
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            parts.ffn_size: 64,
        },
        max_position_embeddings=66,
        pad_token_id=tokenizer.pad_token_id,
        id2label={0: "negative", 1: "positive"},
        label2id={"negative": 0, "positive": 1},
        initializer_range=0.1,
        **OWN.get(family, {"type_vocab_size": 1}),
    )
    torch.manual_seed(0)
    getattr(transformers, f"{prefix}ForSequenceClassification")(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_any_other_family_teaches_its_logits(tmp_path: Path, tiny_recipe: Path, sentences) -> None:
    folder = tmp_path / "teacher"
    tokenizer = trained("wordpiece", sentences[0], model_max_length=64)
    config = ConvBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        embedding_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_token_id,
        id2label={0: "positive", 1: "negative"},
        label2id={"positive": 0, "negative": 1},
    )
    ConvBertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    changed(tiny_recipe, track={}, teacher={"model": str(folder)})
    with pytest.raises(UserError, match="embedding, attention, hidden: only the logits") as caught:
        load_recipe(tiny_recipe)
    assert "\n" not in str(caught.value)
    run(load_recipe(tiny_recipe, "stages.intermediate=null"), tmp_path / "run")
    rows = models(tmp_path / "run")
    assert rows["teacher"]["macs"] > rows["prune"]["macs"] > 0
    student = load_model(tmp_path / "run" / "bundle")
    assert student.config.model_type == PRUNED + STUDENT


@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", WALKED)
def test_from_recipe_to_int8(family: str, tmp_path: Path, tiny_recipe: Path, sentences) -> None:
    texts = sentences[0]
    recipe = recipe_at(tiny_recipe)
    recipe["teacher"]["model"] = str(teacher(family, tmp_path / "teacher", texts))
    recipe["stages"].insert(3, {"kind": "prune", "name": "words", "method": "vocabulary"})
    changed(tiny_recipe, **recipe | {"track": {}, "baseline": False})
    run(load_recipe(tiny_recipe), tmp_path / "run")
    rows = models(tmp_path / "run")
    assert list(rows)[-2:] == ["onnx", "onnx-int8"]
    assert rows["prune"]["parameters"] < rows["prediction"]["parameters"]
    assert rows["words"]["score"] == rows["prune"]["score"]
    bundle = tmp_path / "run" / "bundle"
    assert read_config(bundle)["model_type"] == PRUNED + (family if family in FAMILIES else STUDENT)

    # One by one in transformers: nothing is padded there.
    tokenizer, model = load_tokenizer(bundle), load_model(bundle).eval()
    cut = {"truncation": True, "max_length": recipe["data"]["max_length"]}
    with torch.inference_mode():
        expected = [
            logits_of(model, dict(tokenizer(text, **cut, return_tensors="pt")))[0].numpy()
            for text in texts
        ]
    served = load(bundle, format="onnx")
    np.testing.assert_allclose(served.logits(texts), np.array(expected), atol=1e-4)
    alone = [load(bundle).logits([text])[0] for text in texts[:3]]
    np.testing.assert_allclose(load(bundle).logits(texts)[:3], alone, atol=1e-6)
