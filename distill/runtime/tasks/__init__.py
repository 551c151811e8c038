"""What the runtime makes of a head's outputs: one file per kind of task."""

from __future__ import annotations

from distill.runtime.model import BundleModel
from distill.runtime.tasks.classification import Classifier
from distill.runtime.tasks.multi_label import MultiLabelClassifier
from distill.runtime.tasks.question_answering import QuestionAnswerer
from distill.runtime.tasks.regression import Regressor

#: Kinds of task, as manifests name them, and what reads their bundles.
KINDS: dict[str, type[BundleModel]] = {
    found.task: found for found in (Classifier, MultiLabelClassifier, QuestionAnswerer, Regressor)
}
