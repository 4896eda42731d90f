"""tk.follow: a model that learns from a stream, one row after the other, each of them once."""

from __future__ import annotations

import secrets
import tempfile
import time as clock
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

from talkoot.api.followed import Followed
from talkoot.api.watching import listeners
from talkoot.core.cores import cores
from talkoot.core.engine import Emit, Engine, Nodes
from talkoot.core.errors import PlanError
from talkoot.core.plan import Plan
from talkoot.core.run import run_on
from talkoot.core.shard import UNKNOWN
from talkoot.core.sync import Rounds, duration
from talkoot.engines.inline import Inline
from talkoot.engines.local import Local
from talkoot.learners.online.model import OnlineModel
from talkoot.stream.drift.monitor import Monitor
from talkoot.stream.drift.settings import drift as watched
from talkoot.stream.features.features import WindowFeatures
from talkoot.stream.follow.cursor import Gone
from talkoot.stream.follow.learner import ROWS, Follower
from talkoot.stream.follow.model import Following, Until
from talkoot.stream.follow.opening import Opening
from talkoot.stream.follow.recorded import MODEL, RecordedNodes, model_path, require_same
from talkoot.stream.follow.rules import Rules
from talkoot.stream.follow.scores.course import measure
from talkoot.stream.follow.shard import StreamShard, shared_out, with_labels
from talkoot.stream.follow.windows import stored_windows
from talkoot.stream.labels.labels import Labels
from talkoot.stream.sinks.sink import Sink
from talkoot.stream.sources.memory import Memory
from talkoot.stream.sources.path import source_at
from talkoot.stream.sources.source import Source
from talkoot.stream.store import Store
from talkoot.watch.events import Event

Named = Literal["alert", "boost", "reset", "challenger", "roll back"]


def follow(
    model: OnlineModel,
    source: Any,
    target: str | None = None,
    *,
    time: str | None = None,
    id: str | None = None,
    labels: Labels | None = None,
    features: WindowFeatures | None = None,
    nodes: int = 1,
    on: Engine | None = None,
    sync: Rounds | None = None,
    store: str | Path | None = None,
    until: str | int | None = "end",
    sink: Sink | None = None,
    drift: Monitor | Named | None = None,
    grace: float | str | None = None,
    gone: Gone = "stop",
    seed: int = 0,
    log: str | Path | None = None,
    progress: bool | None = None,
) -> Followed:
    """Learn from a stream, row by row: predict each row, then learn it, exactly once.

    What is learned, and how far each partition is read, is stored after every round. Whatever is killed
    meanwhile, the same call goes on where it was, and ends with the same model to the last bit. Ctrl-C ends
    it in between, and returns what there is.

    Args:
        model: what is learned, such as ``tk.online.Logistic()``.
        source: the stream; tables of pandas, polars or pyarrow are streams that end. A path is that of a
            segment log, or of a folder of Parquet files or JSON lines.
        target: the column to predict. Rows without it are predicted only.
        time: the column that tells when a row happened.
        id: the column that names a row; it is not learned from.
        labels: where labels come later than rows: the stream that they come from, and how they find their
            rows, ``tk.Labels(stream, id="payment", time="when", arrives="reported", mature="30d")``.
        features: windows over the rows before, ``tk.features(tk.window("1h", "sum", by="card", of="amount"),
            time="when")``, whose columns are learned from too. All rows of a key are in one partition.
        nodes: how many nodes share the partitions.
        on: where they are: ``tk.Inline(threads)``, ``tk.Local(workers)`` or ``tk.Ray(actors)``.
        sync: when nodes meet: ``tk.every(rows=10_000)`` by default, or ``tk.every(seconds=1)``. With
            ``quorum=1, grace=0`` nobody waits for anybody.
        store: the folder of what must not be lost; a temporary one by default.
        until: "end" where nothing is left to read just now, a number of rows, a time such as "10m", or None
            to follow as long as the source goes on.
        sink: where predictions of rows go that were made before they were learned, and what `drift` finds,
            each exactly once.
        drift: how the model is watched for change, such as ``tk.drift("boost")``, or "boost" for short.
        grace: how much older than the newest row of its partition a row may be, in units of `time`, or text
            such as "10m". Older ones are set aside; by default none are.
        gone: what to do where rows were deleted before they were read: "stop", or go on at the "earliest" or
            the "latest" ones.
        seed: all random numbers follow from it.
        log: where to write the event log; into the store by default.
        progress: show the run in the terminal; by default if there is one and it takes over a second.

    Returns:
        A `Followed`; its `model` predicts.

    Raises:
        DataError: the stream or the store cannot be used.
        PlanError: what was given cannot be combined, or the store is of another run.
        LeaseLost: another process follows with the same store.

    >>> import numpy as np, pyarrow as pa, talkoot as tk
    >>> x = np.random.default_rng(0).normal(size=2000)
    >>> table = pa.table({"x": x, "large": x > 1})
    >>> found = tk.follow(tk.online.Logistic(), table, target="large", sync=tk.every(rows=500))
    >>> found.rows, found.model.predict([{"x": -2.0}, {"x": 3.0}]).tolist()
    (2000, [False, True])
    """
    began = clock.perf_counter()
    stops, sync = _until(until), _sync(sync)
    _require_known(model, gone)
    roles = {"target": target, "time": time, "id": id}
    engine = _engine(on, nodes)
    with ExitStack() as stack:
        folder = Path(store or stack.enter_context(tempfile.TemporaryDirectory(prefix="talkoot-")))
        held = Store(model_path(folder))
        stack.callback(held.close)
        opening = Opening.of(
            _typed(held, _source(source)), model, roles, stops, _with_source(held, labels), features
        )
        shards, owned, absent = _shards(opening, nodes, folder, held)
        rules = opening.rules(held, model.merges and nodes > 1, duration(grace), gone, _watch(drift))
        learner = Follower(rules, tuple(shards), seed)
        notes = _notes(rules, absent)
        require_same(held, _about(learner, shards, opening.about(), sink))
        held.commit({"owners": owned})
        shards = _writing(held, shards, sink)
        events: list[Event] = []
        where = log or (folder / "events.jsonl" if store else None)
        emit = stack.enter_context(listeners(where, progress, events, endless=True))
        plan = Plan(learner, sync=sync, seed=seed)
        interrupted = False
        try:
            with _events(plan, engine, shards, notes, emit), engine.open(shards, emit) as opened:
                run_on(_recorded(opened, held, stops, emit, rules), plan, schema=UNKNOWN, emit=emit)
        except KeyboardInterrupt:
            interrupted = True
        stored = held.get(MODEL)
        seen = stored_windows(features, tuple(shards.values()))
    return Followed.of(
        plan,
        None if stored is None else Following.of(stored),
        seen,
        store=Path(store) if store else None,
        seconds=clock.perf_counter() - began,
        interrupted=interrupted,
        events=tuple(events),
    )


def _watch(drift: Monitor | Named | None) -> Monitor | None:
    return watched(drift) if isinstance(drift, str) else drift


def _require_known(model: object, gone: Gone) -> None:
    if gone not in ("stop", "earliest", "latest"):
        raise PlanError(f"gone={gone!r} is unknown", cure="Take 'stop', 'earliest' or 'latest'.")
    if not isinstance(model, OnlineModel):
        raise PlanError(
            f"{type(model).__name__} is no model that learns row by row",
            cure="Take one of tk.online, such as tk.online.Logistic(); tk.online.River(model) takes River's.",
        )


def _recorded(nodes: Nodes, store: Store, until: Until, emit: Emit, rules: Rules) -> Nodes:
    return RecordedNodes(nodes=nodes, store=store, until=until, emit=emit, measure=measure(rules))


def _writing(store: Store, shards: Mapping[str, StreamShard], sink: Sink | None) -> Mapping[str, StreamShard]:
    """Shards whose outputs have names that belong to the store; as they are where there is no sink."""
    if sink is None:
        return shards
    if (run := store.get("run")) is None:
        run = secrets.token_hex(4)
        store.commit({"run": run})
    return {name: replace(shard, sink=sink, run=run) for name, shard in shards.items()}


def _with_source(held: Store, labels: Labels | None) -> Labels | None:
    """The same with the source that it names."""
    if labels is None or labels.source is None:
        return labels
    return replace(labels, source=_typed(held, _source(labels.source), "types of labels"))


def _shards(
    opening: Opening, nodes: int, folder: Path, held: Store
) -> tuple[Mapping[str, StreamShard], dict[str, int], list[str]]:
    """The nodes' shares of the stream, and of its labels; owners of partitions, and absent ones."""
    shards, owned, absent = shared_out(opening.source, nodes, folder, held.get("owners", {}))
    if opening.labels is not None:
        shards = with_labels(shards, opening.labels.source)
    return shards, owned, absent


def _source(given: Any) -> Source:
    """The stream: a source as it is, a folder, or tables."""
    if isinstance(given, Source):
        return given
    return source_at(given) if isinstance(given, str | Path) else Memory(given)


def _typed(store: Store, source: Source, key: str = "types") -> Source:
    """The source with the types of its columns, as they were found in the first call with the store."""
    if getattr(source, "columns", ()) is not None:
        return source.typed()
    if (stored := store.get(key)) is not None:
        return cast(Source, replace(cast(Any, source), columns=dict(stored)))
    typed = source.typed()
    if (found := getattr(typed, "columns", None)) is not None:
        store.commit({key: [list(pair) for pair in found]})
    return typed


def _about(
    learner: Follower,
    shards: Mapping[str, StreamShard],
    roles: Mapping[str, str | None],
    sink: Sink | None,
) -> dict[str, Any]:
    """What a store is of; another run must not go on with it."""
    return {
        "model": repr(learner.rules.model),
        "drift": repr(learner.rules.watch),
        **roles,
        "sink": None if sink is None else repr(sink),
        "nodes": len(shards),
        "seed": learner.seed,
    }


def _until(until: str | int | None) -> Until:
    match until:
        case None:
            return Until()
        case "end":
            return Until(end=True)
        case str():
            return Until(time=clock.monotonic() + duration(until))
        case int() if until > 0 and not isinstance(until, bool):
            return Until(rows=until)
    raise PlanError(
        f"until={until!r} is neither a number of rows nor a time",
        cure='Write until="end", until=100_000 for rows, until="10m" for a time, or None.',
    )


def _sync(sync: Rounds | None) -> Rounds:
    sync = Rounds(rows=ROWS) if sync is None else sync
    if sync.rows is None and sync.seconds is None:
        cause = f"{sync} does not tell how much of a stream a round reads"
        raise PlanError(cause, cure="Write tk.every(rows=10_000).")
    return sync


def _engine(on: Engine | None, nodes: int) -> Engine:
    if on is None:
        return Inline(threads=max(1, min(nodes, cores())))
    from talkoot.engines.ray.engine import Ray

    if not isinstance(on, Inline | Local | Ray):
        raise PlanError(f"{on!r} cannot follow a stream", cure="Take tk.Inline(), tk.Local(2) or tk.Ray(2).")
    return on


def _notes(rules: Rules, absent: Sequence[str]) -> list[str]:
    """What is to be known of the stream before it is read."""
    columns, target = rules.columns, None if rules.late is None else rules.late.columns.target
    others = [name for name in columns.ignored if name != target]
    notes = [f"columns that no model reads, by their type: {', '.join(others)}"] if others else []
    if target in columns.ignored:
        notes.append(f"column {target!r} of the rows is not read: labels come in a stream of their own")
    if absent:
        notes.append(f"partitions that are not there now, and go on when they are: {', '.join(absent)}")
    return notes


@contextmanager
def _events(
    plan: Plan, engine: Engine, shards: Mapping[str, StreamShard], notes: Sequence[str], emit: Emit
) -> Iterator[None]:
    """Emit the start and the end of the run, also where it fails."""
    began = clock.perf_counter()
    emit(
        "start",
        {
            "plan": str(plan),
            "nodes": list(shards),
            "rows": dict.fromkeys(shards),
            "rounds": plan.sync.limit if isinstance(plan.sync, Rounds) else None,
            "engine": repr(engine),
            "reason": "as asked",
        },
    )
    for note in notes:
        emit("note", {"text": note, "nodes": [], "round": 0})
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        text = None if stopped else str(error) or type(error).__name__
        emit("end", {"seconds": clock.perf_counter() - began, "ok": stopped, "error": text})
        raise
    emit("end", {"seconds": clock.perf_counter() - began, "ok": True, "error": None})
