"""Image files, and folders of them as a data set."""

import os
import sys

import numpy as np
import pytest
from dataset_files import FIRED, Hostile, fire

import lucidlite
from lucidlite.datasets import folder, images
from lucidlite.utils.data import DataLoader

transforms = lucidlite.datasets.transforms


COLOUR = np.random.default_rng(3).integers(0, 256, (4, 5, 3), dtype=np.uint8)
GREY = np.random.default_rng(4).integers(0, 256, (4, 5, 1), dtype=np.uint8)


def words(values):
    return b" ".join(b"%d" % v for v in np.ravel(values).tolist())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"P5\n5 4\n255\n" + GREY.tobytes(), GREY),
        (b"P6 # a comment\n5 # width\n\t4\n255 " + COLOUR.tobytes(), COLOUR),
        (b"P6\n5 4\n255\n" + COLOUR.tobytes() + b"\n", COLOUR),
        (b"P2\n# made by hand\n5 4\n255\n" + words(GREY), GREY),
        (b"P3\n5 4\n255\n" + words(COLOUR[:2]) + b" # half\n" + words(COLOUR[2:]) + b"\n", COLOUR),
        (b"P2 2 1 7 0 7", np.array([[[0], [255]]])),
        (b"P2 3 1 15 1 2 15", np.array([[[17], [34], [255]]])),
        (b"P5 3 1 65535\n" + bytes([0, 0, 0x80, 0, 255, 255]), np.array([[[0], [128], [255]]])),
    ],
)
def test_read_pnm(tmp_path, content, expected):
    path = tmp_path / "image"
    path.write_bytes(content)
    got = lucidlite.datasets.read_image(path)
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "content",
    [
        b"P5\n5 4\n255\n" + GREY.tobytes()[:-1],
        b"P5\n5 4\n255\n" + GREY.tobytes() + b"more",
        b"P5\n5 4\n",
        b"P5\n5 -4\n255\n",
        b"P4\n8 1\n\xff",
        b"P5\n0 4\n255\n",
        b"P5\n1 1\n0\n\0",
        b"P5\n1 1\n65536\n\0\0",
        b"P2 2 1 255 1",
        b"P2 2 1 255 1 2 3",
        b"P2 2 1 255 1 x",
        b"P2 2 1 255 1 256",
        b"P2 2 1 255 1 -1",
        b"P2 1 1 255 " + b"9" * 40,
    ],
)
def test_read_damaged_pnm(tmp_path, content):
    path = tmp_path / "broken.pnm"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"read_image: cannot read .*broken\.pnm"):
        lucidlite.datasets.read_image(path)


@pytest.mark.parametrize("image", [COLOUR, GREY, GREY[..., 0], np.zeros((2, 2, 4), np.uint8)])
def test_read_npy(tmp_path, image):
    np.save(tmp_path / "a.npy", image)
    got = lucidlite.datasets.read_image(tmp_path / "a.npy")
    np.testing.assert_array_equal(got, image.reshape(*image.shape[:2], -1))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2)),
        np.zeros(3, np.uint8),
        np.zeros((2, 2, 2), np.uint8),
        np.array([Hostile(fire, ())], dtype=object),
    ],
)
def test_read_npy_refuses_what_is_no_image(tmp_path, array):
    FIRED.clear()
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match=r"cannot read .*a\.npy"):
        lucidlite.datasets.read_image(tmp_path / "a.npy")
    assert not FIRED


def test_read_image_modes(tmp_path):
    np.save(tmp_path / "c.npy", COLOUR)
    np.save(tmp_path / "g.npy", GREY)
    read = lucidlite.datasets.read_image
    np.testing.assert_array_equal(read(tmp_path / "g.npy", "RGB"), np.repeat(GREY, 3, 2))
    np.testing.assert_array_equal(read(tmp_path / "g.npy", mode="L"), GREY)
    assert read(tmp_path / "c.npy", "L").shape == (4, 5, 1)
    np.testing.assert_array_equal(read(tmp_path / "c.npy", "RGB"), COLOUR)
    with pytest.raises(ValueError, match="mode must be None, 'L' or 'RGB', got mode='CMYK'"):
        read(tmp_path / "c.npy", "CMYK")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.png")


def test_read_through_pillow(tmp_path):
    image_module = pytest.importorskip("PIL.Image", reason="reads pictures (extra: images)")
    read = lucidlite.datasets.read_image
    alpha = np.concatenate([COLOUR, GREY], 2)
    samples = {"c.png": COLOUR, "a.png": alpha, "g.png": GREY[..., 0], "c.bmp": COLOUR}
    for name, array in samples.items():
        image_module.fromarray(array).save(tmp_path / name)
        np.testing.assert_array_equal(read(tmp_path / name), array.reshape(4, 5, -1))
    np.testing.assert_array_equal(read(tmp_path / "a.png", "RGB"), COLOUR)
    # The name does not matter, the content does.
    (tmp_path / "c.jpg").write_bytes((tmp_path / "c.png").read_bytes())
    np.testing.assert_array_equal(read(tmp_path / "c.jpg"), COLOUR)
    grey = np.asarray(image_module.fromarray(COLOUR).convert("L"))
    np.testing.assert_array_equal(read(tmp_path / "c.png", "L")[..., 0], grey)
    image_module.fromarray(COLOUR).convert("P").save(tmp_path / "p.png")
    assert read(tmp_path / "p.png").shape == (4, 5, 3)
    image_module.fromarray(GREY[..., 0] > 99).save(tmp_path / "1.png")
    np.testing.assert_array_equal(read(tmp_path / "1.png"), (GREY > 99) * np.uint8(255))
    deep = GREY[..., 0].astype(np.uint16) * 257
    image_module.fromarray(deep).save(tmp_path / "16.png")
    np.testing.assert_array_equal(read(tmp_path / "16.png"), GREY)
    image_module.fromarray(COLOUR).save(tmp_path / "q.jpg", quality=95)
    assert read(tmp_path / "q.jpg").shape == (4, 5, 3)
    for content in (b"", b"no image", (tmp_path / "c.png").read_bytes()[:60]):
        (tmp_path / "bad.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"cannot read .*bad\.png") as caught:
            read(tmp_path / "bad.png")
        assert " at 0x" not in str(caught.value)  # Pillow names its own object


def test_without_pillow_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ImportError, match=r"pip install 'lucidlite\[images\]'") as caught:
        lucidlite.datasets.read_image(tmp_path / "a.png")
    assert "a.png" in str(caught.value)


def make_folder(root):
    names = ["cat/b.pgm", "cat/a.PGM", "cat/deep/c.npy", "ant/z.ppm"]
    for value, name in enumerate(names, 1):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npy":
            np.save(path, np.full((2, 3), value, np.uint8))
        else:
            kind, n = (b"P6", 3) if path.suffix == ".ppm" else (b"P5", 1)
            path.write_bytes(kind + b" 3 2 255 " + bytes([value] * 6 * n))
    (root / "cat" / "notes.txt").write_text("not an image")
    (root / "readme.md").write_text("not a class")


def test_image_folder(tmp_path):
    make_folder(tmp_path)
    data = lucidlite.datasets.ImageFolder(tmp_path)
    assert data.classes == ["ant", "cat"]
    assert data.class_to_idx == {"ant": 0, "cat": 1}
    assert data.targets == [0, 1, 1, 1]
    assert [os.path.relpath(path, tmp_path) for path, _ in data.samples] == [
        os.path.join("ant", "z.ppm"),
        os.path.join("cat", "a.PGM"),
        os.path.join("cat", "b.pgm"),
        os.path.join("cat", "deep", "c.npy"),
    ]
    assert data.imgs is data.samples
    for n, value in enumerate([4, 2, 1, 3]):
        image, target = data[n]
        assert image.shape == (2, 3, 3)
        assert (image == value).all()
        assert target == data.targets[n]
    assert repr(data) == (
        f"Dataset ImageFolder\n    Number of datapoints: 4\n    Root location: {tmp_path}"
    )


def test_image_folder_options(tmp_path):
    make_folder(tmp_path)
    data = lucidlite.datasets.ImageFolder(
        str(tmp_path),
        transform=len,
        target_transform=str,
        loader=os.path.basename,
        is_valid_file=lambda path: path.endswith((".ppm", ".txt")),
    )
    assert [data[n] for n in range(len(data))] == [(5, "0"), (9, "1")]
    (tmp_path / "empty").mkdir()
    data = lucidlite.datasets.ImageFolder(tmp_path, allow_empty=True)
    assert data.classes == ["ant", "cat", "empty"]


def test_image_folder_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="Couldn't find any class folder"):
        lucidlite.datasets.ImageFolder(tmp_path)
    with pytest.raises(FileNotFoundError, match="root must be a folder"):
        lucidlite.datasets.ImageFolder(tmp_path / "none")
    make_folder(tmp_path)
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "x.txt").write_text("")
    with pytest.raises(FileNotFoundError, match=r"no valid file for the classes dog\..*\.pgm, "):
        lucidlite.datasets.ImageFolder(tmp_path)


def test_image_folder_loads_in_batches(tmp_path):
    make_folder(tmp_path)
    data = lucidlite.datasets.ImageFolder(tmp_path, transform=transforms.ToTensor())
    batch, targets = next(iter(DataLoader(data, batch_size=4)))
    assert tuple(batch.shape) == (4, 3, 2, 3)
    assert targets.tolist() == [0, 1, 1, 1]
    np.testing.assert_array_equal(batch.numpy()[:, 0, 0, 0], np.float32([4, 2, 1, 3]) / 255)


def test_extensions_are_those_of_the_readers():
    assert set(images.PLAIN) <= set(images.EXTENSIONS)
    assert folder.EXTENSIONS is images.EXTENSIONS
