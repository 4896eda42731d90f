"""Nodes whose rounds are recorded: the model of each is stored before the next one begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

from talkoot.core.engine import Emit, Nodes, Progress, View
from talkoot.core.errors import PlanError
from talkoot.core.plan import Plan
from talkoot.core.round import Merged, Round
from talkoot.stream.follow.model import Following, Until
from talkoot.stream.follow.scores.course import news
from talkoot.stream.store import Store, read

MODEL, ABOUT = "model", "about"
LATE = {
    "corrected": "labels were corrected: their rows are learned once more, with the new label",
    "overflowed": "rows left before their labels came: more are waiting than Labels(pending=) permits",
}


@final
@dataclass(slots=True, eq=False, kw_only=True)
class RecordedNodes(Nodes):
    """Nodes of an engine, and the store of what they learned together.

    Args:
        nodes: the nodes.
        store: the store.
        until: when to stop.
        emit: receives what is to be seen of each model.
        measure: what the points of a model's course are.
    """

    nodes: Nodes
    store: Store
    until: Until
    emit: Emit
    measure: str
    noted: set[str] = field(default_factory=set)
    shown: Following | None = None  # the last model that was shown

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes."""
        return self.nodes.names

    def place(self, plan: Plan, view: View | None = None) -> None:
        """What to do from now on."""
        self.nodes.place(plan, view)

    def round(self, rnd: Round, question: Any) -> Merged:
        """A round of the nodes."""
        return self.nodes.round(rnd, question)

    def resume(self, progress: Progress) -> Progress:
        """Go on with the model that was stored last."""
        stored = self.store.get(MODEL)
        model: Following = progress.model if stored is None else Following.of(stored)
        model = model.begun(self.until)
        self._show(model)
        return replace(progress, model=model, point=model, outer=model.done)

    def record(self, progress: Progress) -> None:
        """Store the model, and show what is new of it."""
        self.store.commit({MODEL: progress.model.data()})
        self._show(progress.model, round=progress.rounds - 1)

    def _show(self, model: Following, **when: int) -> None:
        """Emit scores and changes that are new, and note what is unusual about the rows, once."""
        new = news(model, self.shown)
        self.shown = model
        if any(new.values()):
            self.emit("stream", {"measure": self.measure, **new})
        for node, text in _unusual(model):
            if text not in self.noted:
                self.noted.add(text)
                self.emit("note", {"text": text, "nodes": [node], **when})


def model_path(folder: Path) -> Path:
    """The store of the model, in the folder of all."""
    return folder / "model.sqlite"


def stored_model(folder: Path) -> Following | None:
    """The model that was stored last; None before the first round."""
    found = read(model_path(folder), MODEL)
    return Following.of(found[MODEL]) if MODEL in found else None


def require_same(store: Store, about: Mapping[str, Any]) -> None:
    """Refuse a store that follows something else.

    Raises:
        PlanError: it does; the message names what differs.
    """
    stored = store.get(ABOUT)
    if stored is None:
        store.commit({ABOUT: dict(about)})
        return
    changed = [name for name in about if stored.get(name) != about[name]]
    if changed:
        lines = "; ".join(f"{name} was {stored.get(name)!r} and is {about[name]!r}" for name in changed)
        fewer = f"nodes={stored.get('nodes')} may work in fewer processes, such as on=tk.Local(1). "
        again = "Call with what was there before, or take another store=."
        raise PlanError(
            f"the store {str(store.path.parent)!r} is of another run: {lines}",
            cure=f"{fewer}{again}" if "nodes" in changed else again,
        )


def _unusual(model: Following) -> list[tuple[str, str]]:
    """(node, note) of what was rejected or read otherwise, without counts, which change."""
    found = []
    for node, report in model.reports.items():
        found += [(node, f"rows cannot be read and are set aside: {why}") for why in report.rejected]
        found += [(node, why) for why in report.notes]
        found += [(node, why) for why in (*report.gone.values(), *report.changes)]
        if report.backwards:
            found.append((node, "time goes backwards: rows are older than one before them"))
        found += [(node, text) for what, text in LATE.items() if report.labels.get(what)]
    return found
