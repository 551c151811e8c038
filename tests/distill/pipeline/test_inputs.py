"""What a stage's result hangs on, told by a hash of its settings."""

from __future__ import annotations

from distill.pipeline.inputs import said
from distill.recipe.schema import PruneStage, TrainConfig


def test_later_settings_count_only_where_they_say_something() -> None:
    plain = TrainConfig(lr=1e-3).model_dump(mode="json")
    assert "layer_decay" in plain
    assert said(plain) == {key: value for key, value in plain.items() if key != "layer_decay"}
    decayed = PruneStage(kind="prune", heads=0.5, recover=TrainConfig(layer_decay=0.9))
    found = said(decayed.model_dump(mode="json"))
    assert found["recover"]["layer_decay"] == 0.9
    assert found["heads"] == 0.5
