"""Will it rain? Three nodes follow a stream of days, and report where the weather changed.

python run.py                  # days that are made up: seasons that come and go, then another climate
python run.py --data FILE      # the weather of Bellevue, Nebraska, 1949 to 1999, as CSV
python run.py --out FOLDER     # runs/weather by default; call again, and it goes on where it was
"""

import argparse
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

import talkoot as tk
from talkoot.stream.drift.features import FeatureDrift
from talkoot.stream.sources.log.log import SegmentLog
from talkoot.testing import streams

DATA = "TALKOOT_WEATHER"  # variable of the environment that names the file
NODES = 3
YEAR = 122  # of a node's rows: days are dealt to three nodes
TARGET = "rain"
PREDICTORS = "model", "last label", "majority"


def load(path):
    """Days in the order of time; the last column is whether it rained."""
    table = made_up(18_000) if path is None else pyarrow.csv.read_csv(path)
    return table.rename_columns([*table.column_names[:-1], TARGET])


def made_up(rows, seed=0):
    """Two thirds of the days in seasons that pass into each other, then at once x0 means the opposite."""
    old = rows * 2 // 3
    seasons = streams.drifting(streams.sea, old, seed=seed, concepts=(2, 3, 2, 3), width=old // 8)
    after = streams.drifting(streams.sea, rows - old, seed=seed + 1, concepts=(2,))
    turned = after.set_column(0, "x0", pc.subtract(10.0, after["x0"]))  # x0 counts down from now on
    return pa.Table.from_batches([seasons, turned])


def write(table, folder):
    """The days as a stream of a partition for each node, dealt in turn; what is there already stays."""
    log = SegmentLog(folder)
    for node in range(NODES):
        days = table.take([*range(node, table.num_rows, NODES)])
        with log.writer(str(node)) as writer:
            held = read(log, str(node))
            if held is not None and not held.equals(days.slice(0, held.num_rows)):
                raise ValueError(f"{folder} holds another stream; name another folder with --out")
            writer.append(days.slice(writer.row))
    return log


def read(log, partition):
    """All rows of a partition; None where there are none."""
    with log.open(partition) as reader:
        batches = []
        while chunk := reader.poll(100_000, 0):
            batches.append(chunk.batch)
    return pa.Table.from_batches(batches) if batches else None


def compare(scores):
    """A table of the model and of what needs none."""
    print(f"\n{'':14}{'log-loss':>10}{'accuracy':>10}")
    for name in PREDICTORS:
        print(f"{name:14}{scores[name]['log_loss']:10.3f}{scores[name]['accuracy']:10.3f}")


def changes(found):
    """A table of the changes: where, since which of the node's rows, and how sure."""
    print(
        f"\n{'node':8}{'what changed':14}{'since row':>10}{'noticed':>9}{'before':>8}{'after':>8}  by chance"
    )
    for one in sorted(found, key=lambda one: (one.since, one.node)):
        values = f"{one.before:8.3f}{one.after:8.3f}"
        print(f"{one.node:8}{one.what:14}{one.since:10,}{one.at:9,}{values}  {one.p_value:.0e}")
    if not found:
        print("no change was found")


def main():
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    given = os.environ.get(DATA)
    parser.add_argument("--data", type=Path, default=given and Path(given), help=f"${DATA} by default")
    parser.add_argument("--out", type=Path, default=Path("runs/weather"), help="what is kept")
    args = parser.parse_args()
    try:
        log = write(load(args.data), args.out / "stream")
    except (OSError, ValueError) as error:
        parser.error(str(error))
    found = tk.follow(
        tk.online.Logistic(tk.online.DecayedAdaGrad()),
        log,
        TARGET,
        nodes=NODES,
        sync=tk.every(rows=200),
        drift=tk.drift("boost", features=FeatureDrift(block=YEAR)),
        store=args.out / "store",
    )
    print(found)
    compare(found.scores["all"])
    changes(found.findings)
    print(f"\nreport: {found.report(args.out / 'report.html')}")


if __name__ == "__main__":
    main()
