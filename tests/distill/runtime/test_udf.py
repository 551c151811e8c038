"""A batch predictor gives the bytes of the plain command, wherever an engine carries it."""

import json
import multiprocessing
import os
import pickle
import sys
from functools import partial

import numpy as np
import pytest

from distill.cli.main import main
from distill.runtime import BatchPredictor, load
from distill.system.errors import DataError, ModelError

ROWS = 200
TEXTS = [f"the film {'was very good ' * (n % 5)}number {n}" for n in range(ROWS)]


@pytest.fixture
def plain(tmp_path):
    """The rows of the plain command, as bytes."""

    def run(folder, *words, texts=TEXTS):
        source, out = tmp_path / "plain.jsonl", tmp_path / "plain-out.jsonl"
        source.write_text("".join(json.dumps({"text": one}) + "\n" for one in texts))
        words = ["predict", folder, "--file", source, "--out", out, *words]
        assert main([str(word) for word in words]) == 0
        return out.read_bytes()

    return run


def as_bytes(columns):
    """Columns of an answer as the lines of the plain command."""
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def answer(predict, texts):
    return as_bytes(predict({"text": texts}))


def parts(size):
    return [TEXTS[at : at + size] for at in range(0, ROWS, size)]


def test_batches_of_any_size_lists_and_arrays(bundle, plain):
    predict = BatchPredictor(bundle())
    whole = plain(predict.folder)
    assert b"".join(answer(predict, part) for part in parts(7)) == whole
    columns = predict({"text": np.array(TEXTS), "id": np.arange(ROWS)})
    assert list(columns) == ["text", "id", "label", "probabilities"]
    assert isinstance(columns["id"], np.ndarray)
    assert [json.loads(line)["label"] for line in whole.splitlines()] == columns["label"]
    assert list(predict({"text": []}).items()) == [
        ("text", []),
        ("label", []),
        ("probabilities", []),
    ]
    with_gold = BatchPredictor(predict.folder, keep=["label"])(
        {"sentence": TEXTS[:2], "label": [0, 1]}
    )
    assert with_gold["input.label"] == [0, 1]
    assert list(with_gold) == ["input.label", "label", "probabilities"]


def test_it_is_pickled_without_its_session(bundle, plain, tmp_path, monkeypatch):
    folder = bundle()
    monkeypatch.chdir(folder.parent)
    predict = BatchPredictor(folder.name)
    before = pickle.dumps(predict)
    assert answer(predict, TEXTS) == plain(folder)
    assert pickle.dumps(predict) == before
    assert len(before) < 2000
    monkeypatch.chdir("/")  # as in a worker's own folder
    assert answer(pickle.loads(before), TEXTS) == plain(folder)
    (folder / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ModelError, match="changed since this predictor was made"):
        answer(pickle.loads(before), TEXTS)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(("method", "threads"), [("fork", 2), ("spawn", 1)])
def test_pools_of_processes(bundle, plain, method, threads):
    predict = BatchPredictor(bundle(), threads=threads)
    whole = plain(predict.folder)
    assert answer(predict, TEXTS[:50])  # a session with threads is open when the process forks
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map_async(partial(answer, predict), parts(30)).get(timeout=120)
    assert b"".join(found) == whole
    assert answer(predict, TEXTS) == whole


def test_datasets_map(bundle, plain):
    import datasets

    predict = BatchPredictor(bundle())
    dataset = datasets.Dataset.from_dict({"text": TEXTS, "label": [0] * ROWS})
    found = dataset.map(predict, batched=True, batch_size=33, num_proc=2)
    assert set(found.column_names) == {"text", "label", "input.label", "probabilities"}
    assert set(found["input.label"]) == {0}
    columns = {name: list(found[name]) for name in ("text", "label", "probabilities")}
    assert as_bytes(columns) == plain(predict.folder)


def test_vectors_pairs_and_what_is_nested(vector_bundle, bundle):
    predict = BatchPredictor(vector_bundle())
    found = predict({"text": TEXTS[:9]})["vector"]
    assert np.array_equal(np.stack(found), load(predict.folder).encode(TEXTS[:9]))
    assert found[0].dtype == np.float32
    assert predict.spark_type == "`vector` array<float>"
    assert predict.for_spark()(np.array(TEXTS[:3]))["vector"].shape == (3, 32)
    pairs = bundle(pair=True)
    both = BatchPredictor(pairs, pair_column="other")
    rows = load(pairs).predict(["a", "b"], ["c", "d"])
    assert both({"text": ["a", "b"], "other": ["c", "d"]})["label"] == [
        row["label"] for row in rows
    ]


def test_spark_function_without_spark(bundle):
    predict = BatchPredictor(bundle(), skip_bad=True)
    names = ["label", "probabilities.bad", "probabilities.fair", "probabilities.good"]
    assert predict.spark_type == (
        "`label` string, `probabilities.bad` double, `probabilities.fair` double, "
        "`probabilities.good` double"
    )
    found = predict.for_spark()(np.array([*TEXTS[:5], None], dtype=object))
    assert list(found) == names
    assert found["label"].dtype == object
    assert [found[name][5] for name in names] == [None] * 4
    assert predict.for_spark()(np.array(TEXTS[:5]))[names[1]].dtype == np.float64


def test_what_it_refuses(bundle, tmp_path):
    folder = bundle()
    predict = BatchPredictor(folder)
    for batch, message in (
        ({"txt": ["a"]}, "no column 'text'; the batch has 'txt'; did you mean 'txt'?"),
        ({"text": ["a", None]}, r"texts\[1\] is null, not a text; with skip_bad=True"),
        ({"text": ["a", float("nan")]}, r"texts\[1\] is NaN"),
        ({"text": "a"}, "a column is a list or an array of texts, not a str"),
    ):
        with pytest.raises(DataError, match=message):
            predict(batch)
    skipping = BatchPredictor(folder, skip_bad=True)({"text": ["good", None, 3]})
    assert skipping["label"][1:] == skipping["probabilities"][1:] == [None, None]
    assert skipping["label"][0] == predict({"text": ["good"]})["label"][0]
    with pytest.raises(ModelError, match="no format 'tf'"):
        BatchPredictor(folder, format="tf")
    with pytest.raises(ModelError):
        BatchPredictor(tmp_path / "none")
    with pytest.raises(DataError, match="leave pair_column out"):
        BatchPredictor(folder, pair_column="x")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_ray(bundle, plain):
    data = pytest.importorskip("ray.data", reason="the extra engines is not installed")
    import ray

    predict = BatchPredictor(bundle())
    # Workers import what this process imports.
    ray.init(num_cpus=2, include_dashboard=False, logging_level="error",
             runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}})  # fmt: skip
    try:
        dataset = data.from_items([{"n": n, "text": text} for n, text in enumerate(TEXTS)])
        found = {
            "function": dataset.map_batches(predict, batch_size=64),
            "actors": dataset.map_batches(
                BatchPredictor,
                fn_constructor_args=(predict.folder,),
                batch_size=64,
                compute=data.ActorPoolStrategy(size=2),
            ),
        }
        for rows in found.values():
            rows = sorted(rows.take_all(), key=lambda row: row["n"])
            columns = {k: [row[k] for row in rows] for k in ("text", "label", "probabilities")}
            assert as_bytes(columns) == plain(predict.folder)
    finally:
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_spark(bundle, plain, monkeypatch):
    pytest.importorskip("pyspark", reason="the extra engines is not installed")
    import shutil

    if shutil.which("java") is None:
        pytest.skip("Spark needs java")
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    predict = BatchPredictor(bundle())
    spark = (
        SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    )
    try:
        struct = StructType.fromDDL(predict.spark_type)
        classify = predict_batch_udf(predict.for_spark, return_type=struct, batch_size=64)
        frame = spark.createDataFrame(list(enumerate(TEXTS)), ["n", "text"]).repartition(3)
        rows = frame.withColumn("found", classify("text")).orderBy("n").collect()
        names = ("bad", "fair", "good")
        columns = {
            "text": [row["text"] for row in rows],
            "label": [row["found"]["label"] for row in rows],
            "probabilities": [
                {k: row["found"][f"probabilities.{k}"] for k in names} for row in rows
            ],
        }
        assert as_bytes(columns) == plain(predict.folder)
    finally:
        spark.stop()
