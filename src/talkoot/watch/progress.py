"""The live view of a run in a terminal: every node, every round or step, and what went wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from talkoot.watch import words
from talkoot.watch.mishaps import mishaps
from talkoot.watch.steps import RATE
from talkoot.watch.story import NodeStory, Story, after

PATIENCE = 1.0  # seconds of a round before a guess of its end is worth reading
RECENT = 10  # rounds that say how long one takes
BAR = 40  # characters that all steps take


@final
class Progress:
    """A listener that shows a run while it runs, on stderr.

    On a terminal: a table that is drawn anew a few times a second and stays when the run has ended.
    Elsewhere: nothing, or, with `plain`, a line for the start, for all that was lost, and for the end.

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

    __slots__ = ("_clock", "_console", "_live", "_lock", "_plain", "_story")

    def __init__(
        self, console: Console | None = None, *, plain: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self._console = console or Console(stderr=True)
        self._plain = plain and not self._console.is_terminal
        self._clock = clock
        self._story = Story()
        self._lock = threading.Lock()  # engines may report from several threads
        self._live: Live | None = None

    def __call__(self, event: str, facts: Mapping[str, Any]) -> None:
        """Hear of an event."""
        with self._lock:
            self._story = after(self._story, {"t": self._clock(), **facts, "event": event})
        if self._plain:
            for line in lines(self._story, event, facts):
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        elif self._console.is_terminal:
            self._draw(event)

    def _draw(self, event: str) -> None:
        if self._live is None and event == "start":
            self._live = Live(
                console=self._console,
                get_renderable=lambda: view(self._story, self._clock(), self._console.height - 6),
                refresh_per_second=8,
                redirect_stdout=False,
            )
            self._live.start()
        if event == "end":
            self.close()

    def close(self) -> None:
        """Draw for the last time and give the terminal back."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def lines(story: Story, event: str, facts: Mapping[str, Any]) -> list[str]:
    """What a view without a terminal has to say of an event."""
    match event:
        case "start":
            rows = "" if story.rows is None else f", {words.many(story.rows, 'row')}"
            return [f"{words.many(len(story.nodes), 'node')}{rows}, on {facts.get('engine', '?')}"]
        case "worker":
            return [mishaps(story)[-1].text if "name" in facts else _lost(facts)]
        case "epoch" if len(story.groups) > 1:
            on = f"on with {words.many(facts['ranks'], 'rank')}"
            return [mishaps(story)[-1].text if story.groups[-1]["cause"] else on]
        case "advice" | "note":
            return [str(facts["text"])]
        case "round":
            return [f"round {facts['round']}: {node} failed: {why}" for node, why in facts["failed"].items()]
        case "fold" if facts["fold"] and facts["last"]:
            left = f", {_left(story, story.now)}" if _left(story, story.now) else ""
            return [f"fold {facts['fold']} of {facts['folds']} done{left}"]
        case "end":
            return [_ended(story)]
    return []


def view(story: Story, now: float, height: int = 20) -> RenderableType:
    """A story as a picture for the terminal.

    Args:
        story: what has happened.
        now: seconds since 1970.
        height: lines that the nodes may take; the others are counted.
    """
    lost = [_lost(facts) for facts in story.lost if "name" not in facts]
    lost += [mishap.text for mishap in mishaps(story)]
    told = [Text(text, style="yellow") for text in lost[-2:]]
    told += [Text(text, style="yellow") for text in story.get("note").get("texts", ())]
    told += [Text(str(story.get("advice")["text"]), style="cyan")] if story.get("advice") else []
    folds = story.get("fold")
    if folds:
        above = [_bar(f"fold {_fold(folds)}", folds["done"], folds["total"])]
    elif story.stepwise:
        done, total = story.steps.done, story.steps.total
        above = [_bar(f"step {words.count(done)} of {words.count(total)}", done, total)]
    else:
        above = _nodes(story, height) if _placed(story) else []
    return Group(*above, *told, _status(story, now))


def _placed(story: Story) -> bool:
    """Whether there is something to say of nodes. Samples have no schema to agree on first."""
    return bool(story.rounds) or not story.get("start").get("samples")


def _bar(said: str, done: float, total: float) -> RenderableType:
    """The work that is done, of all."""
    table = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=total, completed=done, width=BAR, complete_style="cyan")
    table.add_row(Text(said), bar)
    return table


def _fold(folds: Mapping[str, Any]) -> str:
    """The fold that is worked on, or the last one."""
    return f"{min(folds['fold'] + 1, folds['folds'])} of {folds['folds']}"


def _nodes(story: Story, height: int) -> list[RenderableType]:
    """A line for each node: its rows, its time, how it is."""
    working = not story.get("end")
    nodes = sorted(story.nodes.values(), key=lambda n: _standing(story, n, working)[1] == "red", reverse=True)
    shown = {n.name for n in (nodes if len(nodes) <= height else nodes[: max(1, height - 1)])}
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "left", "right", "right", "left"):
        table.add_column(justify=justify, no_wrap=True)
    most = max((n.rows or 0 for n in nodes), default=0) or 1
    for node in story.nodes.values():
        if node.name in shown:
            table.add_row(*_cells(story, node, most, working))
    more = len(nodes) - len(shown)
    rest = [Text(f"and {words.many(more, 'node')} more", style="dim")] if more else []
    return [table, *rest]


def _cells(story: Story, node: NodeStory, most: int, working: bool) -> list[RenderableType]:
    said, style = _standing(story, node, working)
    rows = node.rows or 0
    read = min(node.read, rows) if working else rows
    full = max(1, round(24 * rows / most))  # as long as the rows are many
    bar = ProgressBar(total=rows or 1, completed=read, width=full, complete_style="cyan")
    counted = "" if node.rows is None else words.many(rows, "row")
    if working and node.read:
        counted = f"{words.count(node.read)} / {words.many(rows, 'row')}"
    spent = story.seconds(node.name)
    took = words.duration(sum(spent)) if spent else ""
    return [
        Text(words.short(node.name, 28)),
        bar,
        Text(counted),
        Text(took, style="dim"),
        Text(said, style=style),
    ]


def _standing(story: Story, node: NodeStory, working: bool) -> tuple[str, str]:
    last = story.rounds[-1] if story.rounds else {}
    if node.name in last.get("failed", {}):
        return f"failed in round {last['round']}", "red"
    if node.replaced:
        return "worker replaced", "yellow"
    if not working:
        return ("", "") if story.get("end").get("ok") else ("stopped", "dim")
    if node.name in last.get("late", ()):
        return f"late in round {last['round']}", "yellow"
    if node.rows and node.read >= node.rows:
        return "done", "dim"
    return ("working", "dim") if node.read or story.get("schema") or story.rounds else ("", "")


def _status(story: Story, now: float) -> Text:
    if story.get("end"):
        ok = bool(story.get("end").get("ok"))
        return Text(_ended(story), style="bold green" if ok else "bold red")
    spent = words.duration(now - story.began)
    if story.get("fold"):
        folds = story.get("fold")
        trained = f"{words.count(folds['models'])} of {words.many(folds['of'], 'model')} trained"
        parts = [trained, spent]
    elif story.stepwise:
        ranks = [words.many(story.steps.ranks, "rank")] if story.groups else []
        parts = [*_metrics(story), *ranks, spent]
    elif story.rounds:
        total = story.get("start").get("rounds")
        of = f" of {words.count(total)}" if total else ""
        parts = [f"round {words.count(story.rounds[-1]['round'] + 1)}{of}", *_metrics(story), spent]
    elif story.get("start").get("samples"):
        parts = ["starting", spent]
    elif story.get("schema"):
        parts = ["round 0", spent]
    else:
        return Text(f"agreeing on a schema, {spent}", style="bold")
    left = _left(story, now)
    return Text(" · ".join([*parts, left] if left else parts), style="bold")


def _metrics(story: Story, rate: float | None = None) -> list[str]:
    """The last that was told; of samples per second how many there are now, or `rate`."""
    steps = story.steps
    last = steps.last.metrics if steps.last else story.rounds[-1].get("metrics", {}) if story.rounds else {}
    said = [
        f"{name} {words.number(value)}" for name, value in last.items() if value is not None and name != RATE
    ]
    rate = rate or steps.rate
    return said if rate is None else [*said, words.rate(rate)]


def _left(story: Story, now: float) -> str:
    """A guess of the end, where the number of steps or rounds is known, else of the end of this round."""
    seconds = _whole(story, now)
    if seconds is not None:
        return f"about {words.roughly(seconds)} left" if seconds > 0 else ""
    total, spent = story.rows, now - story.turn
    read = sum(node.read for node in story.nodes.values())
    if not total or not read or spent < PATIENCE or story.get("start").get("samples"):
        return ""  # nobody knows how many rounds a solver needs
    return f"this round ends in about {words.roughly(spent * (total - read) / read)}"


def _whole(story: Story, now: float) -> float | None:
    """Seconds until the last step, fold, or the last of a known number of rounds."""
    total, folds = story.get("start").get("rounds"), story.get("fold")
    if folds:
        spent, done = story.now - story.turn, folds["done"]
        return float(spent / done * (folds["total"] - done) - (now - story.now)) if done else None
    if story.stepwise:
        return story.steps.left
    if not total or not story.rounds:
        return None
    each = [facts["seconds"] for facts in story.rounds[-RECENT:]]
    ahead = total - story.rounds[-1]["round"] - 1
    return float(ahead * sum(each) / len(each) - (now - story.turn))


def _lost(facts: Mapping[str, Any]) -> str:
    nodes = words.listed(list(map(str, facts.get("nodes", []))))
    return f"worker {facts.get('worker', '?')} ({nodes}) was lost and replaced: {facts.get('cause', '?')}"


def _ended(story: Story) -> str:
    end = story.get("end")
    if not end.get("ok"):
        return f"stopped after {words.duration(end.get('seconds', 0.0))}: {end.get('error')}"
    metrics = "".join(f", {said}" for said in _metrics(story, story.steps.mean_rate))
    return f"done: {words.many(*story.counted)} in {words.duration(end['seconds'])}{metrics}"
