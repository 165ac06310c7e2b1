"""A year of flights as a stream: fitted from files, resumed, learnt online, watched for drift, and labelled.

The data are all flights out of New York City in 2013, with the minutes by which each departed and arrived late. They
come from a compressed text file. Some rows have no delay (the flight was cancelled or diverted), most are tied (whole
minutes), and a few are late by a day. All rows would fit in memory, so that results can be compared, but no step
needs that.

    python examples/flights.py [flights.png]
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from sklearn.exceptions import ConvergenceWarning

from fastem import GaussianMixture, Online, open_source

FLIGHTS = Path(__file__).parent / "flights.csv.gz"
DELAYS = ["dep_delay", "arr_delay"]
SETTINGS = {"n_components": 4, "random_state": 0}


def main(output: Path = Path("flights.png")) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "flights")
        refuse_missing_values()
        write_months(folder)
        mixture = fit_from_files(folder)
        resume(folder, Path(name, "fit.ckpt"), mixture)
        learn_online(folder, mixture)
        stream, alarms = watch(folder)
        write_labels(folder, Path(name, "labels.parquet"), mixture)
        _, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
        mixture.plot(delays_in_memory(folder), ax=left)
        left.set(title="Four kinds of flights", xlim=(-60, 400), ylim=(-100, 400))
        draw_days(right, stream, alarms)
        left.figure.savefig(output, dpi=100)
        plt.close(left.figure)


def refuse_missing_values() -> None:
    """Where none should be missing, the error names the first value that is."""
    try:
        GaussianMixture(**SETTINGS, missing="error").fit(open_source(FLIGHTS, columns=DELAYS))
    except ValueError as error:
        print(f"refused: {error}".replace(f"{FLIGHTS.parent}/", ""))


def write_months(folder: Path) -> None:
    """Write a file for each month, piece by piece: the months of the text are not in order."""
    folder.mkdir()
    n_rows = n_complete = 0
    writers: dict[int, pq.ParquetWriter] = {}
    options = pyarrow.csv.ConvertOptions(include_columns=["month", "day", *DELAYS])
    with pyarrow.csv.open_csv(FLIGHTS, convert_options=options) as pieces:
        for piece in pieces:
            complete = piece.drop_null()
            n_rows, n_complete = n_rows + len(piece), n_complete + len(complete)
            for month in complete["month"].unique().to_pylist():
                rows = complete.filter(pc.field("month") == month)
                if month not in writers:
                    writers[month] = pq.ParquetWriter(folder / f"{month:02d}.parquet", rows.schema)
                writers[month].write_batch(rows)
    for writer in writers.values():
        writer.close()
    print(f"complete rows: {n_complete} of {n_rows}, in {len(writers)} files")


def delays_in_memory(folder: Path) -> np.ndarray:
    table = pa.concat_tables(pq.read_table(file, columns=DELAYS) for file in sorted(folder.iterdir()))
    return np.column_stack([table[name].to_numpy().astype(float) for name in DELAYS])


def fit_from_files(folder: Path) -> GaussianMixture:
    """Run exact EM, which reads the files once per iteration."""
    begin = time.perf_counter()
    mixture = GaussianMixture(**SETTINGS).fit(open_source(folder, columns=DELAYS))
    seconds = time.perf_counter() - begin
    in_memory = GaussianMixture(**SETTINGS).fit(delays_in_memory(folder))
    print(f"from files: {mixture.n_iter_} iterations in {seconds:.1f} s, {mixture.lower_bound_:.4f} nats a flight")
    print(f"the same bits as in memory: {np.array_equal(mixture.means_, in_memory.means_)}")
    print("component  weight  departs    sd  arrives    sd  (minutes late)")
    for k, (weight, mean, covariance) in enumerate(
        zip(mixture.weights_, mixture.means_, mixture.covariances_, strict=True)
    ):
        sd = np.sqrt(np.diagonal(covariance))
        print(f"{k:9d}  {weight:6.4f}  {mean[0]:7.1f} {sd[0]:5.1f}  {mean[1]:7.1f} {sd[1]:5.1f}")
    return mixture


def resume(folder: Path, checkpoint: Path, expected: GaussianMixture) -> None:
    """A fit that ended early continues where it stopped, here as in a new process."""
    source = open_source(folder, columns=DELAYS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        GaussianMixture(**SETTINGS, max_iter=1, checkpoint=checkpoint).fit(source)
    mixture = GaussianMixture(**SETTINGS, checkpoint=checkpoint).fit(source, resume=True)
    same = np.array_equal(mixture.means_, expected.means_)
    print(f"resumed after the first of {mixture.n_iter_} iterations: the same bits: {same}")


def learn_online(folder: Path, exact: GaussianMixture) -> None:
    """One reading of the data goes a long way if the parameters move after every batch."""
    source = open_source(folder, columns=DELAYS)
    for n_epochs in (1, 5):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture = GaussianMixture(**SETTINGS, schedule="online", max_iter=n_epochs, tol=0.0).fit(source)
            plain = GaussianMixture(**SETTINGS, schedule="plain", max_iter=n_epochs).fit(source)
        compared = f"as many iterations of plain EM: {plain.lower_bound_:.4f}; the optimum: {exact.lower_bound_:.4f}"
        print(f"online, epochs: {n_epochs}: {mixture.lower_bound_:.4f} ({compared})")


def days_of(file: Path) -> Iterator[tuple[str, pa.Table]]:
    table = pq.read_table(file)
    for day in table["day"].unique().to_pylist():
        rows = table.filter(pc.field("day") == day)
        yield f"2013-{rows['month'][0].as_py():02d}-{day:02d}", rows.select(DELAYS)


def watch(folder: Path) -> tuple[GaussianMixture, list[str]]:
    """Learn from each day once, forget within weeks, and report when flights have changed."""
    today = ""
    alarms: list[str] = []
    stream = GaussianMixture(
        **SETTINGS, schedule=Online(half_life=20_000, on_drift=lambda mixture: alarms.append(today))
    )
    for file in sorted(folder.iterdir()):
        for day, rows in days_of(file):
            today = day
            stream.partial_fit(rows)
        largest = np.argmax(stream.weights_)
        departs, arrives = stream.means_[largest]
        print(f"{today}: most flights depart {departs:+.1f} and arrive {arrives:+.1f} minutes late")
    print(f"drift: {', '.join(alarms)}")
    return stream, alarms


def write_labels(folder: Path, output: Path, mixture: GaussianMixture) -> None:
    """Write the component of every flight, piece by piece; columns are found by name."""
    counts = np.zeros(mixture.n_components, dtype=int)
    with pq.ParquetWriter(output, pa.schema([("label", pa.int64())])) as writer:
        for file in sorted(folder.iterdir()):
            for piece in pq.ParquetFile(file).iter_batches(10_000):
                labels = mixture.predict(piece)
                writer.write_batch(pa.record_batch({"label": labels}))
                counts += np.bincount(labels, minlength=len(counts))
    print(f"labels: {pq.ParquetFile(output).metadata.num_rows} rows, of each component: {counts.tolist()}")


def draw_days(ax: Axes, stream: GaussianMixture, alarms: list[str]) -> None:
    """Plot how well each day was predicted from the days before it."""
    loglik = np.array(stream.fit_report_.online.prequential_loglik)
    days = np.datetime64("2013-01-01") + np.arange(len(loglik))
    ax.plot(days, loglik, linewidth=0.8, color="#0072B2")
    for day in alarms:
        ax.axvline(np.datetime64(day), color="#D55E00", linewidth=1, label=f"alarm on {day}")
    ax.set(title="Log-likelihood of each day, before it was learnt from", ylabel="nats a flight")
    ax.legend(fontsize="small", frameon=False)
    ax.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
