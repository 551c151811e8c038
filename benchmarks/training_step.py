"""Time of a training step: intermediate distillation here, against what is usually done.

    python benchmarks/training_step.py [--steps 30] [--batch-size 32] [--length 64] [--bf16]

One process, models of the same shapes with the same random weights, steps that take turns:

- ``here``: scores captured at mapped layers only, SDPA elsewhere, teacher layers above the highest
  mapped one not run;
- ``eager``: ``output_attentions`` and ``output_hidden_states`` of every layer in the eager
  implementation, teacher and student run to the head (probabilities stand in for the scores,
  which that way does not give).

Both compute masked losses of attention, hidden states and embedding, and step a fused AdamW.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

from distill.objectives.attention import attention_loss
from distill.objectives.hidden import masked_mse
from distill.recipe.schema import TrainConfig
from distill.training.distill import DistillModule
from distill.training.optimizer import make_optimizer

Batch = dict[str, Tensor]


def bert(layers: int, attention: str) -> Any:
    torch.manual_seed(layers)
    config = BertConfig(
        num_hidden_layers=layers,
        hidden_size=384,
        num_attention_heads=12,
        intermediate_size=1536,
    )
    config._attn_implementation = attention
    return BertForSequenceClassification(config)


def batch(size: int, length: int) -> Batch:
    torch.manual_seed(0)
    mask = (torch.arange(length) < torch.randint(length // 2, length + 1, (size, 1))).long()
    ids = torch.randint(1000, 30000, (size, length)) * mask
    return {"input_ids": ids, "attention_mask": mask}


def here(teacher: Any, student: Any) -> DistillModule:
    objectives = ["embedding", "attention", "hidden"]
    return DistillModule(teacher, student, objectives, layer_map="uniform")


def eager_loss(module: DistillModule, teacher: Any, student: Any, rows: Batch) -> Tensor:
    wanted = {"output_attentions": True, "output_hidden_states": True}
    ours = student(**rows, **wanted)
    with torch.no_grad():
        theirs = teacher(**rows, **wanted)
    mask, project = rows["attention_mask"], module.project
    assert project is not None
    loss = masked_mse(project(ours.hidden_states[0], 0), theirs.hidden_states[0], mask)
    for one, other in module.layer_map.pairs:
        loss = loss + attention_loss(ours.attentions[one - 1], theirs.attentions[other - 1], mask)
        hidden = project(ours.hidden_states[one], one)
        loss = loss + masked_mse(hidden, theirs.hidden_states[other], mask)
    return loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--teacher-layers", type=int, default=6)
    parser.add_argument("--student-layers", type=int, default=3)
    parser.add_argument("--bf16", action="store_true")
    arguments = parser.parse_args()
    rows = batch(arguments.batch_size, arguments.length)
    ways: dict[str, Callable[[], Tensor]] = {}
    optimizers = {}
    for name, attention in (("here", "sdpa"), ("eager", "eager")):
        teacher = bert(arguments.teacher_layers, attention)
        student = bert(arguments.student_layers, attention)
        module = here(teacher, student)
        module.model.train()
        optimizers[name] = make_optimizer(module, TrainConfig())
        if name == "here":
            ways[name] = lambda module=module: module.losses(rows)["loss"]  # type: ignore[misc]
        else:
            ways[name] = lambda m=module, t=teacher, s=student: eager_loss(m, t, s, rows)  # type: ignore[misc]

    def step(name: str) -> float:
        start = time.perf_counter()
        autocast = torch.autocast("cpu", torch.bfloat16) if arguments.bf16 else nullcontext()
        with autocast:
            loss = ways[name]()
        loss.backward()
        optimizers[name].step()
        optimizers[name].zero_grad()
        return time.perf_counter() - start

    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(arguments.steps + 3):
        for name in ways:
            seconds = step(name)
            if number >= 3:
                times[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    kind = "bf16" if arguments.bf16 else "fp32"
    depths = f"{arguments.teacher_layers}x384 -> {arguments.student_layers}x384"
    shape = f"batch {arguments.batch_size} x {arguments.length}"
    print(f"{depths}, {shape}, {kind}, {torch.get_num_threads()} threads")
    for name, seconds in medians.items():
        print(f"{name:6} {seconds * 1000:8.1f} ms a step")
    print(f"ratio  {medians['eager'] / medians['here']:8.2f}")


if __name__ == "__main__":
    main()
