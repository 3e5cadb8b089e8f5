"""Draw lucidlite/datasets/mnist_sample.npz from the official MNIST files.

    python scripts/make_mnist_sample.py FOLDER

FOLDER holds train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
t10k-labels-idx1-ubyte, plain or .gz. Their unpacked content is compared with the known checksums.

How the sample is drawn: the official training images get the 64-bit outputs of Philox4x64-10 under
key 28 (counter from 1), one each in file order; the 600 images of each class with the smallest
outputs are taken. The test images likewise, under key 29, 100 of each class. They are stored in the
order 0, 1, ..., 9, 0, 1, ..., within a class by ascending output. The same files give the same
bytes again, up to the zlib in use.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from lucidlite.datasets.idx import read_idx  # noqa: E402

OUTPUT = REPOSITORY / "lucidlite" / "datasets" / "mnist_sample.npz"
# name in the sample, name of the files, key of the draw, images per class
SPLITS = (("train", "train", 28, 600), ("test", "t10k", 29, 100))
CHECKSUMS = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def load(folder: Path, name: str) -> np.ndarray:
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
    if path is None:
        raise SystemExit(f"{name} (plain or .gz) must be in {folder}")
    array = read_idx(path)
    header = struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape)
    if hashlib.md5(header + array.tobytes()).hexdigest() != CHECKSUMS[name]:
        raise SystemExit(f"{path} is not the official file")
    return array


def draw(labels: np.ndarray, key: int, per_class: int) -> np.ndarray:
    """Indices of ``per_class`` images of each class, in the order 0, 1, ..., 9, 0, 1, ..."""
    outputs = np.random.Philox(key=key, counter=0).random_raw(len(labels))
    order = np.argsort(outputs, kind="stable")
    chosen = [order[labels[order] == digit][:per_class] for digit in range(10)]
    return np.stack(chosen, axis=1).ravel()


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """What ``np.savez_compressed`` writes, with zlib's best effort and without the time of day."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, buffer.getvalue(), compresslevel=9)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the sample of MNIST in the package.")
    parser.add_argument("folder", type=Path, help="where the four official files are")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    arrays = {}
    for split, prefix, key, per_class in SPLITS:
        images = load(options.folder, f"{prefix}-images-idx3-ubyte")
        labels = load(options.folder, f"{prefix}-labels-idx1-ubyte")
        chosen = draw(labels, key, per_class)
        arrays[f"{split}_images"] = np.ascontiguousarray(images[chosen])
        arrays[f"{split}_labels"] = labels[chosen]
    write(options.output, arrays)
    print(f"{options.output}: {options.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
