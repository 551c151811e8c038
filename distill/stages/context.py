"""What a stage sees: its own configuration, the run folder, and data made once for all stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from distill.data.load import load_task_data
from distill.data.split import Split, TaskData
from distill.data.tokenized import TokenizedDataset, tokenize
from distill.errors import RunFolderError
from distill.evaluation.predictors import TorchPredictor
from distill.evaluation.score import score
from distill.export.transformers_folder import save_transformers
from distill.modules.fit import FitResult, FitSession
from distill.recipe.plan import PlannedStage
from distill.recipe.schema import Recipe
from distill.run_folder import RunFolder
from distill.tasks import Task, make_task
from distill.tracking.metrics_csv import MetricsCsv
from distill.tracking.weights_biases import wandb_logger
from students.build import build_student
from students.sizes import resolve_size
from teachers.load import load_model, load_tokenizer, resolve_model


@dataclass
class Workspace:
    """Data, tokenizer and task of a run, loaded when first asked for and then shared.

    Args:
        recipe: the run's recipe.
    """

    recipe: Recipe
    _tokenized: dict[str, TokenizedDataset] = field(default_factory=dict)

    @cached_property
    def data(self) -> TaskData:
        """The rows."""
        return load_task_data(self.recipe.data, self.recipe.task, seed=self.recipe.seed)

    @cached_property
    def task(self) -> Task:
        """Labels, loss and metrics."""
        return make_task(self.recipe.task, self.data.labels)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The teacher's tokenizer, which the student shares."""
        teacher = self.recipe.teacher
        return load_tokenizer(
            resolve_model(teacher.model, revision=teacher.revision),
            revision=teacher.revision,
            trust_remote_code=teacher.trust_remote_code,
        )

    @property
    def final_split(self) -> Split:
        """The rows that the final table scores: test where there is one, else validation."""
        return self.data.test or self.data.validation

    def tokenized(self, split: Split) -> TokenizedDataset:
        """A split's token ids."""
        if split.name not in self._tokenized:
            self._tokenized[split.name] = tokenize(
                split, self.tokenizer, max_length=self.recipe.data.max_length
            )
        return self._tokenized[split.name]

    def data_digest(self) -> list[str]:
        """Hashes of the rows: part of what every stage depends on."""
        splits = [self.data.train, self.data.validation, self.data.test]
        return [split.digest() for split in splits if split is not None]


@dataclass(frozen=True)
class StageResult:
    """What a stage hands back to the runner.

    Args:
        outputs: files and folders whose hashes stand for the stage's work.
        facts: what goes into ``stage.json``.
    """

    outputs: list[Path]
    facts: dict[str, Any]


@dataclass(frozen=True)
class StageContext:
    """Everything a stage may use.

    Args:
        run: the run folder.
        stage: the stage itself.
        stages: all stages of the run, in order.
        workspace: data, tokenizer and task.
    """

    run: RunFolder
    stage: PlannedStage
    stages: list[PlannedStage]
    workspace: Workspace

    @property
    def recipe(self) -> Recipe:
        """The run's recipe."""
        return self.workspace.recipe

    @property
    def folder(self) -> Path:
        """The stage's own folder."""
        return self.run.stage(self.stage)

    @property
    def model_folder(self) -> Path:
        """Where the stage leaves its model."""
        return self.folder / "model"

    def earlier(self, kind: str) -> PlannedStage | None:
        """The latest stage of a kind before this one."""
        found = [s for s in self.stages if s.kind == kind and s.index < self.stage.index]
        return found[-1] if found else None

    def student_stage(self) -> PlannedStage | None:
        """The latest stage before this one that left a student."""
        found = [s for s in self.stages if s.makes_student and s.index < self.stage.index]
        return found[-1] if found else None

    def load_teacher(self) -> PreTrainedModel:
        """The teacher as the first stage left it."""
        return load_model(self.run.stage(self.stages[0]) / "model")

    def initial_student(self, source: PreTrainedModel) -> PreTrainedModel:
        """The student before any training; the same weights each time it is asked for.

        Args:
            source: the model whose layers are copied.
        """
        config, student = source.config, self.recipe.student
        size = resolve_size(
            student.size, head_dim_of=(config.hidden_size, config.num_attention_heads)
        )
        return build_student(
            source, size, init=student.init, layers=student.init_layers, seed=self.recipe.seed
        )

    def load_student(self) -> PreTrainedModel:
        """The student as the stages before this one left it; the initial one if there is none."""
        stage = self.student_stage()
        if stage is None:
            return self.initial_student(self.load_teacher())
        return load_model(self.run.stage(stage) / "model")

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

    def loggers(self) -> list[Logger]:
        """Where this stage's curves go: the CSV always, W&B when the recipe asks."""
        found: list[Logger] = [MetricsCsv(self.run.metrics, stage=self.stage.name)]
        remote = wandb_logger(
            self.recipe.track.wandb,
            recipe=self.recipe.model_dump(mode="json"),
            run_folder=self.run.path,
            stage=self.stage.name,
        )
        return [*found, remote] if remote is not None else found

    def session(self) -> FitSession:
        """What training needs to know of this stage."""
        return FitSession(
            folder=self.folder,
            name=self.stage.name,
            seed=self.recipe.seed + self.stage.index,
            trainer=self.recipe.trainer,
            loggers=self.loggers(),
        )

    def save_model(
        self, model: PreTrainedModel, fit: FitResult | None = None, **facts: Any
    ) -> StageResult:
        """Score a stage's model on the validation rows and leave it in the stage's folder."""
        workspace = self.workspace
        save_transformers(model, workspace.tokenizer, self.model_folder)
        scores = score(
            TorchPredictor(model, threads=self.recipe.trainer.threads),
            workspace.tokenized(workspace.data.validation),
            workspace.task,
        )
        if fit is not None:
            facts |= {
                "best_step": fit.best_step,
                "steps": fit.steps,
                "stopped_early": fit.stopped_early,
                "training_seconds": fit.seconds,
                "history": fit.history,
            }
        return StageResult(
            outputs=[self.model_folder],
            facts={"score": scores[workspace.task.primary], "scores": scores, **facts},
        )
