"""What a prune or a quantize stage cannot say, with its line; and what it can."""

import pytest

from distill.recipe.loader import load_recipe

AT = "  - {kind: export}"


def with_stages(write, *stages):
    return write((AT, "\n".join([*(f"  - {stage}" for stage in stages), AT])))


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("{kind: prune, heads: 0.3, budget: {macs: 0.5}}", "heads: a share and a budget cannot bo"),
        ("{kind: prune, ffn: 0.3, budget: {macs: 0.5}}", "ffn: a share and a budget cannot both h"),
        ("{kind: prune, budget: {macs: 0.5, parameters: 0.5}}", "budget: found macs and parameter"),
        ("{kind: prune, budget: {length: 32}}", "budget: found none; give one of: macs, parameter"),
        ("{kind: prune, budget: {parameters: 0.5, length: 8}}", "budget.length: parameters do not"),
        ("{kind: prune, budget: {macs: 0.5, threads: 1}}", "budget.threads: only latency_ms is me"),
        ("{kind: prune, heads: 0, ffn: 0}", "heads: nothing would be removed; give a share of hea"),
        ("{kind: prune, hidden: 0.3, budget: {macs: 0.5}}", "hidden: a budget divides heads and n"),
        ("{kind: prune, method: l1, hidden: 0.3}", "hidden: is for method taylor and fisher; 'l1'"),
        ("{kind: prune, hidden: 0.3, reconstruct: scale}", "reconstruct: fits what stands behind "),
        ("{kind: prune, samples: 64}", "samples: is for method fisher; 'taylor' has no use for it"),
        ("{kind: prune, method: l1, score_steps: 5}", "score_steps: is for method taylor, movemen"),
        ("{kind: prune, layers: 1}", "layers: is for method depth; 'taylor' has no use for it: le"),
        ("{kind: prune, method: depth}", "method: 'depth' needs `layers` (how many go) or `keep` "),
        ("{kind: prune, method: depth, layers: 1, keep: [1]}", "method: 'depth' needs `layers` (h"),
        ("{kind: prune, method: depth, layers: 1, heads: 0.5}", "heads: is for method taylor, fis"),
        ("{kind: prune, method: depth, layers: 3}", "layers: the student has 3 layers then; at le"),
        ("{kind: prune, method: depth, keep: [1, 4]}", "keep: there is no student layer 4 then; t"),
        ("{kind: prune, method: depth, keep: [2, 1]}", "keep: layers stay in their order, each on"),
        ("{kind: prune, steps: 4}", "steps: are the rounds of a schedule; write schedule: linear "),
        ("{kind: prune, schedule: agp, recover: null}", "recover: a schedule recovers between its"),
        ("{kind: prune, method: movement, schedule: agp}", "schedule: is for method taylor, fishe"),
        ("{kind: prune, method: depth, layers: 1, schedule: agp}", "schedule: is for method taylo"),
        ("{kind: prune, method: vocabulary, recover: {epochs: 2}}", "recover: is for method taylo"),
        ("{kind: prune, min_count: 5}", "min_count: is for method vocabulary; 'taylor' has no use"),
        ("{kind: prune, method: embeddings}", "rank: missing; Width of the table that is left; le"),
        ("{kind: prune, method: embeddings, rank: 0}", "rank: found the number 0, expected at lea"),
        ("{kind: prune, method: embeddings, rank: 2.5}", "rank: found the number 2.5, expected a "),
        ("{kind: prune, method: embeddings, rank: .nan}", "rank: found .nan, expected a finite nu"),
        ("{kind: prune, method: embeddings, rank: 384}", "rank: the table of word embeddings is 3"),
        ("{kind: prune, method: embeddings, rank: 8, heads: 0.5}", "heads: is for method taylor, "),
        ("{kind: prune, rank: 64}", "rank: is for method embeddings; 'taylor' has no use for it: "),
        ("{kind: prune, tries: 2}", "tries: are for max_drop, which is not set; give both or neit"),
        ("{kind: prune, method: tailor}", "method: unknown method 'tailor'; there are: taylor, fi"),
        ("{kind: prune, method: 3}", "method: found the number 3; there are: taylor, fisher, l1, "),
        ("{kind: prune, haeds: 0.3}", "haeds: unknown key; did you mean 'heads'?"),
        ("{kind: prune, method: depth, layers: x}", "layers: found the text 'x', expected a whole"),
        ("{kind: quantize, bits: 4}", "bits: is for method weights_only; 'static' has no use for "),
        ("{kind: quantize, algorithm: lsq}", "algorithm: is for method qat; 'static' has no use f"),
        ("{kind: quantize, train: {epochs: 2}}", "train: is for method qat; 'static' has no use f"),
        ("{kind: quantize, method: qat, train: {patience: 2}}", "train.patience: does nothing her"),
        ("{kind: quantize, activation_scales: per_batch}", "activation_scales: is for method dyna"),
        ("{kind: quantize, max_drop: 1.5}", "max_drop: is 1.5, but accuracy can fall by no more t"),
        ("{kind: quantize, method: dynamic, calibration: entropy}", "calibration: scales of dynam"),
    ],
)
def test_settings_that_cannot_be(write, issues, stage, said):
    (told,) = issues(with_stages(write, stage))
    assert told.startswith(f"small.yaml:18: stages[2].{said}")


@pytest.mark.parametrize(
    "stage",
    [
        "{kind: prune}",
        "{kind: prune, hidden: 0.25}",
        "{kind: prune, method: fisher, hidden: 0.25, heads: 0.25, reconstruct: weights}",
        "{kind: prune, method: fisher, budget: {macs: 0.5, length: 32}, recover: null}",
        "{kind: prune, method: fisher, samples: 64, heads: 0.5, uniform: false}",
        "{kind: prune, method: l1, budget: {parameters: 0.6}, schedule: linear, steps: 3}",
        "{kind: prune, method: movement, budget: {latency_ms: 1.2, length: 32, threads: 1}}",
        "{kind: prune, method: depth, keep: [1, 3], max_drop: 0.01, tries: 2}",
        "{kind: prune, method: vocabulary}",
        "{kind: prune, method: vocabulary, min_count: 5}",
        "{kind: prune, method: embeddings, rank: 128, max_drop: 0.01}",
        "{kind: quantize, method: dynamic, activation_scales: per_batch}",
        "{kind: quantize, method: qat, train: {max_steps: 20}}",
        "{kind: quantize, method: weights_only, bits: 4}",
        "{kind: quantize, method: static, calibration: entropy, exclude: [classifier]}",
    ],
)
def test_settings_that_can_be_and_survive_being_written(write, rewritten, stage):
    recipe = load_recipe(with_stages(write, stage))
    assert rewritten(recipe) == recipe


def test_int8_alone_is_exported_after_a_quantize_stage(write):
    load_recipe(with_stages(write, "{kind: quantize}"), "stages.export.formats=[onnx-int8]")


def test_a_layer_map_behind_a_depth_stage_is_of_what_is_left(write, issues):
    stages = (
        "{kind: prune, method: depth, layers: 1}",
        "{kind: distill, name: again, objectives: [{kind: hidden}], layer_map: [[3, 6]]}",
    )
    (told,) = issues(with_stages(write, *stages))
    assert "there is no student layer 3; they are 1 to 2" in told
    load_recipe(with_stages(write, *stages), "stages.again.layer_map=[[2, 6]]")


def test_a_rank_is_less_than_the_table_is_wide_by_then(write, issues):
    stages = (
        "{kind: prune, hidden: 0.25}",
        "{kind: prune, name: words, method: embeddings, rank: 128}",
        "{kind: prune, name: again, method: embeddings, rank: 64}",
    )
    path = with_stages(write, *stages)
    load_recipe(path)
    told = issues(path, "stages.words.rank=288", "stages.again.rank=288")
    assert [line.partition(": ")[2] for line in told] == [
        f"stages.{name}.rank: the table of word embeddings is 288 wide then; write less"
        for name in ("words", "again")
    ]


def test_only_logits_are_matched_with_a_vocabulary_of_one_s_own(write, issues):
    stages = (
        "{kind: prune, method: vocabulary}",
        "{kind: distill, name: again, objectives: [{kind: hidden}, {kind: logits}]}",
    )
    (told,) = issues(with_stages(write, *stages))
    assert "'hidden' is matched token by token" in told
    load_recipe(with_stages(write, *stages), "stages.again.objectives=[{kind: logits}]")
