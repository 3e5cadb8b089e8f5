"""Downloads from a server on this machine: mirrors, checksums, broken connections."""

import gzip
import hashlib
import http.server
import os
import threading

import numpy as np
import pytest
from dataset_files import PARTS, check_cifar, cifar_files, digits, idx_bytes, pack

import lucidlite
from lucidlite.datasets import cifar, download, mnist


class Server:
    """An HTTP server on 127.0.0.1: ``files`` by path; ``cut`` paths end half-way."""

    def __init__(self):
        self.files, self.cut, self.asked = {}, set(), []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                content = outer.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                sent = len(content) // 2 if self.path in outer.cut else len(content)
                self.wfile.write(content[:sent])

            def log_message(self, *_arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "TIMEOUT", 10.0)
    server = Server()
    yield server
    server.close()


def md5(content):
    return hashlib.md5(content).hexdigest()


def everything_in(root):
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def test_fetch_goes_on_to_the_second_mirror(tmp_path, server, capsys):
    content = os.urandom(3_000_000)
    server.files["/b/file.gz"] = content
    urls = [f"{server.url}/a/file.gz", f"{server.url}/b/file.gz"]
    download.fetch(urls, tmp_path / "new" / "folder" / "file.gz", md5(content))
    assert (tmp_path / "new" / "folder" / "file.gz").read_bytes() == content
    assert everything_in(tmp_path) == [os.path.join("new", "folder", "file.gz")]
    assert server.asked == ["/a/file.gz", "/b/file.gz"]
    assert urls[1] in capsys.readouterr().err


def test_fetch_refuses_wrong_checksums_and_half_files(tmp_path, server):
    content = os.urandom(2_500_000)
    server.files.update({"/wrong/f": b"x" + content[1:], "/half/f": content})
    server.cut.add("/half/f")
    (tmp_path / "f").write_bytes(b"older")
    urls = [f"{server.url}/{kind}/f" for kind in ("wrong", "half", "none")] + [
        "http://127.0.0.1:9/f"
    ]
    with pytest.raises(RuntimeError, match="no mirror gave f; put that file") as caught:
        download.fetch(urls, tmp_path / "f", md5(content))
    text = str(caught.value)
    assert f"md5 is {md5(server.files['/wrong/f'])}, expected {md5(content)}" in text
    assert "1250000" in text  # how far the half file went
    assert "404" in text
    assert str(tmp_path) in text
    assert everything_in(tmp_path) == ["f"]  # no temporary file
    assert (tmp_path / "f").read_bytes() == b"older"


@pytest.fixture
def mnist_mirror(server, monkeypatch):
    """MNIST with resources that the server has, under its second mirror."""
    resources = []
    for split, n in (("train", 6), ("t10k", 4)):
        pixels, labels = digits(n)
        for kind, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            content = gzip.compress(idx_bytes(array))
            server.files[f"/good/{split}-{kind}-ubyte.gz"] = content
            resources.append((f"{split}-{kind}-ubyte.gz", md5(content)))
    monkeypatch.setattr(mnist.MNIST, "resources", resources)
    monkeypatch.setattr(mnist.MNIST, "mirrors", [f"{server.url}/broken/", f"{server.url}/good/"])
    return server


def test_mnist_download(tmp_path, mnist_mirror):
    data = lucidlite.datasets.MNIST(tmp_path, train=False, download=True)
    np.testing.assert_array_equal(data.data.numpy(), digits(4)[0])
    names = [name for name, _ in mnist.MNIST.resources]
    raw = os.path.join("MNIST", "raw")
    # Packed and unpacked, where torchvision looks for them.
    assert everything_in(tmp_path) == sorted(
        os.path.join(raw, each) for name in names for each in (name, name.removesuffix(".gz"))
    )
    mnist_mirror.asked.clear()
    assert len(lucidlite.datasets.MNIST(tmp_path, download=True)) == 6
    assert not mnist_mirror.asked  # nothing is fetched twice
    (tmp_path / raw / "train-labels-idx1-ubyte").write_bytes(b"damaged")
    assert len(lucidlite.datasets.MNIST(tmp_path, download=True)) == 6
    assert mnist_mirror.asked == [f"/{m}/train-labels-idx1-ubyte.gz" for m in ("broken", "good")]


def test_mnist_download_that_fails_leaves_nothing(tmp_path, mnist_mirror):
    mnist_mirror.cut.update(mnist_mirror.files)
    with pytest.raises(RuntimeError, match=r"no mirror gave train-images-idx3-ubyte\.gz; put that"):
        lucidlite.datasets.MNIST(tmp_path, download=True)
    assert everything_in(tmp_path) == []


def test_cifar_download(tmp_path, server, monkeypatch):
    extra = {"batches.meta": b"meta", "../../evil": b"evil", "notes.txt": b"unwanted"}
    content = pack({**extra, **cifar_files("python")}, "cifar-10-batches-py/")
    server.files["/good/cifar-10-python.tar.gz"] = content
    monkeypatch.setattr(cifar.CIFAR10, "mirrors", [f"{server.url}/broken/", f"{server.url}/good/"])
    monkeypatch.setattr(
        cifar.CIFAR10,
        "archives",
        {
            "cifar-10-python.tar.gz": md5(content),
            "cifar-10-binary.tar.gz": "0" * 32,
        },
    )
    root = tmp_path / "a" / "b"
    lucidlite.datasets.CIFAR10(root, download=True)
    check_cifar(root)
    inner = [os.path.join("cifar-10-batches-py", name) for name in [*PARTS, "batches.meta"]]
    assert everything_in(tmp_path / "a") == sorted(
        os.path.join("b", name) for name in [*inner, "cifar-10-python.tar.gz"]
    )
    server.asked.clear()
    (root / "cifar-10-batches-py" / "test_batch").unlink()
    lucidlite.datasets.CIFAR10(root, download=True)  # unpacked again from the archive that is there
    lucidlite.datasets.CIFAR10(root, download=True)
    check_cifar(root)
    assert not server.asked
    (root / "cifar-10-python.tar.gz").write_bytes(content[:1000])
    (root / "cifar-10-batches-py" / "test_batch").unlink()
    assert len(lucidlite.datasets.CIFAR10(root, train=False, download=True)) == 3
    assert len(server.asked) == 2
