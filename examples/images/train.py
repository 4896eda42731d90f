"""An image classifier, trained wherever you say.

python train.py                                    # digits, on two cores of this process
python train.py --on local                         # on two worker processes: one word changes
python train.py --on local --sync 50               # which meet only every 50 steps
torchrun --nproc-per-node 2 train.py --on ranks    # the ranks of a job, here or on a cluster
python train.py --on ray --nodes 4 --sync 50       # the actors of a Ray cluster
python train.py --data FOLDER                      # your own images
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split
from torch import nn

import talkoot as tk

ENGINES = {
    "inline": lambda nodes, checkpoint: tk.Inline(threads=nodes, checkpoint=checkpoint),
    "local": lambda nodes, checkpoint: tk.Local(nodes, checkpoint=checkpoint),
    "ranks": lambda nodes, checkpoint: tk.Ranks(checkpoint=checkpoint),
    "ray": lambda nodes, checkpoint: tk.Ray(nodes, checkpoint=checkpoint),
}


def load(path):
    """What to learn from, and the images (n, channels, height, width) and classes of the test."""
    if path is None:
        X, y = load_digits(return_X_y=True)
        X = X.reshape(-1, 1, 8, 8).astype("float32") / 16
        train_X, test_X, train_y, test_y = train_test_split(X, y, test_size=0.2, random_state=0, stratify=y)
        return (train_X, train_y), test_X, test_y
    if path.suffix == ".npz":  # arrays of MedMNIST: train_images (n, height, width), train_labels (n, 1), ...
        with np.load(path) as held:
            images = {part: held[f"{part}_images"][:, None] / np.float32(255) for part in ("train", "test")}
            labels = {part: held[f"{part}_labels"].ravel().astype("int64") for part in ("train", "test")}
        return (images["train"], labels["train"]), images["test"], labels["test"]
    test = tk.images(path / "test")
    return tk.images(path / "train"), *test.take(np.arange(test.rows))


def network(channels, classes):
    """Three convolutions and a linear layer: 94,000 parameters, for images from 8 x 8 pixels."""

    def block(before, after):
        return nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()

    convolutions = (*block(channels, 32), nn.MaxPool2d(2), *block(32, 64), *block(64, 64))
    return nn.Sequential(*convolutions, nn.AdaptiveMaxPool2d(4), nn.Flatten(), nn.Linear(64 * 16, classes))


def scores(module, X, y):
    """Accuracy and area under the ROC curve (each class against the rest), and the predicted classes."""
    with torch.no_grad():
        shares = module(torch.from_numpy(X)).softmax(1).numpy()
    probabilities = shares[:, 1] if shares.shape[1] == 2 else shares
    return (
        accuracy_score(y, shares.argmax(1)),
        roc_auc_score(y, probabilities, multi_class="ovr"),
        shares.argmax(1),
    )


def draw(image):
    """Its first channel in characters, a pixel as two of them."""
    step = -(-image.shape[-1] // 28)
    return "\n".join("".join(2 * " .:-=+*#%@"[int(9 * p)] for p in row) for row in image[0, ::step, ::step])


def main():
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--on", choices=ENGINES, default="inline", help="where the nodes are")
    parser.add_argument("--nodes", type=int, default=2, help="cores of this process, workers, or actors")
    parser.add_argument("--sync", default="step", help='"step", or steps between two meetings')
    parser.add_argument(
        "--data", type=Path, help="folder train/CLASS/*.png, test/CLASS/*.png; or an .npz file"
    )
    parser.add_argument("--epochs", type=float, default=10)
    parser.add_argument("--checkpoint", type=Path, help="folder: run the same again to go on from there")
    parser.add_argument("--report", type=Path, help="write the run as one HTML file")
    args = parser.parse_args()

    train, test_X, test_y = load(args.data)
    channels, classes = test_X.shape[1], int(test_y.max()) + 1

    def build():
        module = network(channels, classes)
        return module, torch.optim.AdamW(module.parameters(), lr=2e-3, weight_decay=0.01)

    task = tk.Torch(build, nn.functional.cross_entropy, epochs=args.epochs, batch=64)
    fit = tk.fit(
        task,
        train,
        on=ENGINES[args.on](args.nodes, args.checkpoint),
        sync=tk.every_step() if args.sync == "step" else tk.every(steps=int(args.sync)),
    )
    if not fit.engine.is_primary:  # one rank of several; all have the same model
        return
    accuracy, area, predicted = scores(fit.model, test_X, test_y)
    for wrong in np.flatnonzero(predicted != test_y)[:1]:
        print(f"A {test_y[wrong]} that it takes for a {predicted[wrong]}:\n{draw(test_X[wrong])}")
    print(f"on {len(test_y)} unseen images: accuracy {accuracy:.3f}, AUC {area:.4f}")
    losses = [outcome.metrics["loss"] for outcome in fit.history]
    course = f"loss {losses[0]:.3f} -> {losses[-1]:.3f}" if losses else "nothing was left to do"
    print(f"{course} in {fit.seconds:.1f} s on {fit.engine}")
    if args.report is not None:
        print(f"the whole run: {fit.report(args.report)}")


if __name__ == "__main__":
    main()
