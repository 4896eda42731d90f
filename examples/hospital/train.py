"""Four hospitals learn one model together, and no row leaves any of them.

python train.py                   # tumours from scikit-learn, dealt out to four hospitals
python train.py --data FOLDER     # heart disease: processed.{cleveland,hungarian,switzerland,va}.csv
python train.py --images FILE     # X-rays of lungs, as an archive of MedMNIST
python train.py --out FOLDER      # keep all that the parties write

A coordinator and four sites run as programs of their own on this machine. Every command that this prints is
one that you can type; each party would type its own, at home.
"""

import argparse
import contextlib
import os
import shlex
import signal
import sys
import tempfile
import threading
import zipfile
from pathlib import Path

import hospitals
import images
import numpy as np
from network import Network
from parties import Programs, free_port, permit, talkoot, wait_for_proposal

import talkoot as tk

DATA, IMAGES = "TALKOOT_HOSPITALS", "TALKOOT_XRAYS"  # variables of the environment that name rows and images
LEARNERS = '\n[learners]\nNetwork = "network:Network"\n'  # of each hospital's site.toml
FILES = "rows.csv", "held_out.csv"  # of a hospital: what it has registered, and what it keeps for the end
BY_HAND = 2  # hospitals where a person approves; the policy does it at the others


def provision(names, address):
    """Keys and certificates of everybody; at each hospital its settings and a policy."""
    title("Who takes part: everybody makes his own keys, and the operator certifies them")
    talkoot(f"provision init --listen {address}")
    for name in names:
        data = f"study={name}/rows.csv images={name}/images.parquet"
        talkoot(f"site request {name} --coordinator {address} --data {data} --researchers ana")
        with Path(name, "site.toml").open("a") as settings:
            settings.write(LEARNERS)
        permit(name, kinds=["check"], automatic=["check"], minimum_rows=5)  # the smallest has 48
    talkoot(f"provision request ana --coordinator {address}")
    requests = " ".join(f"{name}/{name}.request" for name in (*names, "ana"))
    talkoot(f"provision approve {requests} --compared")


def start(programs, names):
    """The coordinator and the sites, as programs."""
    programs.start("coordinator federation/coordinator", "listens on")()
    for connected in [programs.start(f"site run {name}", "connected to") for name in names]:
        connected()
    print("All hospitals have called the coordinator. It can call none of them.")


def check(recorded):
    """Do the columns agree? What does not is shown, then each hospital changes its own rows."""
    title("Do the hospitals record the same? For now their policies permit this check, and nothing else")
    show(tk.check(tk.dataset("study"), hospitals.TARGET, on=tk.Federation("ana", purpose="what differs")))
    changes = {}
    for name, text in recorded.items():
        table, change = hospitals.agreed(name, text)
        if change:
            changes.setdefault(change, []).append(name)
        for file, rows in zip(FILES, hospitals.divided(table), strict=True):
            Path(name, file).write_bytes(hospitals.to_csv(rows))
    for change, names in changes.items():
        print(f"Agreed, and changed at {', '.join(names)}: {change}.")
    print("Each hospital puts a third of its rows aside, for the end. Checked again:")
    show(tk.check(tk.dataset("study"), hospitals.TARGET, on=tk.Federation("ana", purpose="what is left")))


def show(contract):
    """Of each kind the first finding that is more than a note, and how many there are."""
    found = [finding for finding in contract.findings if finding.severity != "note"]
    for kind in dict.fromkeys(finding.kind for finding in found):
        first, *others = [finding for finding in found if finding.kind == kind]
        print(f"  {first.severity}: {first}" + (f" ({len(others)} more like this)" if others else ""))
    if not found:
        print(f"  nothing found in {sum(contract.nodes.values())} rows")


def learn(names):
    """Propose a model, have it approved, and learn it from sums that nobody can read hospital by hospital."""
    by_hand, automatic = names[:BY_HAND], names[BY_HAND:]
    title("One model is proposed, and each hospital decides")
    for name in names:
        kinds = ["fit"] if name in automatic else []
        permit(name, secure_sum=True, kinds=["fit"], automatic=kinds)
    print(f"Permitted now: fits under secure sum. By policy at {' and '.join(automatic)};")
    print(f"at {' and '.join(by_hand)} a person has to approve. What {by_hand[0]} reads:")
    with people(by_hand) as runs:
        fit = tk.fit(
            hospitals.model(),
            tk.dataset("study"),
            hospitals.TARGET,
            chain=[tk.fixed(), tk.mask()],
            on=tk.Federation("ana", purpose="prediction of disease", permit="ethics vote 2027/12"),
            progress=False,
        )
    print(f"Learned in {len(fit.history)} rounds and {fit.seconds:.0f} s, the waiting for people included.")
    return fit, runs[0]


@contextlib.contextmanager
def people(sites):
    """Persons of these sites, who approve what is proposed while the block runs; gives the runs' names."""
    runs, failed, over = [], [], threading.Event()

    def approve():
        try:
            for site in sites:
                if run := wait_for_proposal(site, over):
                    if site == sites[0]:
                        talkoot(f"plan show {run} --folder {site}", show=True)
                    talkoot(f"site approve {run} --folder {site} --why 'ethics vote 2027/12'")
                    runs.append(run)
        except BaseException as error:  # the fit must not wait for a person who is gone
            failed.append(error)
            if not over.is_set():
                signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=approve)
    thread.start()
    try:
        yield runs
    except KeyboardInterrupt:
        if failed:
            raise failed[0] from None
        raise
    finally:
        over.set()
        thread.join()


def gains(names, path):
    """What each hospital gains: it scores the model at home, and only counts come back."""
    title("What each hospital gains: rows predicted right that no model has seen, counted where they are")
    found = {}
    for name in names:
        tables = [hospitals.from_csv(Path(name, file).read_bytes()) for file in FILES]
        found[name] = hospitals.score(*tables, tk.load(path))
    compare(found)


def compare(found):
    """A table of what hospitals counted."""
    print(f"{'hospital':14}{'learned from':>14}{'held out':>12}{'alone':>10}{'together':>10}")
    for name, counts in found.items():
        shares = [share(counts[key], counts["held out"]) for key in ("alone", "together")]
        print(f"{name:14}{counts['learned']:14}{counts['held out']:12}" + "".join(f"{s:>10}" for s in shares))
    right, rows = (sum(counts[key] for counts in found.values()) for key in ("together", "held out"))
    print(f"\nTogether {right} of {rows} are right: {share(right, rows)}.")
    if lacking := [name for name, counts in found.items() if counts["alone"] is None]:
        print(f"{' and '.join(lacking)} can learn nothing alone: all its rows have one answer.")


def learn_images(names, pictures, what):
    """Learn a network that hospitals have registered, from images that stay where they are."""
    title(f"A network on images: {what}")
    print('Each hospital has registered it in site.toml as Network = "network:Network"; no code is sent.')
    for name in names:
        permit(name, automatic=["fit"])
    parts = {name: images.divided(*pictures[name]) for name in names}
    for name, (learned, _) in parts.items():
        Path(name, "images.parquet").write_bytes(images.to_parquet(*learned))
    task = Network(classes=int(max(y.max() for _, y in pictures.values())) + 1)
    fit = tk.fit(
        task,
        tk.dataset("images"),
        images.TARGET,
        chain=[tk.weigh("rows"), tk.fixed(bits=64, limit=1e4), tk.mask()],
        sync=tk.rounds(images.ROUNDS, quorum=len(names) - 1),
        on=tk.Federation("ana", purpose="reading of images", registered={"Network": Network}),
        progress=False,
    )
    print(
        f"Learned in {len(fit.history)} rounds and {fit.seconds:.0f} s; it goes on where a hospital is lost."
    )
    start = task.init(fit.schema, np.random.default_rng(0))
    compare({name: images.score(start, *both, fit.model) for name, both in parts.items()})


def share(right, rows):
    """A share of rows."""
    return "-" if right is None else f"{right / rows:.3f}"


def title(text):
    """What comes next."""
    print(f"\n== {text}", flush=True)


def run(recorded, found, folder, evidence):
    """All of it, in a folder where each party has its own."""
    names = [*recorded]
    X, y, what = found
    pictures = images.dealt(names, X, y)
    with contextlib.chdir(folder), Programs() as programs:
        provision(names, f"127.0.0.1:{free_port()}")
        for name, text in recorded.items():
            Path(name, "rows.csv").write_bytes(text)
        start(programs, names)
        check(recorded)
        fit, run = learn(names)
        gains(names, fit.save("ana/model.talkoot"))
        learn_images(names, pictures, what)
        title(f"What left {names[0]}, and what went through the coordinator, for data-protection officers")
        evidence.mkdir(exist_ok=True)
        for party in (names[0], "federation/coordinator"):
            page = shlex.quote(str(evidence / f"evidence-{Path(party).name}.html"))
            talkoot(f"evidence {run} --folder {party} --out {page}", show=True)


def main():
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    given = os.environ.get(DATA)
    about = f"folder of four CSV files, as above; ${DATA} by default"
    parser.add_argument("--data", type=Path, default=given and Path(given), help=about)
    given = os.environ.get(IMAGES)
    about = f"pneumonia.npz of MedMNIST, for example; ${IMAGES} by default, and else digits of scikit-learn"
    parser.add_argument("--images", type=Path, default=given and Path(given), help=about)
    parser.add_argument("--out", type=Path, help="a new folder, which is kept; a temporary one by default")
    args = parser.parse_args()
    if args.out is not None and args.out.exists():
        parser.error(f"--out {args.out} exists; name a new folder")
    try:
        recorded = hospitals.load(args.data)
    except OSError as error:
        parser.error(f"--data {args.data}: {error}")
    try:
        found = images.load(args.images)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        parser.error(f"--images {args.images}: {error}")
    for number in (signal.SIGINT, signal.SIGTERM):  # both end all programs
        signal.signal(number, signal.default_int_handler)
    try:
        if args.out is None:
            with tempfile.TemporaryDirectory(prefix="hospitals-") as folder:
                run(recorded, found, folder, Path("runs").absolute())
        else:
            args.out.mkdir(parents=True)
            run(recorded, found, args.out, args.out.absolute())
    except KeyboardInterrupt:
        sys.exit("stopped; all programs have ended")


if __name__ == "__main__":
    main()
