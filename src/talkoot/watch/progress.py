"""The live view of a run in a terminal: every node, every round or step, and what went wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from talkoot.watch import words
from talkoot.watch.rank_changes import rank_changes
from talkoot.watch.sites import APPROVED, PENDING, in_words, undecided, waiting
from talkoot.watch.state import NodeState, RunState, apply_event
from talkoot.watch.steps import RATE

ESTIMATE_AFTER = 1.0  # seconds of a round until its end is estimated
RECENT_ROUNDS = 10  # from which the duration of a round is estimated
BAR = 40  # characters of a progress bar


@final
class Progress:
    """A listener that shows a run while it runs, on stderr.

    On a terminal: a table that is redrawn a few times a second and stays when the run has ended.
    Elsewhere: nothing, or, with `plain`, a line for the start, for each loss, and for the end.

    Args:
        console: where to draw; stderr by default.
        plain: write lines where there is no terminal.
        clock: seconds since 1970.

    >>> import io
    >>> console = Console(file=io.StringIO(), width=80)
    >>> with Progress(console, plain=True) as progress:
    ...     progress("start", {"nodes": ["a", "b"], "rows": {"a": 3, "b": 4}, "engine": "Inline()"})
    ...     progress("end", {"seconds": 0.5, "ok": True, "error": None})
    >>> print(console.file.getvalue())
    2 nodes, 7 rows, on Inline()
    done: 0 rounds in 0.50 s
    """

    __slots__ = ("_clock", "_console", "_live", "_lock", "_plain", "_state")

    def __init__(
        self, console: Console | None = None, *, plain: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self._console = console or Console(stderr=True)
        self._plain = plain and not self._console.is_terminal
        self._clock = clock
        self._state = RunState()
        self._lock = threading.Lock()  # engines may report from several threads
        self._live: Live | None = None

    def __call__(self, event: str, facts: Mapping[str, Any]) -> None:
        """Show an event."""
        with self._lock:
            self._state = apply_event(self._state, {"t": self._clock(), **facts, "event": event})
        if self._plain:
            for line in lines(self._state, event, facts):
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        elif self._console.is_terminal:
            self._draw(event)

    def _draw(self, event: str) -> None:
        if self._live is None and event == "start":
            self._live = Live(
                console=self._console,
                get_renderable=lambda: view(self._state, self._clock(), self._console.height - 6),
                refresh_per_second=8,
                redirect_stdout=False,
            )
            self._live.start()
        if event == "end":
            self.close()

    def close(self) -> None:
        """Draw for the last time and stop using the terminal."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def lines(state: RunState, event: str, facts: Mapping[str, Any]) -> list[str]:
    """The lines for an event where there is no terminal."""
    match event:
        case "start":
            rows = "" if state.rows is None else f", {words.many(state.rows, 'row')}"
            return [f"{words.many(len(state.nodes), 'node')}{rows}, on {facts.get('engine', '?')}"]
        case "worker":
            return [rank_changes(state)[-1].text if "name" in facts else _lost(facts)]
        case "epoch" if len(state.groups) > 1:
            on = f"on with {words.many(facts['ranks'], 'rank')}"
            return [rank_changes(state)[-1].text if state.groups[-1]["cause"] else on]
        case "advice" | "note":
            return [str(facts["text"])]
        case "sites":
            news = [f"{name}: {site.news}" for name, site in state.sites.items() if site.news]
            still = waiting(state.sites, _until_deadline(state, state.now))
            return [*news, still] if news and still else news
        case "round":
            return [f"round {facts['round']}: {node} failed: {why}" for node, why in facts["failed"].items()]
        case "fold" if facts["fold"] and facts["last"]:
            left = f", {_left(state, state.now)}" if _left(state, state.now) else ""
            return [f"fold {facts['fold']} of {facts['folds']} done{left}"]
        case "end":
            return [_ended(state)]
    return []


def view(state: RunState, now: float, height: int = 20) -> RenderableType:
    """The state of a run, drawn for the terminal.

    `now` is in seconds since 1970; of nodes beyond `height` lines only the number is shown.
    """
    lost = [_lost(facts) for facts in state.lost if "name" not in facts]
    lost += [change.text for change in rank_changes(state)]
    messages = [Text(text, style="yellow") for text in lost[-2:]]
    messages += [Text(text, style="yellow") for text in state.get("note").get("texts", ())]
    messages += [Text(str(state.get("advice")["text"]), style="cyan")] if state.get("advice") else []
    folds = state.get("fold")
    if folds:
        present = min(folds["fold"] + 1, folds["folds"])
        above = [_bar(f"fold {present} of {folds['folds']}", folds["done"], folds["total"])]
    elif state.stepwise:
        done, total = state.steps.done, state.steps.total
        above = [_bar(f"step {words.count(done)} of {words.count(total)}", done, total)]
    else:
        show_nodes = state.rounds or not state.get("start").get("samples")  # samples are read in rounds only
        above = _nodes(state, height, now) if show_nodes else []
    return Group(*above, *messages, _status(state, now))


def _bar(label: str, done: float, total: float) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=total, completed=done, width=BAR, complete_style="cyan")
    table.add_row(Text(label), bar)
    return table


def _nodes(state: RunState, height: int, now: float) -> list[RenderableType]:
    """A line for each node: its rows, its time, its status; failed nodes are always shown."""
    working = not state.get("end")
    nodes = sorted(state.nodes.values(), key=lambda n: _node_status(state, n, working, now)[1] != "red")
    shown = {n.name for n in (nodes if len(nodes) <= height else nodes[: max(1, height - 1)])}
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "left", "right", "right", "left"):
        table.add_column(justify=justify, no_wrap=True)
    most = max((n.rows or 0 for n in nodes), default=0) or 1
    for node in state.nodes.values():
        if node.name in shown:
            table.add_row(*_cells(state, node, most, working, now))
    more = len(nodes) - len(shown)
    rest = [Text(f"and {words.many(more, 'node')} more", style="dim")] if more else []
    return [table, *rest]


def _cells(state: RunState, node: NodeState, most: int, working: bool, now: float) -> list[RenderableType]:
    status, style = _node_status(state, node, working, now)
    rows = node.rows or 0
    read = min(node.read, rows) if working else rows
    width = max(1, round(24 * rows / most))  # proportional to the rows
    bar = ProgressBar(total=rows or 1, completed=read, width=width, complete_style="cyan")
    count = "" if node.rows is None else words.many(rows, "row")
    if working and node.read:
        count = f"{words.count(node.read)} / {words.many(rows, 'row')}"
    spent = state.seconds(node.name)
    took = words.duration(sum(spent)) if spent else ""
    return [
        Text(words.short(node.name, 28)),
        bar,
        Text(count),
        Text(took, style="dim"),
        Text(status, style=style),
    ]


def _node_status(state: RunState, node: NodeState, working: bool, now: float) -> tuple[str, str]:
    last = state.rounds[-1] if state.rounds else {}
    site = state.sites.get(node.name)
    if site is not None and (site.state not in (APPROVED, PENDING) or (working and not site.at_work)):
        return in_words(site, now, working=True)
    if node.name in last.get("failed", {}):
        return f"failed in round {last['round']}", "red"
    if node.replaced:
        return "worker replaced", "yellow"
    if not working:
        return ("", "") if state.get("end").get("ok") else ("stopped", "dim")
    if node.name in last.get("late", ()):
        return f"late in round {last['round']}", "yellow"
    if site is not None:
        return in_words(site, now, working=bool(state.get("schema")))
    if node.rows and node.read >= node.rows:
        return "done", "dim"
    return ("working", "dim") if node.read or state.get("schema") or state.rounds else ("", "")


def _status(state: RunState, now: float) -> Text:
    if state.get("end"):
        ok = bool(state.get("end").get("ok"))
        return Text(_ended(state), style="bold green" if ok else "bold red")
    spent = words.duration(now - state.began)
    if state.get("fold"):
        folds = state.get("fold")
        trained = f"{words.count(folds['models'])} of {words.many(folds['of'], 'model')} trained"
        parts = [trained, spent]
    elif state.stepwise:
        ranks = [words.many(state.steps.ranks, "rank")] if state.groups else []
        parts = [*_metrics(state), *ranks, spent]
    elif state.rounds:
        total = state.get("start").get("rounds")
        of = f" of {words.count(total)}" if total else ""
        parts = [f"round {words.count(state.rounds[-1]['round'] + 1)}{of}", *_metrics(state), spent]
    elif state.get("start").get("samples"):
        parts = ["starting", spent]
    elif undecided(state.sites):
        return Text(f"{waiting(state.sites, None)}, {spent}", style="bold")
    elif state.get("schema"):
        parts = ["round 0", spent]
    else:
        return Text(f"agreeing on a schema, {spent}", style="bold")
    left = _left(state, now)
    return Text(" · ".join([*parts, left] if left else parts), style="bold")


def _metrics(state: RunState, rate: float | None = None) -> list[str]:
    """The last reported metrics; of samples per second the present number, or `rate`."""
    steps = state.steps
    last = steps.last.metrics if steps.last else state.rounds[-1].get("metrics", {}) if state.rounds else {}
    texts = [
        f"{name} {words.number(value)}" for name, value in last.items() if value is not None and name != RATE
    ]
    rate = rate or steps.rate
    return texts if rate is None else [*texts, words.rate(rate)]


def _left(state: RunState, now: float) -> str:
    """The estimated time left; where the number of steps or rounds is not known, that of this round."""
    if still := waiting(state.sites, _until_deadline(state, now)):
        return still
    seconds = _seconds_left(state, now)
    if seconds is not None:
        return f"about {words.roughly(seconds)} left" if seconds > 0 else ""
    total, spent = state.rows, now - state.turn
    read = sum(node.read for node in state.nodes.values())
    if not total or not read or spent < ESTIMATE_AFTER or state.get("start").get("samples"):
        return ""
    return f"this round ends in about {words.roughly(spent * (total - read) / read)}"


def _until_deadline(state: RunState, now: float) -> float | None:
    return None if state.deadline is None else max(0.0, state.deadline - now)


def _seconds_left(state: RunState, now: float) -> float | None:
    """Seconds until the last step, fold or round; None where their number is not known."""
    total, folds = state.get("start").get("rounds"), state.get("fold")
    if folds:
        spent, done = state.now - state.turn, folds["done"]
        return float(spent / done * (folds["total"] - done) - (now - state.now)) if done else None
    if state.stepwise:
        return state.steps.left
    if not total or not state.rounds:
        return None
    each = [facts["seconds"] for facts in state.rounds[-RECENT_ROUNDS:]]
    ahead = total - state.rounds[-1]["round"] - 1
    return float(ahead * sum(each) / len(each) - (now - state.turn))


def _lost(facts: Mapping[str, Any]) -> str:
    nodes = words.listed(list(map(str, facts.get("nodes", []))))
    return f"worker {facts.get('worker', '?')} ({nodes}) was lost and replaced: {facts.get('cause', '?')}"


def _ended(state: RunState) -> str:
    end = state.get("end")
    if not end.get("ok"):
        return f"stopped after {words.duration(end.get('seconds', 0.0))}: {end.get('error')}"
    metrics = "".join(f", {text}" for text in _metrics(state, state.steps.mean_rate))
    return f"done: {words.many(*state.counted)} in {words.duration(end['seconds'])}{metrics}"
