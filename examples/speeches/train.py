"""A language model of two private libraries that are joined by a slow link.

    python train.py                       # a few speeches, a minute
    python train.py --data sotu.jsonl.xz --epochs 0.3 --steps 50

One host has the speeches that presidents gave until 1900, the other those since. Each trains a model of
characters alone; then both train one together, and meet only every so many steps, in 8 bits a value.
"""

import argparse
import json
import lzma
import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from math import log
from pathlib import Path

import numpy as np
import torch
from torch import nn

import talkoot as tk
from talkoot.testing.network import Hosts

ERAS = {"until 1900": range(1901), "since 1901": range(1901, 3000)}
CHARACTERS = "".join(map(chr, range(32, 127))) + "\n"  # others become the first, a space
WINDOW, BATCH = 64, 16  # characters of a sample, and samples of a step at each host


class Network(nn.Module):
    """What comes next: a recurrent network of 223,000 parameters."""

    def __init__(self):
        super().__init__()
        self.known = nn.Embedding(len(CHARACTERS), 64)
        self.memory = nn.GRU(64, 224, batch_first=True)
        self.next = nn.Linear(224, len(CHARACTERS))

    def forward(self, characters):
        """Scores of what follows each character: (b, window) to (b, window, characters)."""
        return self.next(self.memory(self.known(characters))[0])


def build():
    """The network and its optimizer."""
    module = Network()
    return module, torch.optim.AdamW(module.parameters(), lr=4e-3, weight_decay=0.01)


def loss(scores, following):
    """Mean over all characters of all windows."""
    return nn.functional.cross_entropy(scores.flatten(0, 1), following.flatten())


def load(path):
    """Of each era the windows that are trained on, and those of the last tenth of its text, held out."""
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        speeches = [json.loads(line) for line in lines]
    train, held_out = {}, {}
    for era, years in ERAS.items():
        text = "\n".join(speech["text"] for speech in speeches if speech["year"] in years)
        cut = len(text) * 9 // 10
        train[era] = tk.tokens(text[:cut], WINDOW, vocabulary=CHARACTERS)
        held_out[era] = tk.tokens(text[cut:], WINDOW, vocabulary=CHARACTERS)
    return train, held_out


@torch.no_grad()
def bits(module, held_out):
    """Bits per character of each era's text that nobody trained on."""
    found = {}
    for era, windows in held_out.items():
        X, y = map(torch.from_numpy, windows.take(np.arange(min(windows.rows, 500))))
        found[era] = loss(module(X), y).item() / log(2)
    return found


@torch.no_grad()
def speak(module, text="Fellow citizens, ", length=240):
    """Go on with a text, character by character."""
    torch.manual_seed(0)
    codes, state = [CHARACTERS.index(c) for c in text], None
    inputs = codes
    for _ in range(length):
        out, state = module.memory(module.known(torch.tensor([inputs])), state)
        inputs = [int((module.next(out[0, -1]) / 0.5).softmax(0).multinomial(1))]
        codes += inputs
    return "".join(CHARACTERS[i] for i in codes)


def node(args):
    """One of the two hosts: train alone, then together, and print how it went."""
    torch.set_num_threads(1)
    train, held_out = load(args.data)
    own = list(ERAS)[int(os.environ["RANK"])]
    task = tk.Torch(build, loss, epochs=args.epochs, batch=BATCH)
    alone = tk.fit(task, train[own], on=tk.Inline())
    together = tk.fit(
        tk.Torch(build, loss, epochs=args.epochs, batch=2 * BATCH),
        train,
        on=tk.Ranks(),
        sync=tk.every(steps=args.steps),
        chain=[tk.weigh("rows"), tk.quantize()],
    )
    found = {
        "own": own,
        "alone": bits(alone.model, held_out),
        "together": bits(together.model, held_out),
        "losses": [outcome.metrics["loss"] for outcome in together.history],
        "seconds": [alone.seconds, together.seconds],
        "parameters": sum(parameter.numel() for parameter in together.model.parameters()),
        "speech": speak(together.model),
    }
    print(json.dumps(found))


def start(hosts, rank, port):
    """Start this program as one of two ranks, in its host if it has one, as torchrun would."""
    variables = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if hosts is not None:
        variables |= {"MASTER_ADDR": hosts.address(0), "GLOO_SOCKET_IFNAME": hosts.device}
    quiet = {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    options = {"env": os.environ | variables | quiet, "stdout": subprocess.PIPE, "text": True}
    script = [sys.executable, *sys.argv]
    return subprocess.Popen(script, **options) if hosts is None else hosts.run(rank, script, **options)


def launch(args):
    """Both hosts; what they printed, and the bytes that the busier one has sent, None where nobody counts."""
    obstacle = Hosts.possible()
    with Hosts(2, rate=f"{args.mbit}mbit", rtt=args.rtt) if obstacle is None else nullcontext() as hosts:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        nodes = [start(hosts, rank, port) for rank in range(2)]
        outputs = [process.communicate()[0] for process in nodes]
        if any(process.returncode for process in nodes):
            sys.exit("a node failed: see above")
        sent = None if hosts is None else max(hosts.bytes(rank)[1] for rank in range(2))
    if obstacle is None:
        print(f"Two hosts, {args.mbit:g} Mbit/s and {1000 * args.rtt:g} ms apart.")
    else:
        print(f"Two processes of this machine and no slow link, as {obstacle}.")
    return [json.loads(text.splitlines()[-1]) for text in outputs], sent


def show(args, nodes, sent):
    """The result as a table, and what it cost."""
    first = nodes[0]
    steps = args.steps * len(first["losses"])
    alone, together = (max(node["seconds"][i] for node in nodes) for i in (0, 1))
    print(f"{first['parameters']:,} parameters. Each alone: {alone:.0f} s.")
    print(f"Together, {steps} steps and a meeting every {args.steps}: {together:.0f} s, ", end="")
    print(f"training loss {first['losses'][0]:.3f} -> {first['losses'][-1]:.3f}.\n")

    rows = {f"{node['own']} alone": node["alone"] for node in nodes} | {"together": first["together"]}
    print("held-out bits per character" + "".join(f"{name:>12}" for name in [*ERAS, "mean"]))
    for name, found in rows.items():
        numbers = [*found.values(), sum(found.values()) / len(found)]
        print(f"{name:27}" + "".join(f"{number:12.3f}" for number in numbers))

    plain = 4 * first["parameters"] * steps
    if sent is not None:
        print(f"\nEach host sent {sent / 1e6:.2f} MB. Gradients in float32 at every step", end=" ")
        print(f"would be {plain / 1e6:.0f} MB: {8e-6 * plain / args.mbit:.0f} s on this link.")
    print(f"\nThe model of both goes on:\n{first['speech']}")


def main():
    """What the command line says: all of it, or in a host one node."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "speeches.jsonl.xz")
    parser.add_argument("--epochs", type=float, default=3, help="how often each era is read")
    parser.add_argument("--steps", type=int, default=30, help="steps between two meetings")
    parser.add_argument("--mbit", type=float, default=20, help="what a host may send in a second")
    parser.add_argument("--rtt", type=float, default=0.05, help="seconds of a round trip")
    args = parser.parse_args()
    if "RANK" in os.environ:
        node(args)
    else:
        show(args, *launch(args))


if __name__ == "__main__":
    main()
