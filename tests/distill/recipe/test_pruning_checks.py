import pytest

from distill.recipe.loader import load_recipe

AT = "  - {kind: export}"


def with_stages(write, *stages):
    return write((AT, "\n".join([*(f"  - {stage}" for stage in stages), AT])))


@pytest.mark.parametrize(
    ("stage", "where", "message"),
    [
        ("{kind: prune, heads: 0.3, budget: {macs: 0.5}}", "heads", "a share and a budget cannot"),
        ("{kind: prune, ffn: 0.3, budget: {macs: 0.5}}", "ffn", "keep one of them"),
        ("{kind: prune, budget: {macs: 0.5, parameters: 0.5}}", "budget", "macs and parameters"),
        ("{kind: prune, budget: {length: 32}}", "budget", "found none; give one of"),
        ("{kind: prune, budget: {parameters: 0.5, length: 8}}", "budget.length", "leave it out"),
        ("{kind: prune, budget: {macs: 0.5, threads: 1}}", "budget.threads", "only latency_ms"),
        ("{kind: prune, heads: 0, ffn: 0}", "heads", "nothing would be removed"),
        ("{kind: prune, hidden: 0.3, budget: {macs: 0.5}}", "hidden", "in another stage"),
        ("{kind: prune, method: l1, hidden: 0.3}", "hidden", "is for method taylor and fisher"),
        ("{kind: prune, hidden: 0.3, reconstruct: scale}", "reconstruct", "none are removed"),
        ("{kind: prune, samples: 64}", "samples", "is for method fisher; 'taylor'"),
        ("{kind: prune, method: l1, score_steps: 5}", "score_steps", "taylor, movement and depth"),
        ("{kind: prune, layers: 1}", "layers", "is for method depth"),
        ("{kind: prune, method: depth}", "method", "needs `layers`"),
        ("{kind: prune, method: depth, layers: 1, keep: [1]}", "method", "one of them"),
        (
            "{kind: prune, method: depth, layers: 1, heads: 0.5}",
            "heads",
            "taylor, fisher, l1 and movement",
        ),
        ("{kind: prune, method: depth, layers: 3}", "layers", "the student has 3 layers then"),
        ("{kind: prune, method: depth, keep: [1, 4]}", "keep", "no student layer 4 then"),
        ("{kind: prune, method: depth, keep: [2, 1]}", "keep", "in their order"),
        ("{kind: prune, steps: 4}", "steps", "write schedule: linear or agp"),
        ("{kind: prune, schedule: agp, recover: null}", "recover", "between its rounds"),
        (
            "{kind: prune, method: movement, schedule: agp}",
            "schedule",
            "taylor, fisher and l1; 'movement'",
        ),
        (
            "{kind: prune, method: depth, layers: 1, schedule: agp}",
            "schedule",
            "'depth' has no use",
        ),
        ("{kind: prune, method: vocabulary, recover: {epochs: 2}}", "recover", "leave it out"),
        ("{kind: prune, min_count: 5}", "min_count", "is for method vocabulary; 'taylor'"),
        ("{kind: prune, method: embeddings}", "rank", "missing; Width of the table"),
        ("{kind: prune, method: embeddings, rank: 0}", "rank", "at least 1"),
        ("{kind: prune, method: embeddings, rank: 2.5}", "rank", "expected a whole number"),
        ("{kind: prune, method: embeddings, rank: .nan}", "rank", "found .nan, expected"),
        ("{kind: prune, method: embeddings, rank: 384}", "rank", "is 384 wide then; write less"),
        ("{kind: prune, method: embeddings, rank: 8, heads: 0.5}", "heads", "'embeddings' has no"),
        ("{kind: prune, rank: 64}", "rank", "is for method embeddings; 'taylor'"),
        ("{kind: prune, tries: 2}", "tries", "are for max_drop"),
        (
            "{kind: prune, method: tailor}",
            "method",
            "depth, vocabulary, embeddings; did you mean 'tay",
        ),
        ("{kind: prune, method: 3}", "method", "found the number 3; there are: taylor, fisher"),
        ("{kind: prune, haeds: 0.3}", "haeds", "unknown key; did you mean 'heads'?"),
        ("{kind: prune, method: depth, layers: x}", "layers", "expected a whole number"),
    ],
)
def test_settings_that_cannot_be(write, issues, stage, where, message):
    told = issues(with_stages(write, stage))
    assert len(told) == 1, told
    assert told[0].startswith("small.yaml:")
    assert f"stages.prune.{where}: " in told[0] or f"stages[2].{where}: " in told[0]
    assert message in told[0]


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
    ],
)
def test_settings_that_can_be_and_survive_being_written(write, rewritten, stage):
    recipe = load_recipe(with_stages(write, stage))
    assert rewritten(recipe) == recipe


def test_a_layer_map_behind_a_depth_stage_is_of_what_is_left(write, issues):
    stages = (
        "{kind: prune, method: depth, layers: 1}",
        "{kind: distill, name: again, objectives: [{kind: hidden}], layer_map: [[3, 6]]}",
    )
    told = issues(with_stages(write, *stages))
    assert len(told) == 1
    assert "there is no student layer 3; they are 1 to 2" in told[0]
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
    told = issues(with_stages(write, *stages))
    assert len(told) == 1
    assert "'hidden' is matched token by token" in told[0]
    load_recipe(with_stages(write, *stages), "stages.again.objectives=[{kind: logits}]")
