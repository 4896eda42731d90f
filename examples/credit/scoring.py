"""What is learned and how it is judged: held-out scores, intervals, calibration, points, groups."""

import numpy as np
from scipy.stats import norm, rankdata
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

import talkoot as tk

FOLDS, DRAWS = 5, 1000
POINTS, ODDS, DOUBLE = 600, 50, 20  # 600 points at 50 who pay for one who does not; 20 points double the odds
COST = 5  # a loan that is not paid back costs as much as five refused ones that would have been
FEW = 50  # of those who pay: below it a group's figures are marked
BOOSTED = HistGradientBoostingClassifier(
    max_iter=60,
    learning_rate=0.1,
    max_depth=3,
    min_samples_leaf=10,
    l2_regularization=1.0,
    early_stopping=False,
)
Z = norm.ppf(0.975)


def held_out(found, repeats):
    """Default probabilities of applicants that no model has seen: name -> (repeats, rows).

    "together" is of all banks, behind `tk.fixed()`; the others are of each applicant's own bank alone.
    """
    names = ("together", "alone", "alone, linear")
    scores = {name: np.full((repeats, len(found.default)), np.nan) for name in names}
    for repeat in range(repeats):
        fold = folds(found, repeat)
        for k in range(FOLDS):
            test = fold == k
            model = learn(found, rows=~test, chain=[tk.fixed()]).model
            scores["together"][repeat, test] = chance(model, found, test)
            for bank in found.names:
                own, unseen = ~test & (found.bank == bank), test & (found.bank == bank)
                for name, estimator in (("alone", BOOSTED), ("alone, linear", linear(found))):
                    with threadpool_limits(1):  # few rows: more threads only wait for each other
                        fitted = clone(estimator).fit(found.X[own], found.default[own])
                    scores[name][repeat, unseen] = fitted.predict_proba(found.X[unseen])[:, 1]
    return scores


def linear(found):
    """What a bank with few rows would also try alone: a logistic regression."""
    codes = [place for place, name in enumerate(found.columns) if name in found.codes]
    encoder = OneHotEncoder(handle_unknown="ignore")
    columns = make_column_transformer((encoder, codes), remainder=StandardScaler())
    return make_pipeline(columns, LogisticRegression(max_iter=1000))


def folds(found, seed):
    """(rows,) the fold of each: every bank splits its own, within those who paid and those who did not."""
    fold = np.zeros(len(found.default), int)
    for bank in found.names:
        rows = np.flatnonzero(found.bank == bank)
        splits = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(rows, found.default[rows])
        for k, (_, test) in enumerate(splits):
            fold[rows[test]] = k
    return fold


def learn(found, chain, rows=slice(None)):
    """One model of the rows of all banks."""
    return tk.fit(BOOSTED, found.tables(rows), found.target, chain=chain, on=tk.Inline(), progress=False)


def chance(model, found, rows=slice(None)):
    """(rows,) the probability of a default, by a model that knows the columns' names."""
    return model.predict_proba(found.frame(rows))[:, 1]


def area(default, scores):
    """The area under the ROC curve: how often a default has the higher score of a pair; ties count half."""
    bad = default == 1
    ranks = rankdata(scores)[bad].sum() - bad.sum() * (bad.sum() + 1) / 2
    return ranks / (bad.sum() * (~bad).sum())


def areas(found, scores, seed=0):
    """Areas under the curve by bank, their paired gains, and the mean over banks.

    Returns:
        bank -> name -> (value, low, high): each model's area; "gain", together minus alone; and
        "gain over linear". The last bank is "mean of all". The 95% intervals are quantiles of a bootstrap
        over each bank's held-out rows, within those who paid and those who did not (Efron 1979); they do not
        cover other training rows.
    """
    rng, found_areas = np.random.default_rng(seed), {}
    for bank in found.names:
        rows = found.bank == bank
        default = found.default[rows]
        parts = [np.flatnonzero(default == label) for label in (0, 1)]
        draws = [np.arange(len(default))]  # the rows as they are, then drawn again and again
        draws += [np.concatenate([rng.choice(part, len(part)) for part in parts]) for _ in range(DRAWS)]
        found_areas[bank] = {
            name: np.array([np.mean([area(default[d], one[d]) for one in each[:, rows]]) for d in draws])
            for name, each in scores.items()
        }
    found_areas["mean of all"] = {
        name: np.mean([found_areas[bank][name] for bank in found.names], axis=0) for name in scores
    }
    for each in found_areas.values():
        each["gain"] = each["together"] - each["alone"]
        each["gain over linear"] = each["together"] - each["alone, linear"]
    return {bank: {name: interval(v) for name, v in each.items()} for bank, each in found_areas.items()}


def interval(draws):
    """(value, low, high), of which the value is the first."""
    return float(draws[0]), *(float(end) for end in np.quantile(draws[1:], (0.025, 0.975)))


def share(part, whole):
    """(value, low, high): a share with Wilson's 95% interval (Wilson 1927); NaN of nothing."""
    if not whole:
        return np.nan, 0.0, 1.0
    value, middle = part / whole, (part + Z**2 / 2) / (whole + Z**2)
    half = Z * np.sqrt(value * (1 - value) / whole + Z**2 / (4 * whole**2)) / (1 + Z**2 / whole)
    return value, max(0.0, middle - half), min(1.0, middle + half)


def difference(one, two):
    """(value, low, high) of the difference of two independent shares (Newcombe 1998, method 10)."""
    value = one[0] - two[0]
    low = value - np.hypot(one[0] - one[1], two[2] - two[0])
    return value, low, value + np.hypot(one[2] - one[0], two[0] - two[1])


def reliability(default, scores, bins=10):
    """Rows of equally many applicants by their score: (number, mean prediction, observed share)."""
    parts = np.array_split(np.argsort(scores, kind="stable"), bins)
    return [(len(p), float(scores[p].mean()), share(int(default[p].sum()), len(p))) for p in parts]


def brier(default, scores, seed=0):
    """(value, low, high): the mean squared error of probabilities (Brier 1950), by a bootstrap over rows."""
    errors, rng = (scores - default) ** 2, np.random.default_rng(seed)
    draws = [errors[rng.integers(len(errors), size=len(errors))].mean() for _ in range(DRAWS)]
    return interval(np.array([errors.mean(), *draws]))


def points(log_odds):
    """Points of the log-odds of a default: they fall by `DOUBLE` where the odds to be paid back halve."""
    return POINTS - DOUBLE / np.log(2) * (np.asarray(log_odds) + np.log(ODDS))


def approved(scores):
    """Whom to approve: a default costs `COST` times what a refused good loan costs."""
    return scores < 1 / (1 + COST)


def fairness(groups, default, scores):
    """Group -> (value, low, high) of "defaults", "approved", and "good approved" of those who pay.

    "gap" is the last one minus that of all other groups together: the difference that equal opportunity
    wants to be 0 (Hardt, Price & Srebro 2016). "few" says that fewer than `FEW` of the group pay.
    """
    yes, pays = approved(scores), default == 0
    found = {}
    for name in np.unique(groups).tolist():
        own = groups == name
        good = [share(int((yes & pays & part).sum()), int((pays & part).sum())) for part in (own, ~own)]
        found[name] = {
            "rows": int(own.sum()),
            "few": int((pays & own).sum()) < FEW,
            "defaults": share(int(default[own].sum()), int(own.sum())),
            "approved": share(int(yes[own].sum()), int(own.sum())),
            "good approved": good[0],
            "gap": difference(*good),
        }
    return found
