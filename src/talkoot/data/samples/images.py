"""tk.images: a folder of images with a subfolder for each class."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.data.samples.base import Samples
from talkoot.data.tables.reading import reading

ENDINGS = (".png", ".jpg", ".jpeg")
GRAY = ("1", "L", "LA", "I", "I;16", "F")  # Pillow's modes without colour


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageSamples(Samples):
    """Images of several classes, decoded when they are read."""

    files: tuple[str, ...]  # paths of the images
    labels: np.ndarray  # the position of each image's class in `classes`, (rows,) int64
    classes: tuple[str, ...]  # names of the classes, sorted
    size: int  # height and width in pixels after resizing
    color: bool  # whether images are RGB; else grayscale

    @property
    def rows(self) -> int:
        """Number of images."""
        return len(self.files)

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images, (b, channels, size, size) float32 in 0 to 1, and the positions of their classes, (b,)."""
        pixels = np.stack([self._pixels(self.files[index]) for index in indices.tolist()])
        return pixels.astype(np.float32) / 255, self.labels[indices]

    def _pixels(self, path: str) -> np.ndarray:
        with reading(path), _pillow().open(path) as image:
            image = image.convert("RGB" if self.color else "L")
            if image.size != (self.size, self.size):
                image = image.resize((self.size, self.size), _pillow().Resampling.BILINEAR)
            pixels = np.asarray(image)
        return pixels.transpose(2, 0, 1) if self.color else pixels[np.newaxis]


def images(folder: str | os.PathLike[str], size: int = 28) -> ImageSamples:
    """Samples of a folder of PNG or JPEG images that has a subfolder for each class. Needs Pillow.

    X is (b, channels, size, size) float32 in 0 to 1, with one channel where the first image of every
    class is grayscale, else three; y is (b,) int64, the position of the class in the attribute
    `classes`, which are the sorted names of the subfolders.

    Args:
        folder: the folder with the subfolders. It must exist at every node, as nodes read the images.
        size: height and width in pixels; images of another size are resized (bilinear).

    Raises:
        DataError: no images there, one that cannot be read, or Pillow is not installed.

    >>> import tempfile, pathlib
    >>> from PIL import Image
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name, shade in {"dark": 10, "light": 240}.items():
    ...     (folder / name).mkdir()
    ...     Image.new("L", (8, 8), shade).save(folder / name / "0.png")
    >>> data = images(folder, size=8)
    >>> data.classes, data.rows
    (('dark', 'light'), 2)
    """
    if size < 1:
        raise DataError(f"size={size} leaves no pixels", cure="Take one or more.")
    found = _listed(Path(folder))
    classes = tuple(sorted(found))
    files = [path for name in classes for path in found[name]]
    labels = np.repeat(np.arange(len(classes)), [len(found[name]) for name in classes])
    color = any(_is_colored(found[name][0]) for name in classes)
    return ImageSamples(
        name="node0", files=tuple(files), labels=labels, classes=classes, size=size, color=color
    )


def _listed(folder: Path) -> dict[str, list[str]]:
    """The images of each subfolder and the folders below it, sorted; subfolders without any are left out."""
    subfolders = [path for path in folder.glob("*") if path.is_dir() and not path.name.startswith(".")]
    found = {path.name: sorted(str(f) for f in path.rglob("*") if _is_image(f)) for path in subfolders}
    found = {name: files for name, files in found.items() if files}
    if not found:
        raise DataError(
            f"no images in subfolders of {folder}",
            cure=f"Make one subfolder for each class, with files that end with {', '.join(ENDINGS)}.",
        )
    return found


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".")


def _is_colored(path: str) -> bool:
    with reading(path), _pillow().open(path) as image:
        return image.mode not in GRAY


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise DataError(
            "images are read by Pillow, which is not installed", cure="pip install pillow"
        ) from None
    return Image
