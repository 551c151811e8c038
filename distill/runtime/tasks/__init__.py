"""What the runtime makes of a head's outputs: one file per kind of task."""

from __future__ import annotations

from distill.errors import ModelError
from distill.runtime.manifest import Manifest
from distill.runtime.model import BundleModel
from distill.runtime.tasks.classification import Classifier
from distill.runtime.tasks.multi_label import MultiLabelClassifier
from distill.runtime.tasks.ner import Tagger
from distill.runtime.tasks.question_answering import QuestionAnswerer
from distill.runtime.tasks.regression import Regressor
from distill.runtime.tasks.vectors import VectorClassifier, VectorModel

#: Kinds of task, as manifests name them, and what reads their bundles.
KINDS: dict[str, type[BundleModel]] = {
    found.task: found
    for found in (
        Classifier,
        MultiLabelClassifier,
        QuestionAnswerer,
        Regressor,
        Tagger,
        VectorModel,
    )
}


def reader(manifest: Manifest) -> type[BundleModel]:
    """What reads a bundle.

    Raises:
        ModelError: this version knows no such task.
    """
    if manifest.task not in KINDS:
        raise ModelError(
            f"{manifest.folder}: a bundle for '{manifest.task}'; this version knows "
            f"{', '.join(KINDS)}"
        )
    # A linear head beside a sentence encoder.
    return VectorClassifier if "head" in manifest.settings else KINDS[manifest.task]
