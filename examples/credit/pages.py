"""The report as one page of HTML, for a risk committee."""

from dataclasses import dataclass
from typing import Any

import banks
import numpy as np
import scoring

from talkoot.watch import svg, words
from talkoot.watch.charts import NodeBand, flow, flow_on_phone
from talkoot.watch.markup import Safe, join, tag
from talkoot.watch.page import page, section, table
from talkoot.watch.scores import dots

BAND = 20  # points
REASONS = 4


@dataclass(frozen=True)
class Findings:
    """All that was measured; intervals are (value, low, high)."""

    found: banks.Applicants
    areas: dict[str, dict[str, tuple]]  # of `scoring.areas`
    scores: np.ndarray  # (rows,) held-out probabilities of a default, together
    reliability: list[tuple]
    brier: dict[str, tuple]
    fairness: dict[str, dict[str, dict]]  # attribute -> of `scoring.fairness`
    fit: Any  # of all rows, under secure sum
    apart: float  # the largest difference of its predictions from those without masks
    decisions: list["Decision"]


@dataclass(frozen=True)
class Decision:
    """One refusal: its points, column by column, and its reasons."""

    row: int
    base: float  # points where nothing is known
    columns: list[tuple[str, str, float]]  # name, value, points
    reasons: list[tuple[str, str, float]]  # those that cost most

    @property
    def total(self):
        """The score."""
        return self.base + sum(points for *_, points in self.columns)


def decision(found, told, place, row):
    """Points of one row, of its contributions `told`: they add up to the score, as contributions do."""
    scale = -scoring.DOUBLE / np.log(2)
    values = found.X[row]
    columns = [
        (name, banks.meaning(name, value), float(scale * added))
        for name, value, added in zip(found.columns, values, told.values[place], strict=True)
    ]
    why = told.reasons(place, towards=1, k=REASONS).reasons
    reasons = [
        (reason.column, banks.meaning(reason.column, reason.value), scale * reason.contribution)
        for reason in why
    ]
    return Decision(row, float(scoring.points(told.base)), columns, reasons)


def headline(findings):
    """The result in plain sentences; every number is measured."""
    mean, found = findings.areas["mean of all"], findings.found
    value, low, high = mean["gain"]
    clear = [bank for bank in found.names if findings.areas[bank]["gain"][1] > 0]
    lost = [bank for bank in found.names if findings.areas[bank]["gain"][2] < 0]
    gains = f"Taken by itself, the gain is clear at {words.listed(clear) if clear else 'no bank'}."
    losses = f" A clear loss is at {words.listed(lost)}." if lost else ""
    yes = scoring.approved(findings.scores)
    lost_of_approved = scoring.share(int(found.default[yes].sum()), int(yes.sum()))
    return (
        f"On applicants that no model had seen, the area under the curve is {mean['together'][0]:.3f} "
        f"together and {mean['alone'][0]:.3f} alone, a mean over {len(found.names)} banks: "
        f"{value:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}. {gains}{losses} Over a plain logistic "
        f"regression at each bank alone it is {_signed(mean['gain over linear'])}. At a cost of "
        f"{scoring.COST} refused good loans for a default, {yes.mean():.0%} are approved, of whom "
        f"{_percent(lost_of_approved)} default; of all, {found.default.mean():.1%} do."
    )


def render(findings):
    """The page."""
    found = findings.found
    title = f"{found.what}: should {words.count(len(found.names))} banks score applicants together?"
    return page(
        title,
        tag("div", tag("span", "Talkoot: credit report"), tag("span", "for a risk committee"), class_="over"),
        tag("h1", title),
        tag("p", headline(findings), class_="lead"),
        _together(findings),
        _gains(findings),
        _calibration(findings),
        _scorecard(findings),
        _decisions(findings),
        _fairness(findings),
        _limits(findings),
    )


def _together(findings):
    found, fit = findings.found, findings.fit
    bands = [NodeBand(name=name, rows=int((found.bank == name).sum()), seconds=None) for name in found.names]
    lines = [words.many(len(found.default), "row"), words.many(len(fit.history), "round")]
    same = "the same to the last bit" if findings.apart == 0 else f"at most {findings.apart:.1g} apart"
    text = (
        f"{scoring.BOOSTED.max_iter} boosted trees of the rows of all banks. No row leaves its bank: "
        "each sends sums, under masks that cancel in the total of all, so nobody can read the sums of "
        f"one bank. With and without masks the predictions are {same}."
    )
    return section(
        "One model",
        tag("p", text),
        tag("div", flow(bands, "one model", lines).draw(), class_="draw wide"),
        tag("div", flow_on_phone(bands, "one model", lines).draw(), class_="draw narrow"),
    )


def _gains(findings):
    drawn = {
        bank: {name: each[name] for name in ("alone", "together")} for bank, each in findings.areas.items()
    }
    rows = [
        [
            bank,
            *(_number(each[name]) for name in ("alone, linear", "alone", "together")),
            *(f(each[gain]) for gain in ("gain", "gain over linear") for f in (_signed, _verdict)),
        ]
        for bank, each in findings.areas.items()
    ]
    heads = [
        "bank",
        "alone, linear",
        "alone, trees",
        "together, trees",
        "gain over trees",
        "",
        "gain over linear",
        "",
    ]
    text = (
        "How often the model ranks a borrower who defaulted as riskier than one who paid: the area "
        f"under the ROC curve, of held-out applicants ({scoring.FOLDS} folds). A bank alone could also "
        "take a plain logistic regression; it stands beside, so that the gain is not only one over too "
        "large a model."
    )
    return section(
        "Does it pay?",
        tag("p", text),
        tag("div", dots(drawn, "area under the curve").draw(), class_="draw"),
        _wide(table(heads, rows, (1, 2, 3, 4, 6))),
        tag(
            "p",
            (
                "95 % intervals in brackets: a bootstrap over the held-out rows of each bank, paired for "
                "the gain."
            ),
            class_="note",
        ),
    )


def _verdict(gain):
    if gain[1] > 0:
        return tag("span", "gains", class_="word good")
    return tag("span", "loses", class_="word bad") if gain[2] < 0 else tag("span", "not sure", class_="muted")


def _calibration(findings):
    rows = [
        [
            str(i + 1),
            words.count(count),
            f"{mean:.1%}",
            _percent(seen),
            "" if seen[1] <= mean <= seen[2] else "outside",
        ]
        for i, (count, mean, seen) in enumerate(findings.reliability)
    ]
    outside = sum(bool(row[-1]) for row in rows)
    briers = "; ".join(
        f"{name} {value:.4f} [{low:.4f}, {high:.4f}]" for name, (value, low, high) in findings.brier.items()
    )
    text = (
        "Of a hundred applicants with a predicted risk of 20 %, twenty should default. Applicants are "
        f"sorted by their held-out prediction and cut into ten equal groups; in {outside} of ten the "
        "prediction lies outside the 95 % interval of what was seen. Brier score, less is better: "
        f"{briers}."
    )
    heads = ["group", "applicants", "predicted", "defaulted", ""]
    return section(
        "Are the probabilities right?",
        tag("p", text),
        tag("div", reliability_picture(findings.reliability).draw(), class_="draw"),
        _wide(table(heads, rows, (1, 2, 3))),
    )


def reliability_picture(rows):
    """Predicted and observed shares with their intervals, and the line where both are the same."""
    most = min(1.0, max(max(mean, seen[2]) for _, mean, seen in rows) * 1.05)
    x, y = svg.linear(0, most, 60, 460), svg.linear(0, most, 330, 20)
    levels = svg.ticks(0, most, 5)
    return svg.picture(
        640,
        380,
        "Predicted risk and the share that defaulted",
        *(
            join(
                svg.line(60, y(v), 460, y(v), "hair"),
                svg.text(52, y(v), f"{v:.0%}", class_="axis", anchor="end"),
                svg.text(x(v), 346, f"{v:.0%}", class_="axis", anchor="middle"),
            )
            for v in levels
        ),
        svg.text(260, 368, "predicted", class_="head", anchor="middle"),
        svg.text(60, 8, "defaulted", class_="head"),
        svg.line(x(0), y(0), x(most), y(most), "event"),
        *(
            join(
                svg.line(x(mean), y(seen[1]), x(mean), y(seen[2]), "range together"),
                svg.dot(x(mean), y(seen[0]), 4, "together", f"{mean:.1%} predicted, {seen[0]:.1%} seen"),
            )
            for _, mean, seen in rows
        ),
        svg.text(480, y(most), "as predicted", class_="muted"),
    )


def _scorecard(findings):
    found, points = findings.found, _points_of(findings.scores)
    cut = float(scoring.points(np.log(1 / scoring.COST)))
    edges = np.unique(np.floor(points / BAND) * BAND)
    rows = []
    for edge in edges:
        own = (points >= edge) & (points < edge + BAND)
        seen = scoring.share(int(found.default[own].sum()), int(own.sum()))
        action = "approved" if edge >= cut else "refused" if edge + BAND <= cut else "in part"
        rows.append(
            [
                f"{edge:.0f} to {edge + BAND:.0f}",
                words.count(int(own.sum())),
                f"{findings.scores[own].mean():.1%}",
                _percent(seen),
                action,
            ]
        )
    text = (
        f"{scoring.POINTS} points are odds of {scoring.ODDS} to 1 to be paid back, and {scoring.DOUBLE} "
        f"points more double the odds. A default costs {scoring.COST} times what a refused good loan "
        f"costs, so whoever has less than {cut:.0f} points, a risk above {1 / (1 + scoring.COST):.1%}, "
        "is refused. Held-out scores:"
    )
    heads = ["points", "applicants", "predicted", "defaulted", ""]
    return section("Scorecard", tag("p", text), _wide(table(heads, rows, (1, 2, 3))))


def _points_of(scores):
    return scoring.points(np.log(scores / (1 - scores)))


def _decisions(findings):
    if not findings.decisions:
        return section("Reasons for a refusal", tag("p", "Nobody is refused."))
    parts = []
    for one in findings.decisions:
        reasons = [
            [f"R{i + 1}", name, value, f"{points:+.1f}"]
            for i, (name, value, points) in enumerate(one.reasons)
        ]
        parts += [
            tag(
                "p",
                tag("span", f"Applicant {one.row}: {one.total:.0f} points. ", class_="word"),
                "What cost most:",
            ),
            _wide(table(["code", "column", "value", "points"], reasons, (3,))),
        ]
    first = findings.decisions[0]
    full = [["where nothing is known", "", f"{first.base:.1f}"]]
    full += [[name, value, f"{points:+.1f}"] for name, value, points in first.columns]
    full += [["score", "", f"{first.total:.1f}"]]
    text = (
        "The points of a decision are a sum: each column adds or takes some, by exact Shapley values "
        "of the model's trees. Two refusals by the model of all rows, the nearest to the cut-off and "
        "the one with the fewest points; it has learned from these applicants too."
    )
    whole = tag("p", f"All points of applicant {first.row}:")
    return section(
        "Reasons for a refusal",
        tag("p", text),
        *parts,
        whole,
        _wide(table(["column", "value", "points"], full, (2,))),
    )


def _fairness(findings):
    rows = []
    for attribute, groups in findings.fairness.items():
        for name, each in groups.items():
            gap = each["gap"]
            mark = (
                f"few: below {scoring.FEW} who pay"
                if each["few"]
                else "differs"
                if gap[1] > 0 or gap[2] < 0
                else ""
            )
            rows.append(
                [
                    f"{attribute}: {name}",
                    words.count(each["rows"]),
                    *(_percent(each[key]) for key in ("defaults", "approved", "good approved")),
                    _signed(gap, percent=True),
                    tag("span", mark, class_="warn"),
                ]
            )
    used = [name for name in findings.fairness if name in findings.found.columns]
    text = (
        "Equal opportunity: of those who do pay back, each group should be approved as often as all "
        "others are. The gap is that share minus the others', in percentage points, with 95 % "
        "intervals (Wilson; Newcombe for the gap)."
    )
    if used:
        text += f" A column of the model is {words.listed(used)}: settle first whether the law permits that."
    heads = ["group", "applicants", "defaulted", "approved", "approved of those who pay", "gap", ""]
    return section("Is it fair?", tag("p", text), _wide(table(heads, rows, (1, 2, 3, 4, 5))))


def _limits(findings):
    return section(
        "What this does not show", tag("ul", *(tag("li", line) for line in limits(findings.found)))
    )


def limits(found):
    """What a committee has to know before it believes the figures."""
    lines = [
        (
            "Only applicants who got a loan are in the data: of those who were refused then, nobody knows "
            "(reject inference)."
        ),
        (
            "Intervals cover which rows were held out, not that other training rows or another year would "
            "give other models."
        ),
        (
            "Defaults are cross-validated within one period. A model for use needs a later period to be "
            "tested on."
        ),
        (
            "The settings of the trees were chosen once, for all banks, on these data; each bank alone "
            "might choose others."
        ),
        (
            "The banks are parts of one data set. Real banks also differ in how they record columns: run "
            "tk.check first."
        ),
    ]
    if found.what == "German credit":
        lines += [
            (
                "Defaults were oversampled: 30 % here, far fewer in truth. Ranks hold; probabilities and "
                "points need the true rate."
            ),
            (
                "1973 to 1975, in Deutsche Mark. Sex cannot be recovered from these data (Groemping 2019) "
                "and is left out, so fairness is by age alone; a group that is not recorded cannot be "
                "watched."
            ),
        ]
    return lines


def _number(value):
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"


def _percent(value):
    return f"{value[0]:.1%} [{value[1]:.0%}, {value[2]:.0%}]" if np.isfinite(value[0]) else "-"


def _signed(value, percent=False):
    if not np.isfinite(value[0]):
        return "-"
    shown = [f"{100 * v:+.1f}" if percent else f"{v:+.3f}" for v in value]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _wide(child: Safe):
    return tag("div", child, class_="draw")
