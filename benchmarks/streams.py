"""Online learners beside River, Vowpal Wabbit and scikit-learn's partial_fit, and a stream of 100 M rows.

    python benchmarks/streams.py [--parts quality,speed,long] [--peers PYTHON] [--note "what else ran"]

`quality`: every contender learns every stream, one library after the other, each in a process of its own.
`speed`: ours alone learn `--fast` rows. `long`: `tk.follow` over `--long` rows that are generated meanwhile,
with its memory. PYTHON is an interpreter with river and vowpalwabbit. Each part has a section in
benchmarks/results/streams.md, and leaves those of other parts as they are. All of it takes about 20 minutes.
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
from typing import Any

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


def run(script: str, *arguments: str, python: str = sys.executable) -> list[dict[str, Any]]:
    """The JSON lines that a script prints; its errors go to the terminal."""
    command = [python, str(HERE / script), *arguments]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        print(f"{' '.join(command)} failed", file=sys.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def quality(options: argparse.Namespace, path: Path) -> list[str]:
    """The log-loss of the best setting of each library on each stream, and the speed of each setting."""
    groups: dict[str, list[str]] = {}
    for name, (group, _) in CONTENDERS.items():
        groups.setdefault(group, []).append(name)
    lines = [f"Prequential log-loss over {options.rows:,} rows: the best setting of each.\n"]
    lines += ["| stream | " + " | ".join(groups) + " |", "|---" * (len(groups) + 1) + "|"]
    speed: dict[str, list[float]] = {}
    for stream, data in streams(options.rows, options.weather):
        write(data, path)
        cells = []
        for group, names in groups.items():
            python = sys.executable if group == "Talkoot" else options.peers
            found = run("stream_contenders.py", str(path), *names, python=python)
            best = min(((one["log_loss"], one["name"]) for one in found), default=None)
            cells.append("-" if best is None else f"{best[0]:.4f} ({best[1]})")
            for one in found:
                speed.setdefault(one["name"], []).append(one["rows_per_second"])
        lines.append(f"| {stream} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    lines += ["", "Rows a second, the median stream:\n", "| contender | rows/s |", "|---|---|"]
    return lines + [f"| {name} | {sorted(all_)[len(all_) // 2]:,.0f} |" for name, all_ in speed.items()]


def speed(options: argparse.Namespace, path: Path) -> list[str]:
    """Speeds of ours on long streams of numbers, and of numbers and texts: the best of three."""
    ours = [name for name, (group, _) in CONTENDERS.items() if group == "Talkoot"]
    found: dict[str, list[str]] = {name: [] for name in ours}
    for make in (hyperplane, agrawal):
        write(make(options.fast, seed=1), path)
        shown = [one for _ in range(3) for one in run("stream_contenders.py", str(path), *ours)]
        for name in ours:
            best = max((one["rows_per_second"] for one in shown if one["name"] == name), default=0.0)
            found[name].append(f"{best / 1e6:.2f} M")
    lines = [f"Ours over {options.fast:,} rows, rows a second:\n"]
    lines += ["| contender | ten numbers | Agrawal |", "|---|---|---|"]
    return lines + [f"| {name} | {' | '.join(cells)} |" for name, cells in found.items()]


def long(options: argparse.Namespace, path: Path) -> list[str]:
    """`tk.follow` over very many rows, with the memory of its process."""
    [found] = run("stream_long.py", str(options.long))
    peaks = ", ".join(f"{peak:.0f}" for peak in found["peaks_mb"])
    text = f"""`tk.follow` with a logistic regression over {found["rows"]:,} rows of ten numbers, which are
generated meanwhile; its state is stored every 100,000 rows:

- {found["rows_per_second"] / 1e6:.2f} million rows a second, the generator and the store included
- memory of the process: {found["first_mb"]:.0f} MB after the first million rows; the most until each
  tenth of the rows: {peaks} MB
- the store with its event log at the end: {found["store_mb"]:.1f} MB
- predictions before learning: log-loss {found["log_loss"]:.4f}, accuracy {found["accuracy"]:.4f}"""
    return text.split("\n")


PARTS = {"quality": quality, "speed": speed, "long": long}


def sections(path: Path) -> dict[str, str]:
    """The sections of the results by their headings."""
    parts = path.read_text().split("\n## ")[1:] if path.exists() else []
    return {head: text.strip() for head, _, text in (part.partition("\n") for part in parts)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--fast", type=int, default=2_000_000)
    parser.add_argument("--long", type=int, default=100_000_000)
    parser.add_argument("--peers", default=sys.executable)
    parser.add_argument("--weather", type=Path)
    parser.add_argument("--note", default="", help="the conditions, such as what else ran")
    options = parser.parse_args()
    results = HERE / "results" / "streams.md"
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores. {options.note}".strip()
    for part in options.parts.split(","):
        with tempfile.TemporaryDirectory() as folder:
            lines = PARTS[part](options, Path(folder) / "stream.arrow")
        found = {**sections(results), part.capitalize(): "\n".join([f"{machine}\n", *lines])}
        print(found[part.capitalize()], flush=True)
        whole = [f"## {head}\n\n{text}" for head, text in found.items()]
        results.write_text("\n\n".join(["# Streams", *whole]) + "\n")


if __name__ == "__main__":
    main()
