"""Rows that do not fit in a cluster's memory, fitted from Parquet.

``python -m benchmarks.large`` writes 8 GB of rows to a temporary folder and fits them on two workers of 1.5 GB each,
with the cache of streamed blocks and without it: whole fits, and their passes after the first, which writes the cache.
``--gigabytes 1.6 --memory 0.8GB`` takes two minutes, ``--gigabytes 0.1`` is a toy. ``--texts 5000000`` fits TF-IDF and
logistic regression to so many short texts in its place, which takes the ``bench`` extra.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from distributed import Client, LocalCluster
from sklearn.pipeline import make_pipeline

from benchmarks.features import N_TEXTS, texts_of
from benchmarks.program import Setting
from benchmarks.race import Row, table
from benchmarks.watch import Fate, watching_workers
from daskml_kit.engines.block_cache import CACHE_SETTING, cache_limit
from daskml_kit.engines.engine import watching
from daskml_kit.feature_extraction.text import TfidfVectorizer
from daskml_kit.linear_model import LinearRegression, LogisticRegression

N_FEATURES = 100
FEATURES = [f"x{i}" for i in range(N_FEATURES)]
FILE_ROWS, FILE_TEXTS = 80_000, 50_000
ROW_BYTES = 8 * (N_FEATURES + 2)


def write(folder: Path, n_rows: int) -> None:
    """Write float64 features, a ``number`` that is linear in them, and a ``label`` of a logistic model, by files."""
    gradients = np.random.default_rng(0).normal(size=N_FEATURES) / np.sqrt(N_FEATURES)
    for part, start in enumerate(range(0, n_rows, FILE_ROWS)):
        rng = np.random.default_rng([1, part])
        X = rng.normal(size=(N_FEATURES, min(FILE_ROWS, n_rows - start)))
        signal = gradients @ X
        number = signal + rng.normal(size=len(signal))
        label = (signal + rng.logistic(size=len(signal)) > 0).astype(np.float64)
        table = pa.table(dict(zip([*FEATURES, "number", "label"], [*X, number, label], strict=True)))
        pq.write_table(table, folder / f"{part:05d}.parquet", compression="none", use_dictionary=False)


class Fitted(NamedTuple):
    """A model that was fitted to the files, the seconds and the workers' processor seconds, and what became of them.

    ``later`` are both of the passes after the first one.
    """

    model: Any
    seconds: float
    processor: float
    fate: Fate
    later: tuple[float, float] = (0.0, 0.0)


def fit(client: Client, model: Any, folder: Path, target: str, cache: float | None) -> Fitted:
    """Fit ``model`` to the files and print how it went."""
    frame = dd.read_parquet(folder)
    first = list[tuple[float, float]]()

    def note(_: Any) -> None:
        if not first:
            first.append((time.perf_counter(), processor_seconds(client)))

    before, started = processor_seconds(client), time.perf_counter()
    with dask.config.set({CACHE_SETTING: cache}), watching_workers(client) as fate, watching(note):
        model.fit(frame[FEATURES], frame[target])
    ended, after, passes = time.perf_counter(), processor_seconds(client), model.profile_.passes
    seconds, processor = ended - started, after - before
    peak = max(fate.peak.values(), default=0) / 1e9
    print(
        f"{type(model).__name__}{'' if cache else ' without a cache'}: {seconds:.1f} s ({processor:.1f} s of "
        f"processors), {passes} passes, peak worker memory {peak:.2f} GB, {len(fate.lost)} workers lost, "
        f"paused {fate.paused:.1f} s; {model.profile_.where}",
        flush=True,
    )
    return Fitted(model, seconds, processor, fate, (ended - first[0][0], after - first[0][1]))


def processor_seconds(client: Client) -> float:
    """Return the processor time of all workers so far, which a busy machine does not change."""
    return float(sum(client.run(time.process_time).values()))


def fit_rows(client: Client, folder: Path, gigabytes: float) -> list[Fitted]:
    """Fit a regression, which takes one pass, and a classification with the cache and without it."""
    n_rows = int(gigabytes * 1e9 / ROW_BYTES)
    write(folder, n_rows)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e9
    print(f"{n_rows:,} rows, {size:.2f} GB in {sum(1 for _ in folder.iterdir())} files", flush=True)
    regression = fit(client, LinearRegression(), folder, "number", cache_limit())
    cached = fit(client, LogisticRegression(), folder, "label", cache_limit())
    plain = fit(client, LogisticRegression(), folder, "label", None)
    name = "LogisticRegression of files: without a cache"
    rows = [Row(name, cached.seconds, plain.seconds, 2), Row(f"{name}, processors", cached.processor, plain.processor)]
    later = "passes after the first: without a cache"
    rows.append(Row(later, cached.later[0], plain.later[0], 2))
    rows.append(Row(f"{later}, processors", cached.later[1], plain.later[1]))
    print(table(rows), flush=True)
    if not np.array_equal(cached.model.coef_, plain.model.coef_):
        sys.exit("the cache changed the coefficients")
    return [regression, cached, plain]


def fit_texts(client: Client, folder: Path, n_texts: int) -> list[Fitted]:
    """Fit a pipeline to texts in files, one a line, and print how it went."""
    each, labels = min(n_texts, FILE_TEXTS), []
    for part in range(-(-n_texts // each)):
        texts, own = texts_of(Setting(each / N_TEXTS, 1, part))
        (folder / f"{part:05d}.txt").write_text("\n".join(texts) + "\n")
        labels.append(own)
    bag, targets = db.read_text(str(folder / "*.txt")), da.from_array(np.concatenate(labels), chunks=len(labels[0]))
    before, started = processor_seconds(client), time.perf_counter()
    with watching_workers(client) as fate:
        model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(bag, targets)
    seconds, processor = time.perf_counter() - started, processor_seconds(client) - before
    peak, profile = max(fate.peak.values(), default=0) / 1e9, model[-1].profile_
    print(
        f"{len(targets):,} texts: {seconds:.1f} s ({processor:.1f} s of processors), {profile.passes} passes "
        f"{profile.where}, peak worker memory {peak:.2f} GB, {len(fate.lost)} workers lost, paused {fate.paused:.1f} s",
        flush=True,
    )
    return [Fitted(model, seconds, processor, fate)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=8.0, help="size of the rows")
    parser.add_argument("--texts", type=int, help="number of texts, in place of the rows")
    parser.add_argument("--memory", default="1.5GB", help="memory limit of each of the two workers")
    parser.add_argument("--folder", help="where the temporary folder is made")
    options = parser.parse_args()
    workers = LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=options.memory, dashboard_address=":0")
    with tempfile.TemporaryDirectory(dir=options.folder) as name, workers, Client(workers) as client:
        folder = Path(name)
        fits = (
            fit_texts(client, folder, options.texts) if options.texts else fit_rows(client, folder, options.gigabytes)
        )
    if any(fitted.fate.lost for fitted in fits):
        sys.exit("a worker was killed")


if __name__ == "__main__":
    main()
