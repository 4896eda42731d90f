"""What tk.fit and tk.run give back: the fitted object, its run, and what can be done with it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from talkoot.api.forget import forget
from talkoot.api.job import Job, viewed
from talkoot.core.engine import Engine, Run
from talkoot.core.learner import Kind
from talkoot.core.round import Outcome
from talkoot.core.shard import Schema
from talkoot.data.schema import Bind
from talkoot.data.shards import Shards
from talkoot.watch.events import Event, versions
from talkoot.watch.report import report

if TYPE_CHECKING:
    from talkoot.api.compare.worth import Value


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """The result of a fit.

    Args:
        model: the fitted object: a plain estimator that predicts and pickles without Talkoot.
        run: its run: plan, final state, every round.
        job: the plan, the rows before the nodes agreed on a schema, the engine and the reason for it.
        view: how the nodes agreed to look at their rows; None for samples.
        seconds: wall time from round 0 to the model.
        note: anything unusual about how the model was made, or how to get it faster.
        log: path of the run's event log, if one was written.
        events: what happened in the run, as in the log.

    >>> import numpy as np, talkoot as tk
    >>> from sklearn.linear_model import Ridge
    >>> X = np.arange(8.0).reshape(4, 2)
    >>> fit = tk.fit(Ridge(), {"here": (X[:3], X[:3, 0]), "there": (X[3:], X[3:, 0])})
    >>> fit.forget("there").note
    "the sums of node 'there' were subtracted; no other node took part"
    """

    model: Any
    run: Run
    job: Job
    view: Bind | None
    seconds: float
    note: str = ""
    log: Path | None = None
    events: tuple[Event, ...] = ()

    @property
    def kind(self) -> Kind:
        """What the model is to that of one machine: "exact", "averaged" or "bagged"; see `Learner`."""
        return self.run.plan.learner.kind

    @property
    def shards(self) -> Shards:
        """The rows as the nodes agreed to read them."""
        return viewed(self.job.shards, self.view)

    @property
    def schema(self) -> Schema:
        """The columns, types and classes that the nodes agreed on."""
        return self.run.schema

    @property
    def history(self) -> tuple[Outcome, ...]:
        """Every round: who arrived, who failed and why, metrics and seconds.

        Where an engine trained step by step, its reports: `round.index` is the number of steps done.
        """
        return self.run.history

    @property
    def engine(self) -> Engine:
        """Where the nodes were."""
        return self.job.engine

    @property
    def reason(self) -> str:
        """Why that engine was chosen."""
        return self.job.reason

    def forget(self, node: str) -> Fit:
        """A fit that equals one that never saw `node`.

        Where one round of sums determines the answer, the node's rows are summed once more and subtracted,
        without the other nodes. Else the other nodes fit again, from the present solution where the learner
        can start there. The result's `note` says which it was.

        Over a federation the site that leaves has to consent to the first, as its own sums become known, also
        where they were masked. Where the others fit again, they start from the beginning.

        Args:
            node: the node that leaves.

        Raises:
            DataError: there is no such node, or no other.
            NotInvertible: the model is a module of torch, or goes on from an earlier fit (warm_start=True).
            NodeError: a node did not answer.
            Refused: the site does not consent.
        """
        left = forget(self.run, self.job, self.view, node, self.events)
        changed = {field.name: getattr(left, field.name) for field in fields(left)}
        return replace(self, log=None, **changed)

    def value(self, scoring: str | None = None, *, folds: int = 5, progress: bool | None = None) -> Value:
        """What each node's data are worth to the others: leave-one-node-out on rows that no model has seen.

        Every node splits its rows into folds. For each fold and each node the plan is fitted to the other
        folds' rows, once of all nodes and once of all but this node; both models are scored on the rows of
        the fold that the *other* nodes have. The worth is the mean difference over folds: what the others
        gain by this node's data. Its 95% interval covers the choice of held-out rows: a paired jackknife
        over 20 parts of the rows (Kott 2001, J. of Official Statistics 17); it does not cover that other
        training rows would give other models.

        Where sums determine the answer (Ridge, naive Bayes, ...) every node sends them once. Other learners
        fit again, starting at the model of all nodes where they can. For "roc_auc" and "average_precision"
        the responses and labels of held-out rows leave their nodes; for the other scores only sums do.

        Args:
            scoring: "accuracy" (the default), "neg_log_loss", "roc_auc" or "average_precision" for
                classifiers, "r2" for regressors; they mean what they mean in scikit-learn. With
                "neg_log_loss" a class that a model has not seen has the probability 0.
            folds: parts that each node's rows are split into, by the fit's seed.
            progress: show in the terminal how many models are trained and the time left; by default if
                there is one and it takes over a second.

        Raises:
            DataError: there is one node only, or a fold without which nothing can be learned.
            PlanError: the score does not suit the model or the labels, or the model predicts nothing; or
                the rows are those of other organisations; or it goes on from an earlier fit, which may have
                seen the rows that are held out.

        >>> import numpy as np, talkoot as tk
        >>> from sklearn.linear_model import Ridge
        >>> X = np.random.default_rng(0).normal(size=(70, 2))
        >>> y = X[:, 0] + X[:, 1]
        >>> sites = {"much": (X[:40], y[:40]), "some": (X[40:60], y[40:60]), "few": (X[60:], y[60:])}
        >>> found = tk.fit(Ridge(), sites).value()
        >>> [worth.node for worth in found.nodes], found["much"] > 0
        (['much', 'some', 'few'], True)
        """
        from talkoot.api.compare.value import value  # scipy.stats takes long to import

        return value(self.job, self.model, scoring, folds, progress)

    def save(self, path: str | Path) -> Path:
        """Write the fitted model as data, without a pickle; `tk.load` reads it.

        A module of torch is written as its tensors and the name of the function that built it.

        Args:
            path: where; folders are made. An existing file is replaced once the new one is complete.

        Returns:
            The path.

        Raises:
            PlanError: a part cannot be saved, such as a lambda; the message names it.

        >>> import numpy as np, talkoot as tk, tempfile
        >>> from sklearn.preprocessing import StandardScaler
        >>> fit = tk.fit(StandardScaler(), np.array([[1.0], [3.0]]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tk.load(fit.save(f"{folder}/scaler.talkoot")).mean_
        array([2.])
        """
        from talkoot.formats.save import save

        return save(self.model, path, getattr(self.job.plan.learner, "build", None))

    def report(self, path: str | Path) -> Path:
        """Write the run as one HTML file that opens without a network.

        Args:
            path: where; folders are made.
        """
        return report(({"event": "log", "t": 0.0, "versions": versions()}, *self.events), path)

    def __repr__(self) -> str:
        what = f"{type(self.model).__name__}, {len(self.job.shards)} nodes, {self.schema.rows} rows"
        return f"<Fit: {what}, {self._length()}, {self.seconds:.2f} s on {self.engine!r}>"

    def _length(self) -> str:
        """Its rounds, or its steps where nodes met at each; of steps, history may hold only some."""
        outcomes = len(self.history)
        if outcomes and (last := self.history[-1].round).work.gradient:
            return f"{max(outcomes, last.index)} steps"
        return f"{outcomes} rounds"
