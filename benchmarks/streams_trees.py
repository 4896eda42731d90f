"""Online trees beside CapyMOA's on the same rows: accuracy test-then-train, and CPU seconds.

    python benchmarks/streams_trees.py --peer /path/to/an/interpreter/with/capymoa

The peer makes the rows with MOA's own generators, writes them down, and then runs MOA's learners over MOA's
streams (its fast path), generator included. Ours reads the same rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SEA = "generators.SEAGenerator -f {} -i {{seed}}"
AGRAWAL = "generators.AgrawalGenerator -f {} -i {{seed}}"
DRIFT = "-s ({}) -d ({}) -p {{half}} -w 1"
STREAMS = {
    "SEA with drift": ("ConceptDriftStream", DRIFT.format(SEA.format(1), SEA.format(3))),
    "Agrawal 1 to 2": ("ConceptDriftStream", DRIFT.format(AGRAWAL.format(1), AGRAWAL.format(2))),
    "Random tree": ("generators.RandomTreeGenerator", "-r {seed} -i {seed}"),
}
NAMES = ("stream", "learner", "ours", "peer", "spent", "theirs")
MEMBERS = 10


def peer(folder: Path, streams: list[str], learners: list[str], rows: int, seeds: int) -> None:
    """Runs in the peer's interpreter: writes rows, and a JSON of accuracies and seconds."""
    import jpype  # type: ignore[import-not-found]
    from capymoa.classifier import (  # type: ignore[import-not-found]
        AdaptiveRandomForestClassifier,
        HoeffdingAdaptiveTree,
        HoeffdingTree,
        StreamingGradientBoostedTrees,
        StreamingRandomPatches,
    )
    from capymoa.evaluation import prequential_evaluation  # type: ignore[import-not-found]
    from capymoa.stream import MOAStream  # type: ignore[import-not-found]

    make = {
        "HoeffdingTree": lambda schema: HoeffdingTree(schema, confidence=1e-7),
        "HoeffdingAdaptiveTree": lambda schema: HoeffdingAdaptiveTree(schema, confidence=1e-7),
        "AdaptiveRandomForest": lambda schema: AdaptiveRandomForestClassifier(schema, ensemble_size=MEMBERS),
        "StreamingRandomPatches": lambda schema: StreamingRandomPatches(schema, ensemble_size=MEMBERS),
        "BoostedTrees": StreamingGradientBoostedTrees,
    }
    found: list[dict[str, Any]] = []
    for name in streams:
        kind, text = STREAMS[name]
        for seed in range(1, seeds + 1):
            source = jpype.JClass(f"moa.streams.{kind}")()
            stream = MOAStream(moa_stream=source, CLI=text.format(seed=seed, half=rows // 2))
            schema = stream.get_schema()
            pairs = [stream.next_instance() for _ in range(rows)]
            nominal = [schema.get_moa_header().attribute(j).isNominal() for j in range(len(pairs[0].x))]
            key = f"{len(found)}.npz"
            x, y = np.array([p.x for p in pairs]), np.array([p.y_index for p in pairs], float)
            np.savez(folder / key, x=x, y=y, nominal=nominal)
            results = {}
            for learner in learners:
                stream.restart()
                start = time.process_time()
                result = prequential_evaluation(stream, make[learner](schema), max_instances=rows)
                spent = time.process_time() - start
                results[learner] = (result["cumulative"].accuracy() / 100, spent)
            found.append({"stream": name, "seed": seed, "rows": key, "results": results})
            (folder / "peer.json").write_text(json.dumps(found))


def ours(folder: Path, learners: list[str]) -> list[dict[str, Any]]:
    from talkoot.learners.online.features import Features, Layout
    from talkoot.learners.online.trees.adaptive import HoeffdingAdaptiveTree
    from talkoot.learners.online.trees.boosted import BoostedTrees
    from talkoot.learners.online.trees.forest import AdaptiveRandomForest, StreamingRandomPatches
    from talkoot.learners.online.trees.hoeffding import HoeffdingTree

    make = {
        "HoeffdingTree": HoeffdingTree(),
        "HoeffdingAdaptiveTree": HoeffdingAdaptiveTree(),
        "AdaptiveRandomForest": AdaptiveRandomForest(members=MEMBERS),
        "StreamingRandomPatches": StreamingRandomPatches(members=MEMBERS),
        "BoostedTrees": BoostedTrees(),
    }
    lines: list[dict[str, Any]] = []
    for case in json.loads((folder / "peer.json").read_text()):
        with np.load(folder / case["rows"]) as file:
            x, y, nominal = file["x"], file["y"], file["nominal"]
        columns = np.arange(x.shape[1])
        layout = Layout(
            tuple(map(str, columns[~nominal])), tuple(map(str, columns[nominal])), int(y.max()) + 1
        )
        numbers = np.ascontiguousarray(x[:, ~nominal])
        rows = Features(numbers, np.ascontiguousarray(x[:, nominal].astype(np.uint64) + np.uint64(1)))
        for learner in learners:
            model = make[learner]
            model.learn(model.start(layout, case["seed"]), rows[:500], y[:500])  # compiled, or read
            start = time.process_time()
            votes = model.learn(model.start(layout, case["seed"]), rows, y)
            spent = time.process_time() - start
            accuracy, theirs = case["results"][learner]
            right = float((votes.argmax(axis=1) == y).mean())
            line = (case["stream"], learner, right, accuracy, spent, theirs)
            lines.append(dict(zip(NAMES, line, strict=True)))
            print(*line, flush=True)
    return lines


def table(lines: list[dict[str, Any]], rows: int, seeds: int) -> str:
    head = (
        f"# Online trees beside CapyMOA\n\n{rows:,} rows, {seeds} seeds, forests of {MEMBERS} trees; "
        "means over seeds. CPU seconds of one process; MOA's include its generator, which makes the rows.\n\n"
        "| stream | learner | accuracy | CapyMOA | CPU s | CapyMOA | times faster |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    text = ""
    for stream, learner in dict.fromkeys((line["stream"], line["learner"]) for line in lines):
        group = [line for line in lines if (line["stream"], line["learner"]) == (stream, learner)]
        ours, peer, spent, theirs = (float(np.mean([line[name] for line in group])) for name in NAMES[2:])
        text += f"| {stream} | {learner} | {ours:.4f} | {peer:.4f} "
        text += f"| {spent:.3f} | {theirs:.2f} | {theirs / spent:.1f} |\n"
    return head + text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", default=sys.executable, help="an interpreter that has capymoa")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=3)
    singles, forests = "HoeffdingTree,HoeffdingAdaptiveTree", "AdaptiveRandomForest,StreamingRandomPatches"
    parser.add_argument("--learners", default=f"{singles},{forests}")
    parser.add_argument("--streams", default=",".join(STREAMS))
    parser.add_argument("--as-peer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    learners = options.learners.split(",")
    if options.as_peer:
        peer(options.as_peer, options.streams.split(","), learners, options.rows, options.seeds)
        return
    with tempfile.TemporaryDirectory() as name:
        words = [f"--{key}={getattr(options, key)}" for key in ("rows", "seeds", "learners", "streams")]
        subprocess.run([options.peer, __file__, "--as-peer", name, *words], check=True)
        lines = ours(Path(name), learners)
    text = table(lines, options.rows, options.seeds)
    (Path(__file__).parent / "results" / "streams_trees.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
