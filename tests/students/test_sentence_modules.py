"""Folders as sentence-transformers saves them: followed as they say, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoTokenizer, BertModel

from distill.cli.main import main
from distill.recipe.run_models import model_of_run
from distill.runtime import load
from distill.system.errors import ModelError
from students.heads import outputs_of
from students.sentence_modules import read_modules
from teachers.load import load_model, load_sentence_encoder, load_tokenizer
from teachers.resolve import sentence_modules

TEXTS = ["the best film", "a dull story of love and hate", "good", "Never the Worst actor"]
POOLINGS = ["cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
DENSE = {"in_features": 32, "out_features": 24, "bias": True}
ACTIVATIONS = {"Tanh": np.tanh, "Identity": lambda x: x, "ReLU": lambda x: np.maximum(x, 0)}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def sentence_folder(
    folder: Path,
    pooling: dict[str, Any],
    *,
    dense: dict[str, Any] | None = None,
    normalize: bool = False,
    weights: str = "",
    more: tuple[str, ...] = (),
) -> Path:
    """Turn a BERT's folder into one of sentence-transformers."""
    BertModel.from_pretrained(folder).save_pretrained(folder)
    kinds = [("Transformer", weights), ("Pooling", "1_Pooling")]
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, **pooling})
    if dense is not None:
        kinds.append(("Dense", "2_Dense"))
        write(folder / "2_Dense" / "config.json", dense)
        draw = np.random.default_rng(3)
        shape = (dense["out_features"], dense["in_features"])
        tensors = {"linear.weight": draw.normal(size=shape).astype(np.float32) / 4}
        if dense["bias"]:
            tensors["linear.bias"] = draw.normal(size=shape[0]).astype(np.float32)
        save_file(tensors, folder / "2_Dense" / "model.safetensors")
    kinds += [("Normalize", f"{len(kinds)}_Normalize")] * normalize
    kinds += [(name, f"{len(kinds)}_{name}") for name in more]
    write(
        folder / "modules.json",
        [
            {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for n, (kind, path) in enumerate(kinds)
        ],
    )
    if weights:
        (folder / weights).mkdir()
        for file in folder.glob("*.*"):
            if file.is_file() and file.name != "modules.json":
                file.rename(folder / weights / file.name)
    return folder


def expected(folder: Path, texts: list[str], mode: str, max_length: int = 128) -> np.ndarray:
    """Pooled hidden states of a plain BERT, one text at a time, in numpy."""
    model = BertModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in texts:
        tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=max_length)
        with torch.no_grad():
            hidden = model(**tokens).last_hidden_state[0].numpy().astype(np.float64)  # (L, D)
        places = np.arange(1, len(hidden) + 1)[:, None]
        rows.append(
            {
                "cls": hidden[0],
                "mean": hidden.mean(axis=0),
                "max": hidden.max(axis=0),
                "mean_sqrt_len_tokens": hidden.sum(axis=0) / np.sqrt(len(hidden)),
                "weightedmean": (hidden * places).sum(axis=0) / places.sum(),
                "lasttoken": hidden[-1],
            }[mode]
        )
    return np.stack(rows)


def vectors(model: Any, tokenizer: Any, texts: list[str]) -> np.ndarray:
    """What the loaded model gives for a padded batch."""
    from students.heads import logits_of

    batch = tokenizer(texts, return_tensors="pt", padding=True)
    with torch.no_grad():
        found = logits_of(model, dict(batch))
    return np.asarray(found.numpy())


@pytest.mark.parametrize(("mode", "old"), [("max", True), ("lasttoken", False)])
def test_every_pooling_is_the_folders(tiny_bert, mode, old) -> None:
    names = {"mean": "mean_tokens", "max": "max_tokens", "cls": "cls_token"}
    names |= {"weightedmean": "weightedmean_tokens"}
    config = {"pooling_mode": mode}
    if old:
        config = {f"pooling_mode_{name}": False for name in names.values()}
        config[f"pooling_mode_{names.get(mode, mode)}"] = True
    folder = sentence_folder(tiny_bert(), config)
    model = load_sentence_encoder(folder, pooling="mean")
    found = vectors(model, load_tokenizer(folder), TEXTS)
    np.testing.assert_allclose(found, expected(folder, TEXTS, mode), atol=2e-5)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_dense_is_followed_and_kept(tiny_bert, tmp_path, activation) -> None:
    folder, raw = with_dense(tiny_bert(), activation, bias=activation != "ReLU")
    model = load_sentence_encoder(folder, pooling="mean")
    assert outputs_of(model) == 24
    np.testing.assert_allclose(vectors(model, load_tokenizer(folder), TEXTS), raw, atol=2e-5)
    model.save_pretrained(tmp_path / "kept")  # as a stage of a run does
    again = load_model(tmp_path / "kept")
    np.testing.assert_allclose(vectors(again, load_tokenizer(folder), TEXTS), raw, atol=2e-5)


def with_dense(folder: Path, activation: str, *, bias: bool) -> tuple[Path, np.ndarray]:
    """A folder with a Dense module, and what it gives for :data:`TEXTS` without Normalize."""
    place = "linear" if activation == "Identity" else "activation"
    dense = DENSE | {"bias": bias, "activation_function": f"torch.nn.modules.{place}.{activation}"}
    sentence_folder(folder, {"pooling_mode_max_tokens": True}, dense=dense, normalize=True)
    layer = load_file(folder / "2_Dense" / "model.safetensors")
    raw = expected(folder, TEXTS, "max") @ layer["linear.weight"].T + layer.get("linear.bias", 0)
    return folder, ACTIVATIONS[activation](raw)


def test_every_pooling_reaches_a_bundle(tiny_bert, tmp_path) -> None:
    folder = sentence_folder(tiny_bert(), {"pooling_mode": POOLINGS})
    write(folder / "sentence_bert_config.json", {"max_seq_length": 8, "do_lower_case": False})
    out = tmp_path / "bundle"
    assert main(["export", str(folder), "--out", str(out), "--formats", "onnx"]) == 0
    bundle = load(out)
    assert bundle.manifest.max_length == 8
    assert bundle.manifest.settings == {
        "pooling": "cls+mean+max+mean_sqrt+weighted+last",
        "normalize": False,
    }
    texts = [*TEXTS, "the film was never good and always too long for me"]
    found = [expected(folder, texts, mode, max_length=8) for mode in POOLINGS]
    np.testing.assert_allclose(bundle.encode(texts), np.concatenate(found, axis=1), atol=2e-5)


def test_case_and_prompt_reach_the_tokens(tiny_bert, tmp_path) -> None:
    folder = sentence_folder(tiny_bert(words=("Worst",)), {"pooling_mode": "mean"})
    config = json.loads((folder / "tokenizer_config.json").read_text())
    write(folder / "tokenizer_config.json", config | {"do_lower_case": False})
    write(folder / "sentence_bert_config.json", {"do_lower_case": True})
    prompts = {"prompts": {"query": "find: ", "passage": "text: "}, "default_prompt_name": "query"}
    write(folder / "config_sentence_transformers.json", prompts)
    out = tmp_path / "bundle"
    assert main(["export", str(folder), "--out", str(out), "--formats", "onnx"]) == 0
    wanted = expected(folder, [f"find: {text}".lower() for text in TEXTS], "mean")
    np.testing.assert_allclose(load(out).encode(TEXTS), wanted, atol=2e-5)
    modules = sentence_modules(folder)
    assert (modules.prompt, modules.prompts, modules.lower) == ("find: ", ("passage",), True)
    # The tokenizer as a stage of a run keeps it.
    tokenizer = load_tokenizer(folder, for_vectors=True)
    tokenizer.save_pretrained(tmp_path / "kept")
    again = AutoTokenizer.from_pretrained(tmp_path / "kept")
    assert again.tokenize("Worst") == ["find", ":", "worst"]
    assert load_tokenizer(folder).tokenize("Worst") == ["Worst"]  # of other tasks


def test_weights_in_a_folder_of_their_own_are_found(tiny_bert) -> None:
    folder = sentence_folder(
        tiny_bert(), {"pooling_mode": "cls"}, weights="0_Transformer", normalize=True
    )
    assert model_of_run(folder) == folder / "0_Transformer"
    model = load_model(folder)
    found = vectors(model, load_tokenizer(folder), TEXTS)
    np.testing.assert_allclose(found, expected(folder / "0_Transformer", TEXTS, "cls"), atol=2e-5)


@pytest.mark.parametrize(
    ("pooling", "dense", "more", "told"),
    [
        ({"pooling_mode": "attention"}, None, (), r"Pooling 'attention' cannot be followed"),
        ({}, None, ("LSTM",), r"module 'sentence_transformers\.models\.LSTM'"),
        ({}, None, ("Normalize", "Dense"), r"stand as Transformer, Pooling, Normalize, Dense"),
        ({}, DENSE | {"activation_function": "torch.nn.SiLU"}, (), r"activation 'torch\.nn\.SiLU'"),
        ({}, DENSE | {"activation_function": "mine.Tanh"}, (), r"activation 'mine\.Tanh'"),
        ({}, DENSE | {"use_residual": True}, (), r"adds its input"),
        ({}, DENSE | {"module_input_name": "token_embeddings"}, (), r"reads something else"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(tiny_bert, pooling, dense, more, told) -> None:
    folder = sentence_folder(tiny_bert(), pooling, dense=dense, more=more)
    with pytest.raises(ModelError, match=told):
        load_sentence_encoder(folder, pooling="mean")


def test_a_dense_module_in_a_pickle_and_a_prompt_that_is_left_out_are_refused(tiny_bert) -> None:
    folder = sentence_folder(tiny_bert(), {}, dense=DENSE)
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"2_Dense has no model\.safetensors"):
        load_model(folder)
    folder = sentence_folder(tiny_bert(), {"include_prompt": False})
    assert sentence_modules(folder).pooling == "mean"
    said = {"prompts": {"q": "find: "}, "default_prompt_name": "q"}
    write(folder / "config_sentence_transformers.json", said)
    with pytest.raises(ModelError, match="include_prompt"):
        load_model(folder)


def test_a_damaged_list_of_modules_is_one_line(tiny_bert) -> None:
    folder = sentence_folder(tiny_bert(), {})
    (folder / "modules.json").write_text("[{")
    with pytest.raises(ModelError, match=r"modules\.json cannot be read"):
        sentence_modules(folder)
    assert read_modules("x", lambda _: None) is None


def test_dense_and_normalize_reach_a_bundle(tiny_bert, tmp_path) -> None:
    folder, raw = with_dense(tiny_bert(), "Tanh", bias=True)
    out = tmp_path / "bundle"
    assert main(["export", str(folder), "--out", str(out), "--formats", "transformers,onnx"]) == 0
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(load(out).encode(TEXTS), unit, atol=2e-5)
    for place in (folder, out):
        model = load_model(place)
        np.testing.assert_allclose(vectors(model, load_tokenizer(place), TEXTS), raw, atol=2e-5)
    # transformers finds a plain encoder there, and nothing that it does not know.
    _, info = BertModel.from_pretrained(out, output_loading_info=True)
    assert not info["unexpected_keys"]
    assert json.loads((out / "modules.json").read_text()) == json.loads(
        (folder / "modules.json").read_text()
    )
    written = json.loads((out / "2_Dense" / "config.json").read_text())
    assert written == json.loads((folder / "2_Dense" / "config.json").read_text())
