from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from talkoot.core.errors import DataError
from talkoot.data.loading.loader import Loader
from talkoot.data.samples.images import images
from talkoot.data.samples.samples import samples
from talkoot.engines.processes.wire import copied

Image = pytest.importorskip("PIL.Image")


def folder(path: Path, mode: str = "L", size: int = 8) -> Path:
    rng = np.random.default_rng(0)
    for name in ("zebra", "ant"):
        (path / name / "more").mkdir(parents=True)
        for i in range(3):
            shape = (size, size) if mode == "L" else (size, size, 3)
            picture = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
            picture.save(path / name / ("more/" if i == 2 else "") / f"{i}.PNG", format="PNG")
    (path / "ant" / "notes.txt").write_text("no image")
    (path / ".cache").mkdir()
    return path


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_images_are_floats_and_their_folder_is_the_class(tmp_path: Path, mode: str, channels: int) -> None:
    source = images(folder(tmp_path, mode), size=8)
    assert source.classes == ("ant", "zebra")
    X, y = copied(source).take(np.array([5, 0]))
    assert X.shape == (2, channels, 8, 8)
    assert X.dtype == np.float32
    assert y.tolist() == [1, 0]
    with Image.open(source.files[0]) as picture:
        want = np.asarray(picture, np.float32).reshape(8, 8, channels) / 255
    assert np.allclose(X[1], want.transpose(2, 0, 1))


def test_images_are_brought_to_one_size_and_one_color_makes_all_color(tmp_path: Path) -> None:
    folder(tmp_path)
    Image.new("RGB", (20, 10), (255, 0, 0)).save(tmp_path / "ant" / "-.jpg", quality=95)
    source = images(str(tmp_path), size=4)
    X, _ = source.take(np.arange(source.rows))
    assert X.shape == (7, 3, 4, 4)
    assert np.allclose(X[0, :, 2, 2], [1, 0, 0], atol=0.02)


def test_images_are_fed_like_any_samples(tmp_path: Path) -> None:
    source = samples(images(folder(tmp_path)))["node0"]
    with Loader([source], batch=6, seed=0) as feed:
        batch = feed.at(0)
    assert batch.X.shape == (6, 1, 28, 28)
    assert batch.y is not None
    assert sorted(batch.y.tolist()) == [0, 0, 0, 1, 1, 1]


def test_what_is_no_image_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images in subfolders"):
        images(tmp_path / "nowhere")
    source = images(folder(tmp_path))
    with pytest.raises(DataError, match="size=0"):
        images(tmp_path, size=0)
    Path(source.files[0]).write_bytes(b"no png")
    with pytest.raises(DataError, match=r"ant/0\.PNG cannot be read"):
        source.take(np.array([0]))
    with pytest.raises(DataError, match=r"ant/0\.PNG cannot be read"):
        images(tmp_path)


def test_without_pillow_the_cure_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match="pip install pillow"):
        images(tmp_path)
