"""Banks learn together who will not pay back, and a risk committee gets the report.

python report.py                  # German credit: 1,000 applicants of six lenders
python report.py --data FILE      # 30,000 credit cards of Taiwan as CSV, or name it in $TALKOOT_CREDIT
python report.py --by age         # the same, banks by age, not by education
python report.py --out FILE       # runs/credit.html by default
"""

import argparse
import os
from pathlib import Path

import banks
import numpy as np
import pages
import scoring

import talkoot as tk
from talkoot.watch.page import write_page

DATA = "TALKOOT_CREDIT"  # variable of the environment that names the file
MANY = 5_000  # rows from which one split into folds is enough


def judge(found):
    """All that the report says."""
    scores = scoring.held_out(found, repeats=1 if len(found.default) > MANY else 2)
    masked = scoring.learn(found, [tk.fixed(), tk.mask()])
    plain = scoring.learn(found, [tk.fixed()])
    together = scores["together"].mean(axis=0)  # over splits, all of rows that the models had not seen
    apart = np.abs(scoring.chance(masked.model, found) - scoring.chance(plain.model, found)).max()
    return pages.Findings(
        found=found,
        areas=scoring.areas(found, scores),
        scores=together,
        reliability=scoring.reliability(found.default, together),
        brier={
            "together": scoring.brier(found.default, together),
            "alone": scoring.brier(found.default, scores["alone"].mean(axis=0)),
            "everyone the same": scoring.brier(found.default, np.full(len(together), found.default.mean())),
        },
        fairness={
            name: scoring.fairness(groups, found.default, together) for name, groups in found.groups.items()
        },
        fit=masked,
        apart=float(apart),
        decisions=decisions(found, masked.model),
    )


def decisions(found, model):
    """The refused applicant nearest to the cut-off, and the one with the fewest points."""
    chance = scoring.chance(model, found)
    refused = np.flatnonzero(~scoring.approved(chance))
    if not len(refused):
        return []
    chosen = refused[[chance[refused].argmin(), chance[refused].argmax()]]
    told = tk.explain.contributions(model, found.frame(chosen))
    return [pages.decision(found, told, place, int(row)) for place, row in enumerate(chosen)]


def summary(findings):
    """The headline as text."""
    print(f"\n{'area under the curve':24}{'rows':>7}{'alone':>8}{'together':>10}   together - alone")
    for bank, each in findings.areas.items():
        rows = int((findings.found.bank == bank).sum()) or len(findings.found.default)
        value, low, high = each["gain"]
        figures = f"{rows:7,}{each['alone'][0]:8.3f}{each['together'][0]:10.3f}"
        print(f"{bank:24}{figures}   {value:+.3f} [{low:+.3f}, {high:+.3f}]")
    print(f"\n{pages.headline(findings)}")


def main():
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    given = os.environ.get(DATA)
    parser.add_argument("--data", type=Path, default=given and Path(given), help=f"${DATA} by default")
    parser.add_argument("--by", choices=("education", "age"), help="banks of --data, education by default")
    parser.add_argument("--out", type=Path, default=Path("runs/credit.html"), help="the report")
    args = parser.parse_args()
    if args.by and not args.data:
        parser.error("--by divides the rows of --data, and there is none")
    try:
        found = banks.load(args.data, args.by or "education")
    except KeyError as error:
        parser.error(f"--data {args.data}: there is no column {error}")
    except (OSError, ValueError) as error:
        parser.error(f"--data {args.data}: {error}")
    print(f"{found.what}: {len(found.default):,} applicants of {len(found.names)} banks")
    findings = judge(found)
    summary(findings)
    path = write_page(pages.render(findings), args.out, "the report")
    print(f"report: {path}")


if __name__ == "__main__":
    main()
