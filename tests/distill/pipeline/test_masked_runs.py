"""Distillation beside masked words: heads, masks, and where the student goes from there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from run_files import changed, facts, recipe_at
from safetensors.numpy import load_file

from distill import load_recipe, run
from distill.pipeline.runner import go_on, resume
from distill.system.errors import ModelError

MATCH = "objectives: [{kind: hidden}, {kind: mlm, weight: 2}]"
LEARNS = f"{{kind: distill, name: first, max_steps: 40, batch_size: 8, lr: 5e-3, {MATCH}}}"
PRETRAIN_PAIRS = "{kind: pretrain, max_steps: 20, batch_size: 8, nsp: true}"
SHORT = "kind: distill, max_steps: 6, batch_size: 8"


@pytest.fixture
def masked(tmp_path: Path, tiny_bert) -> Path:
    """A recipe file: a random 1-layer student matches hidden states and tells masked words."""
    random = np.random.default_rng(0)
    words = ["the", "film", "was", "good", "bad", "a", "story", "of", "love", "and", "time"]
    documents = [
        "".join(f"{' '.join(random.choice(words, random.integers(2, 12)))}.\n" for _ in range(3))
        for _ in range(60)
    ]
    (tmp_path / "text.txt").write_text("\n".join(documents), "utf-8")
    recipe = {
        "recipe": 1,
        "name": "masked",
        "seed": 3,
        "task": {"kind": "text"},
        "data": {"source": "files", "train": str(tmp_path / "text.txt"), "max_length": 32},
        "teacher": {"model": str(tiny_bert())},
        "student": {"size": "1x32/2/64", "init": "random"},
        "stages": [yaml.safe_load(LEARNS)],
        "trainer": {"checkpoint_steps": 2, "threads": 1, "precision": "fp32"},
    }
    path = tmp_path / "masked.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), "utf-8")
    return path


def _names(folder: Path) -> set[str]:
    return set(load_file(folder / "model" / "model.safetensors"))


def test_heads_are_learned_kept_and_dropped(tmp_path: Path, masked: Path) -> None:
    from transformers import AutoModelForMaskedLM

    more = f"{{{SHORT}, name: more, {MATCH}}}"
    pretrain = "{kind: pretrain, name: heads, max_steps: 2, batch_size: 8}"
    plain = f"{{{SHORT}, name: plain, objectives: [{{kind: hidden}}]}}"
    again = f"{{{SHORT}, name: again, {MATCH}}}"
    recipe = load_recipe(masked, f"stages=[{LEARNS}, {more}, {pretrain}, {plain}, {again}]")
    folder = tmp_path / "run"
    run(recipe, folder)
    first, more_, heads, plain_, again_ = (
        folder / name for name in ("02-first", "03-more", "04-heads", "05-plain", "06-again")
    )
    told = facts(first)
    assert set(told["before"]) == {"loss", "mlm_loss", "perplexity"}
    assert told["after"]["mlm_loss"] < told["before"]["mlm_loss"] - 1
    assert told["after"]["loss"] < told["before"]["loss"] - 2
    assert told["before"]["loss"] > 2 * told["before"]["mlm_loss"]  # weighted, and hidden
    assert "loss/mlm" in (folder / "metrics.csv").read_text("utf-8")
    model, info = AutoModelForMaskedLM.from_pretrained(first / "model", output_loading_info=True)
    assert model.config.architectures == ["BertForMaskedLM"]
    assert not info["missing_keys"]
    tied = model.get_output_embeddings().weight
    assert tied.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    # Stages that tell masked words go on from the head that is there.
    for later in (more_, heads):
        assert facts(later)["before"]["mlm_loss"] < told["before"]["mlm_loss"] - 1
    # One that does not leaves the encoder, and after it a new head is drawn.
    assert not any(name.startswith("cls.") for name in _names(plain_))
    assert any(name.startswith("cls.predictions") for name in _names(again_))
    log = (folder / "log.txt").read_text("utf-8")
    assert log.count("without a masked-language head; a new one is drawn") == 1
    assert "again: the student comes without a masked-language head" in log


def test_student_and_teacher_read_the_same_masked_tokens(
    tmp_path: Path, masked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distill.capture.capture import Capture
    from distill.data.text.masking import MaskedSequences
    from distill.stages import distill as stage
    from distill.training.distill import DistillModule
    from distill.training.fit import fit

    read: dict[str, list[torch.Tensor]] = {"BertModel": [], "BertForMaskedLM": []}
    batches: list[dict[str, torch.Tensor]] = []
    rows: list[MaskedSequences] = []
    call, losses = Capture.__call__, DistillModule.losses

    def seen(self: Capture, batch: Any) -> Any:
        read[type(self.model).__name__].append(batch["input_ids"])
        return call(self, batch)

    def kept(self: DistillModule, batch: Any) -> Any:
        if self.model.training and torch.is_grad_enabled():
            batches.append(batch)
        return losses(self, batch)

    def fitted(module: Any, train: Any, **rest: Any) -> Any:
        rows.append(train)
        return fit(module, train, **rest)

    monkeypatch.setattr(Capture, "__call__", seen)
    monkeypatch.setattr(DistillModule, "losses", kept)
    monkeypatch.setattr(stage, "fit", fitted)
    run(load_recipe(masked), tmp_path / "run")
    assert len(batches) == 40
    pairs = zip(read["BertModel"], read["BertForMaskedLM"], strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    plain = super(MaskedSequences, rows[0]).__getitem__
    asked, hidden, epochs = 0, 0, dict.fromkeys(range(len(rows[0])), 0)
    for batch in batches:
        for ids, labels, index in zip(
            batch["input_ids"], batch["mlm_labels"], batch["index"].tolist(), strict=True
        ):
            whole = torch.from_numpy(plain(index)["input_ids"])
            chosen = labels[: len(whole)] != -100
            assert (labels != -100).sum() == chosen.sum()
            special = (whole == 2) | (whole == 3)  # [CLS] and [SEP]
            assert chosen.sum() == max(1, round(0.15 * int((~special).sum())))
            assert not (chosen & special).any()
            assert torch.equal(labels[: len(whole)][chosen], whole[chosen])
            assert torch.equal(ids[: len(whole)][~chosen], whole[~chosen])
            # The pre-training stage's draw, by seed, epoch and row.
            expected = rows[0][epochs[index], index]
            assert np.array_equal(ids[: len(whole)].numpy(), expected["input_ids"])
            epochs[index] += 1
            asked += int(chosen.sum())
            hidden += int((ids[: len(whole)][chosen] == rows[0].masking.mask_id).sum())
    assert max(epochs.values()) > 1
    assert 0.75 < hidden / asked < 0.85
    assert rows[0].seed == 3 + 2


def test_a_stopped_run_ends_the_same(tmp_path: Path, masked: Path, dies_at: Any) -> None:
    stages = (
        f"[{{{SHORT}, name: a, {MATCH}}}, {{{SHORT}, name: b, objectives: [{{kind: cosine}}]}}]"
    )
    recipe = load_recipe(masked, f"stages={stages}")
    whole = tmp_path / "whole"
    run(recipe, whole)
    for killed_at in (5, 11):
        broken = tmp_path / f"broken{killed_at}"
        dies_at(killed_at)
        with pytest.raises(RuntimeError, match="power cut"):
            run(recipe, broken)
        torch.rand(7)  # another process stands elsewhere in torch's own stream of numbers
        resume(broken)
        for name in ("02-a", "03-b"):
            file = f"{name}/model/model.safetensors"
            assert (whole / file).read_bytes() == (broken / file).read_bytes(), name
            assert facts(whole / name)["history"] == facts(broken / name)["history"]


@pytest.mark.parametrize("made_by", [LEARNS, PRETRAIN_PAIRS], ids=["mlm", "nsp"])
def test_a_task_starts_from_the_run_and_its_head_proposes_words(
    tmp_path: Path, masked: Path, tiny_recipe: Path, made_by: str
) -> None:
    words = tmp_path / "words"
    run(load_recipe(masked, f"stages=[{made_by}]"), words)
    augment = {"kind": "augment", "copies": 2, "words": "mlm", "model": str(words)}
    stages = [augment, recipe_at(tiny_recipe)["stages"][0] | {"epochs": 1}]
    student = {"size": "1x32/2/64", "init": str(words)}
    changed(tiny_recipe, track={}, stages=stages, student=student, baseline=False)
    task = load_recipe(tiny_recipe, "teacher.finetune.epochs=1")
    go_on(task, tmp_path / "task", until="intermediate")
    told = facts(tmp_path / "task" / "02-augment")
    assert told["words"]["mlm"] > 0
    assert told["rows_out"] > 0
    assert not any("no masked-language head" in note for note in told["notes"])
    names = _names(tmp_path / "task" / "03-intermediate")
    assert any(name.startswith("classifier.") for name in names)
    assert not any(name.startswith("cls.") for name in names)


def test_masks_need_a_mask_token(tmp_path: Path, masked: Path, tiny_bert) -> None:
    folder = Path(load_recipe(masked).teacher.model)
    file = folder / "tokenizer_config.json"
    content = json.loads(file.read_text("utf-8"))
    content["mask_token"] = None
    file.write_text(json.dumps(content), "utf-8")
    with pytest.raises(ModelError, match=r"stages\.first: tokens are masked, and the tokenizer"):
        run(load_recipe(masked), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_devices_end_as_one_with_the_same_batch(tmp_path: Path, masked: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    shared = ["stages.first.max_steps=10", "stages.first.dropout=0"]
    run(load_recipe(masked, *shared), one)
    run(load_recipe(masked, *shared, "trainer.devices=2"), two)
    weights = [
        load_file(folder / "02-first" / "model" / "model.safetensors") for folder in (one, two)
    ]
    assert set(weights[0]) == set(weights[1])
    for name, wanted in weights[0].items():
        if not name.endswith("attention.self.key.bias"):  # its gradient is rounding
            room = 1e-5 * (np.linalg.norm(wanted) + 0.01)
            assert np.linalg.norm(weights[1][name] - wanted) <= room, name
    for when in ("before", "after"):
        found, wanted = (facts(folder / "02-first")[when] for folder in (two, one))
        assert found == pytest.approx(wanted, rel=1e-5)
