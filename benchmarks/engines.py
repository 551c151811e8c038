"""Rows per second of one bundle by the plain command, by shards, and in other engines.

The wall time of each way, its start included, on the same rows; one thread per process.

Example:
    python benchmarks/engines.py runs/sst2 reviews.jsonl --rows 50000 --ways command shards ray
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from distill.runtime import BatchPredictor
from distill.runtime.rows import read_rows


def command(bundle: Path, rows: Path, work: Path, processes: int) -> None:
    words = ["--file", rows, "--out", work / "one.parquet", "--threads", "1"]
    subprocess.run([sys.executable, "-m", "distill", "predict", bundle, *words], check=True)


def shards(bundle: Path, rows: Path, work: Path, processes: int) -> None:
    words = ["--file", rows, "--out", work / "parts", "--shards", str(4 * processes)]
    call = [sys.executable, "-m", "distill", "predict", bundle, *words, "--threads", "1"]
    running = [subprocess.Popen(call) for _ in range(processes)]
    assert [one.wait() for one in running] == [0] * processes


def datasets(bundle: Path, rows: Path, work: Path, processes: int) -> None:
    import datasets

    found = datasets.Dataset.from_parquet(str(rows), cache_dir=str(work))
    predict = BatchPredictor(bundle)
    found.map(predict, batched=True, num_proc=processes).to_parquet(work / "datasets.parquet")


def ray(bundle: Path, rows: Path, work: Path, processes: int) -> None:
    import ray
    import ray.data

    ray.init(num_cpus=processes, include_dashboard=False, logging_level="error")
    # One file is one block, and one block goes to one actor.
    found = ray.data.read_parquet(str(rows)).repartition(4 * processes)
    actors = ray.data.ActorPoolStrategy(size=processes)
    arguments = {"fn_constructor_args": (bundle,), "compute": actors, "num_cpus": 0.5}
    found.map_batches(BatchPredictor, batch_size=1024, **arguments).write_parquet(str(work / "ray"))
    ray.shutdown()


def spark(bundle: Path, rows: Path, work: Path, processes: int) -> None:
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

    session = SparkSession.builder.master(f"local[{processes}]").getOrCreate()
    predict = BatchPredictor(bundle)
    struct = StructType.fromDDL(predict.spark_type)
    classify = predict_batch_udf(predict.for_spark, return_type=struct, batch_size=1024)
    frame = session.read.parquet(str(rows)).repartition(4 * processes)
    frame.withColumn("found", classify("text")).write.parquet(str(work / "spark"))
    session.stop()


WAYS: dict[str, Callable[[Path, Path, Path, int], None]] = {
    "command": command, "shards": shards, "datasets": datasets, "ray": ray, "spark": spark,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("texts", help="a file that predict reads; its texts are repeated")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--ways", nargs="+", choices=WAYS, default=["command", "shards", "datasets"]
    )
    chosen = parser.parse_args()
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": os.pathsep.join(sys.path)}
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = itertools.cycle([row.text for row in read_rows(chosen.texts)])
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.parquet"
        table = pa.table({"text": list(itertools.islice(texts, chosen.rows))})
        # Row groups are what engines divide a file by.
        pq.write_table(table, rows, row_group_size=1 << 15)
        for way in chosen.ways:
            start = time.monotonic()
            WAYS[way](chosen.bundle.resolve(), rows, Path(folder), chosen.processes)
            seconds = time.monotonic() - start
            found = {
                "way": way,
                "seconds": round(seconds, 1),
                "rows_s": round(chosen.rows / seconds),
            }
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
