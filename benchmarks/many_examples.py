"""How fast a training of millions of examples starts from the token cache, and what it holds.

    python benchmarks/many_examples.py [--examples 10_000_000] [--steps 300]

Lines of this project's documentation, cut to lengths from 1 to 10 words, are tokenised and written
again and again to a token cache in a temporary folder (50 bytes an example). Then a process of its
own opens the cache and trains a student of one small layer. It prints the seconds from its start to
the first step, wall and CPU, and its memory over the steps.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import psutil

from distill.data.array_store import ArrayWriter, open_store
from distill.data.tokenized import TokenizedDataset
from distill.recipe.schema import TrainConfig, TrainerConfig
from distill.recipe.sizes import resolve_size
from distill.system import digest
from distill.tasks.classification.task import Classification
from distill.training.base import FinetuneModule
from distill.training.fit import FitSession, fit
from students.build import build_student
from teachers.load import load_teacher, load_tokenizer
from teachers.resolve import resolve_model

_LABELS = ("no", "yes")
_TYPES = {"ids": "int32", "lengths": "int32", "cut": "int32"}


def examples(count: int) -> TokenizedDataset:
    """So many examples, from the cache where they are there."""

    def fill(writer: ArrayWriter) -> dict[str, Any]:
        docs = sorted(Path(__file__).parents[1].glob("docs/*.md"))
        lines = [line.split() for file in docs for line in file.read_text("utf-8").splitlines()]
        texts = [" ".join(line[: 1 + at % 10]) for at, line in enumerate(filter(None, lines))]
        found = load_tokenizer("minilm-l6")(texts)["input_ids"]
        for first in range(0, count, len(found)):
            some = found[: count - first]
            writer.append(ids=np.concatenate(some), lengths=[len(ids) for ids in some])
        return {"unknown": {}}

    key = digest.of_json(["many", count])
    store = open_store("tokens", key, _TYPES, name="train", fill=fill)
    labels = np.arange(count, dtype=np.int64) % len(_LABELS)
    return TokenizedDataset(store, labels, digest=key, pad_id=0)


class Report(L.Callback):
    """Prints seconds to the first step, and memory now and then."""

    def __init__(self, every: int) -> None:
        self.every = every

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Print what is due."""
        step, own = trainer.global_step, psutil.Process()
        if step == 1:
            wall, cpu = time.time() - own.create_time(), time.process_time()
            print(f"first step after {wall:.1f} s ({cpu:.1f} s CPU)")
        if step == 1 or step % self.every == 0:
            memory = own.memory_info()  # on Linux; shared: what is mapped from files
            mine, mapped = (memory.rss - memory.shared) >> 20, memory.shared >> 20
            print(f"step {step}: {mine:,} MiB, and {mapped:,} MiB of files that are mapped")


def train(count: int, steps: int) -> None:
    """Open the cache and train."""
    begun, cpu = time.monotonic(), time.process_time()
    rows = examples(count)
    wall, cpu = time.monotonic() - begun, time.process_time() - cpu
    print(f"cache opened in {wall:.1f} s ({cpu:.1f} s CPU)")
    teacher = load_teacher(resolve_model("minilm-l6"), labels=_LABELS, finetuned=False)
    module = FinetuneModule(
        build_student(teacher, resolve_size("1x48")),
        Classification(_LABELS),
        train=TrainConfig(max_steps=steps, batch_size=32),
        seed=0,
    )
    report = Report(max(1, steps // 5))
    module.configure_callbacks = lambda: [report]  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        session = FitSession(Path(folder), "many", trainer=TrainerConfig(accelerator="cpu"))
        fit(module, rows, validation=None, session=session)


def main() -> None:
    """Fill the cache, and start the training in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--examples", type=int, default=10_000_000)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(options.examples, options.steps)
        return
    with tempfile.TemporaryDirectory(prefix="many-") as folder:
        os.environ["DISTILL_CACHE"] = folder
        tokens = int(examples(options.examples).lengths.sum())
        files = [file for file in Path(folder).rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files) / 2**20
        mean = tokens / options.examples
        print(f"{options.examples:,} examples of {mean:.1f} tokens, {size:,.0f} MiB", flush=True)
        subprocess.run([sys.executable, *sys.argv, "--train"], check=True)


if __name__ == "__main__":
    main()
