"""Asking a masked-language model for words: many of many sentences at once against one by one.

Weights are random, so this tells speed, not what is proposed. Both ways take turns on the same
sentences. Example:

    python benchmarks/augmentation.py --shape 6x384 --sentences 32 --rounds 3
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertForMaskedLM

from distill.data.augmentation.masked import MaskedProposals
from distill.data.augmentation.words import Reader, Sentence
from distill.evaluation.machine import machine
from distill.recipe.schema import DataConfig, TrainerConfig
from distill.recipe.sizes import resolve_size
from distill.system.processor import physical_cores
from distill.tasks.classification.config import ClassificationTask
from distill.tasks.load import load_task_data
from distill.training.devices import resolve_precision
from teachers.load import load_tokenizer

_COUNT = 15


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    tokenizer = load_tokenizer("minilm-l6")
    reader = Reader(tokenizer, max_length=64, stop_words=True)
    sentences = reader.read(_texts(options.sentences))
    model = _model(options.shape)
    ways: dict[str, Any] = {
        "one forward pass a word": lambda: one_by_one(model, tokenizer, sentences)
    }
    for precision in dict.fromkeys(["fp32", resolve_precision(TrainerConfig())]):
        propose = MaskedProposals(model, tokenizer, reader, count=_COUNT, precision=precision)
        ways[f"many at once, {precision}"] = lambda propose=propose: propose(sentences)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    words = sum(len(MaskedProposals.words(sentence)) for sentence in sentences)
    first = statistics.median(next(iter(seconds.values())))
    for name, times in seconds.items():
        median = statistics.median(times)
        print(
            f"{name:<26}{len(sentences) / median:8.1f} sentences/s{words / median:9.1f} words/s"
            f"{first / median:7.1f}x"
        )
    told = machine()
    print(f"{options.shape}, {len(sentences)} sentences, {words} words, {options.threads} threads")
    print(f"{told['cpu']}; load {os.getloadavg()[0]:.1f}")


def one_by_one(model: Any, tokenizer: Any, sentences: list[Sentence]) -> list[list[int]]:
    """The published way: a forward pass for each word, with the logits of every token."""
    found = []
    for sentence in sentences:
        for word in MaskedProposals.words(sentence):
            ids = [tokenizer.cls_token_id, *sentence.ids, tokenizer.sep_token_id]
            ids[1 + word.at] = tokenizer.mask_token_id
            types = [0] * len(ids) + [1] * (len(sentence.ids) + 1)
            ids += [*sentence.ids, tokenizer.sep_token_id]
            logits = model(torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits
            order = np.argsort(logits[0, 1 + word.at].detach().numpy())[::-1]
            found.append(order[:_COUNT].tolist())
    return found


def _texts(count: int) -> list[str]:
    data = DataConfig(source="builtin", path="docstrings", limit_train=count)
    return load_task_data(data, ClassificationTask(kind="classification"), seed=0).train.texts


def _model(shape: str) -> BertForMaskedLM:
    size = resolve_size(shape)
    torch.manual_seed(0)
    return BertForMaskedLM(
        BertConfig(
            num_hidden_layers=size.layers,
            hidden_size=size.hidden,
            num_attention_heads=size.heads,
            intermediate_size=size.ffn,
        )
    ).eval()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shape", default="6x384")
    parser.add_argument("--sentences", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=physical_cores())
    return parser.parse_args()


if __name__ == "__main__":
    main()
