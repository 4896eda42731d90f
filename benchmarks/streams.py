"""Online learners beside River, Vowpal Wabbit and scikit-learn's partial_fit, in one run.

    python benchmarks/streams.py [--rows 50000] [--fast 2000000] [--peers PYTHON] [--weather CSV]

Every contender learns every stream in a process of its own, one after the other; ours alone also learn a
stream of `--fast` rows for their speed. PYTHON is an interpreter with river and vowpalwabbit. The table goes
to benchmarks/results/streams.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
from stream_contenders import CONTENDERS

from talkoot.testing.agrawal import agrawal
from talkoot.testing.streams import drifting, hyperplane, led, random_tree, sea

HERE = Path(__file__).parent
MAKERS = {"SEA": sea, "Agrawal": agrawal, "Hyperplane": hyperplane, "RandomTree": random_tree, "LED": led}
CONCEPTS = {"Agrawal": (0, 6, 2)}


def streams(rows: int, weather: Path | None) -> Iterator[tuple[str, pa.RecordBatch | pa.Table]]:
    """Each generator without, with abrupt and with gradual drift; at last the weather."""
    for name, make in MAKERS.items():
        concepts = CONCEPTS.get(name, (0, 2, 1))
        yield name, make(rows, seed=1, concept=concepts[0])
        yield f"{name}, abrupt", drifting(make, rows, seed=1, concepts=concepts)
        yield f"{name}, gradual", drifting(make, rows, seed=1, concepts=concepts, width=rows // 10)
    if weather:
        table = csv.read_csv(weather)
        numbers = {n: table.column(n).cast(pa.float64()) for n in table.schema.names[:-1]}
        yield "weather", pa.table({**numbers, "label": table.column(table.num_columns - 1)})


def write(data: pa.RecordBatch | pa.Table, path: Path) -> None:
    table = pa.Table.from_batches([data]) if isinstance(data, pa.RecordBatch) else data
    with pa.ipc.new_file(str(path), table.schema) as file:
        file.write_table(table)
    pq.write_table(table, path.with_suffix(".parquet"), row_group_size=100_000)


def measure(name: str, path: Path, python: str) -> dict[str, float] | None:
    """What one contender shows on one stream; None, with its error on the terminal, where it fails."""
    command = [python, str(HERE / "stream_contenders.py"), name, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        print(f"{name} failed: {done.stderr[-400:]}", file=sys.stderr)
        return None
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--fast", type=int, default=2_000_000)
    parser.add_argument("--peers", default=sys.executable)
    parser.add_argument("--weather", type=Path)
    options = parser.parse_args()
    groups = list(dict.fromkeys(group for group, _ in CONTENDERS.values()))
    lines = [f"# Streams\n\n{platform.processor() or platform.machine()}, {os.cpu_count()} cores.\n"]
    lines += [f"Prequential log-loss over {options.rows:,} rows: the best setting of each.\n"]
    lines += ["| stream | " + " | ".join(groups) + " |", "|---" * (len(groups) + 1) + "|"]
    speed: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.arrow"
        for stream, data in streams(options.rows, options.weather):
            write(data, path)
            best: dict[str, tuple[float, str]] = {}
            for name, (group, _) in CONTENDERS.items():
                found = measure(name, path, sys.executable if group == "Talkoot" else options.peers)
                if found:
                    best[group] = min(best.get(group, (9e9, "")), (found["log_loss"], name))
                    speed.setdefault(name, []).append(found["rows_per_second"])
            cells = [f"{best[g][0]:.4f} ({best[g][1]})" if g in best else "-" for g in groups]
            lines.append(f"| {stream} | " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
        lines += ["", "Rows a second, the median stream:\n", "| contender | rows/s |", "|---|---|"]
        lines += [f"| {name} | {sorted(all_)[len(all_) // 2]:,.0f} |" for name, all_ in speed.items()]
        lines += [
            "",
            f"Ours over {options.fast:,} rows:\n",
            "| contender | ten numbers | Agrawal |",
            "|---|---|---|",
        ]
        lines += fast(options.fast, path)
    (HERE / "results" / "streams.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def fast(rows: int, path: Path) -> list[str]:
    """Speeds of ours on long streams of numbers, and of numbers and texts."""
    ours = [name for name, (group, _) in CONTENDERS.items() if group == "Talkoot"]
    found: dict[str, list[str]] = {name: [] for name in ours}
    for make in (hyperplane, agrawal):
        write(make(rows, seed=1), path)
        for name in ours:
            shown = [measure(name, path, sys.executable) for _ in range(3)]
            best = max((one["rows_per_second"] for one in shown if one), default=0.0)
            found[name].append(f"{best / 1e6:.2f} M")
    return [f"| {name} | {' | '.join(cells)} |" for name, cells in found.items()]


if __name__ == "__main__":
    main()
