"""What a stage sees: its own configuration, the run folder, and data made once for all stages."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch.loggers import Logger
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from distill.evaluation.predictors import TorchPredictor
from distill.evaluation.score import score_and_choose
from distill.export.transformers_folder import save_transformers
from distill.pruning.subwords import count_pieces
from distill.recipe.model_shapes import has_masked_head
from distill.recipe.plan import PlannedStage
from distill.recipe.schema import EncoderStudent, Recipe, StaticStudent, TeacherModel
from distill.recipe.sizes import resolve_size
from distill.run_folder import RunFolder
from distill.stages.workspace import Workspace
from distill.system.errors import RunFolderError
from distill.tasks.base import Task
from distill.tracking.metrics_csv import MetricsCsv
from distill.tracking.weights_biases import wandb_logger
from distill.training.fit import FitResult, FitSession
from students.build import INITS, build_student
from students.heads import outputs_of
from students.static import build_static, frequency_weights, special_ids, zipf_counts
from teachers.cache import cached_token_vectors
from teachers.load import load_encoder, load_model, load_sentence_encoder, load_teacher
from teachers.resolve import model_folder, resolve_model

logger = logging.getLogger("distill")


@dataclass(frozen=True)
class StageResult:
    """What a stage hands back to the runner."""

    outputs: list[Path]  # files and folders whose hashes stand for the stage's work
    facts: dict[str, Any]  # what goes into ``stage.json``


@dataclass(frozen=True)
class StageContext:
    """Everything a stage may use."""

    run: RunFolder  # the run folder
    stage: PlannedStage  # the stage itself
    stages: list[PlannedStage]  # all stages of the run
    shared: Workspace  # data and task, with the tokenizer that the run begins with

    @property
    def recipe(self) -> Recipe:
        return self.shared.recipe

    @property
    def workspace(self) -> Workspace:
        """Data, task, and the tokenizer of the student as it comes to this stage."""
        return self.workspace_of(self.stage.index - 1)

    def workspace_of(self, index: int) -> Workspace:
        """The rows as the student reads them that the stage of this number left."""
        trimmed = [s for s in self.stages if s.trims_vocabulary and s.index <= index]
        if not trimmed:
            return self.shared
        return self.shared.read_by(self.run.stage(trimmed[-1]) / "model")

    @property
    def folder(self) -> Path:
        return self.run.stage(self.stage)

    @property
    def model_folder(self) -> Path:
        return self.folder / "model"

    def earlier(self, kind: str) -> PlannedStage | None:
        """The latest stage of a kind before this one."""
        found = [s for s in self.stages if s.kind == kind and s.index < self.stage.index]
        return found[-1] if found else None

    def student_stage(self) -> PlannedStage | None:
        """The latest stage before this one that left a student."""
        found = [s for s in self.stages if s.makes_student and s.index < self.stage.index]
        return found[-1] if found else None

    def load_teacher(self, number: int = 0) -> PreTrainedModel:
        """A teacher as its stage left it: the first one, or another by its number from 0."""
        return self._load(self.run.stage(self.stages[number]) / "model")

    def pretrained(self, teacher: TeacherModel) -> PreTrainedModel:
        """The model that a teacher of the recipe is made from, with a head for the data's labels.

        Raises:
            ModelError: it cannot be loaded, or a fine-tuned one's labels are not the data's.
        """
        # The new head's weights are drawn here, so that they depend on the recipe's seed alone.
        torch.manual_seed(self.recipe.seed)
        task = self.workspace.task
        if self.recipe.task.gives_vectors:
            return load_sentence_encoder(
                teacher.model,
                pooling=task.settings["pooling"],
                trust_remote_code=teacher.trust_remote_code,
                revision=teacher.revision,
            )
        return load_teacher(
            resolve_model(teacher.model, revision=teacher.revision),
            labels=task.labels,
            finetuned=teacher.finetune is None,
            trust_remote_code=teacher.trust_remote_code,
            revision=teacher.revision,
            given_labels=teacher.labels,
            head=task.head,
            problem_type=task.problem_type,
        )

    def _source(self) -> PreTrainedModel:
        """The model that the student is made from: the teacher, or what stands in its place."""
        if self.recipe.teacher.targets is None:
            return self.load_teacher()
        return self.pretrained(self.recipe.source)

    def _load(self, folder: Path) -> PreTrainedModel:
        if not self.workspace.learns_text:
            return load_model(folder)
        # A folder with a masked-language head has no pooler: drawn alike each time it is asked for.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed)
            return load_encoder(folder)

    def initial_student(
        self, source: PreTrainedModel, *, init: str | None = None, head: str | None = None
    ) -> PreTrainedModel:
        """The student before any training; the same weights each time it is asked for.

        Args:
            source: the model whose layers are copied.
            init: where its weights come from, unless it is where the recipe says.
            head: what stands on its encoder, unless it is what the task needs.
        """
        student = self.recipe.student
        head = head or ("none" if self.workspace.learns_text else self.workspace.task.head)
        if isinstance(student, StaticStudent):
            made = self._static_student(source, student, head)
        else:
            made = self._encoder_student(source, student, init or student.init, head)
        if not self.workspace.learns_text:
            for key, value in self.workspace.task.model_settings.items():
                setattr(made.config, key, value)  # the teacher's may be another
        return made

    def _encoder_student(
        self, source: PreTrainedModel, student: EncoderStudent, init: str, head: str
    ) -> PreTrainedModel:
        hidden = getattr(source.config, "hidden_size", None)
        heads = getattr(source.config, "num_attention_heads", None)
        size = resolve_size(student.size, head_dim_of=(hidden, heads) if hidden and heads else None)
        return build_student(
            source,
            size,
            init=init if init in INITS else str(model_folder(init)),
            layers=student.init_layers,
            seed=self.recipe.seed,
            head=head,
            own_vocabulary=not self.workspace.reads_as_teacher,
            vectors=self.vectors_width(source) if head == "vectors" else None,
        )

    def vectors_width(self, source: PreTrainedModel) -> int | None:
        """The width that a student's own projection brings its vectors to, where it keeps one."""
        workspace = self.shared
        if not workspace.task.keep_projection:
            return None
        given = workspace.given(workspace.data.train)
        return outputs_of(source) if given is None else int(given.shape[-1])

    def _static_student(
        self, source: PreTrainedModel, student: StaticStudent, head: str
    ) -> PreTrainedModel:
        tokenizer, train = self.shared.tokenizer, self.shared.data.train
        table = cast(nn.Embedding, source.get_input_embeddings())
        counts = np.zeros(table.num_embeddings, dtype=np.int64)
        if student.frequency == "texts":
            found = count_pieces(tokenizer, [*train.texts, *(train.pairs or ())])
            counts[list(found)] = list(found.values())
        elif student.frequency == "zipf":
            counts = zipf_counts(len(counts), special_ids(tokenizer))
        return build_static(
            source,
            tokenizer,
            dim=student.dim,
            weights=frequency_weights(counts),
            vectors=cached_token_vectors(source, tokenizer),
            head=head,
            head_size=student.head_size,
            seed=self.recipe.seed,
        )

    def student_to_pretrain(self, *, nsp: bool) -> PreTrainedModel:
        """The student as it is so far, with the heads of pre-training on its encoder.

        Heads that it has already are kept; others are drawn by the seed.
        """
        stage = self.student_stage()
        init = self.recipe.student.init
        if stage is not None:
            init = str(self.run.stage(stage) / "model")
        elif init not in INITS:
            init = str(model_folder(init))
        if init != "random" and has_masked_head(init) is not True:
            logger.info(
                "%s: the student comes without a masked-language head; a new one is drawn",
                self.stage.name,
            )
        return self.initial_student(self._source(), init=init, head="mlm+nsp" if nsp else "mlm")

    def load_student(self) -> PreTrainedModel:
        """The student as the stages before this one left it; the initial one if there is none."""
        stage = self.student_stage()
        if stage is None:
            return self.initial_student(self._source())
        return self._load(self.run.stage(stage) / "model")

    def trained_student_folder(self) -> Path:
        """The folder of the newest student.

        Raises:
            RunFolderError: no stage before this one leaves a student.
        """
        stage = self.student_stage()
        if stage is None:
            raise RunFolderError(
                f"stage '{self.stage.name}' needs a trained student: put a distill stage before it"
            )
        return self.run.stage(stage) / "model"

    def session(self, part: Path = Path()) -> FitSession:
        """What training needs to know of this stage; curves go to W&B too when the recipe asks.

        Args:
            part: a folder inside the stage's, for one of several trainings; its curves go by the
                stage's name with the part's behind it.
        """
        name = "-".join([self.stage.name, *part.parts])
        loggers: list[Logger] = [MetricsCsv(self.run.metrics, stage=name)]
        remote = wandb_logger(
            self.recipe.track.wandb,
            recipe=self.recipe.model_dump(mode="json"),
            run_folder=self.run.path,
            stage=name,
        )
        return FitSession(
            folder=self.folder / part,
            name=name,
            seed=self.recipe.seed + self.stage.index,
            trainer=self.recipe.trainer,
            loggers=loggers if remote is None else [*loggers, remote],
        )

    def save_model(
        self,
        model: PreTrainedModel,
        fit: FitResult | None = None,
        *,
        tokenizer: PreTrainedTokenizerFast | None = None,
        **facts: Any,
    ) -> StageResult:
        """Leave a stage's model in its folder, scored on the validation examples if it has a head.

        Without one, what its training was measured by stands as ``before`` and ``after``.

        Args:
            model: what is left.
            fit: what came of its training.
            tokenizer: a teacher's own, or the student's from now on, where the stage changed it.
            **facts: further facts for ``stage.json``.
        """
        workspace = self.workspace
        self.save_weights(model, self.model_folder, tokenizer)
        if fit is not None:
            facts |= {
                "best_step": fit.best_step,
                "steps": fit.steps,
                "stopped_early": fit.stopped_early,
                "training_seconds": fit.seconds,
                "history": fit.history,
            }
        if workspace.learns_text:
            if fit is not None and fit.history:
                facts |= {
                    "before": fit.history[0]["metrics"],
                    "after": fit.history[-1]["metrics"],
                }
            return StageResult(outputs=[self.model_folder], facts=facts)
        scores, chosen = self._validated(model, tokenizer)
        if told := workspace.task.settled(chosen).told_choice():
            logger.info("%s: %s", self.stage.name, told)
        scored = {"score": scores[workspace.task.primary], "scores": scores, **chosen}
        return StageResult(outputs=[self.model_folder], facts={**scored, **facts})

    def save_weights(
        self, model: PreTrainedModel, folder: Path, tokenizer: PreTrainedTokenizerFast | None = None
    ) -> None:
        """Write a model with its tokenizer, the student's unless another is given."""
        save_transformers(model, tokenizer or self.workspace.tokenizer, folder)

    def settled_task(self, stage: PlannedStage | None) -> Task:
        """The task with what was chosen for the model that a stage left."""
        task = self.workspace.task
        return task if stage is None else task.settled(self.run.read_stage(stage))

    def _validated(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast | None
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """Every metric of the task on the validation examples, and what was chosen on them."""
        workspace = self.workspace
        split = workspace.data.validation
        if tokenizer is None or tokenizer is workspace.tokenizer:
            rows = workspace.tokenized(split)
        else:
            rows = split.encode(tokenizer, max_length=self.recipe.data.max_length)
        return score_and_choose(
            TorchPredictor(model, threads=self.recipe.trainer.threads), rows, workspace.task
        )

    def validation_score(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast | None = None
    ) -> float:
        scores, _ = self._validated(model, tokenizer)
        return scores[self.workspace.task.primary]
