"""Files from the network: several mirrors, a checksum, and never a half-written file."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lucidlite.callsite import error
from lucidlite.files import atomic_write

CHUNK = 1 << 20
TIMEOUT = 30.0  # seconds without an answer or a byte before the next mirror is tried


def md5_of(path: Path) -> str:
    """The md5 of a file, in hexadecimal (a check against damage, not against malice)."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def fetch(urls: Sequence[str], path: Path, md5: str) -> None:
    """Download ``path`` from the first of ``urls`` that gives a file with this md5.

    Raises RuntimeError when none does, with what each one answered and where to put the file.
    """
    # urllib pulls in ssl and http: 50 ms and 5 MB that a program without downloads need not pay.
    from http.client import HTTPException
    from urllib.request import urlopen

    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in urls:
        print(f"Downloading {url}", file=sys.stderr)
        try:
            # An error in the checks leaves the block, and with it nothing on the disk.
            with urlopen(url, timeout=TIMEOUT) as response, atomic_write(path, "download") as file:
                for chunk in _checked(response, path.name, md5):
                    file.write(chunk)
            return
        except (OSError, HTTPException, ValueError) as problem:
            failures.append(f"\n  {url}: {problem or type(problem).__name__}")
    raise error(
        RuntimeError,
        f"download: no mirror gave {path.name}; put that file (md5 {md5}) into "
        f"{path.parent.resolve()} yourself, got{''.join(failures)}",
    )


def _checked(response: Any, name: str, md5: str) -> Iterator[bytes]:
    """The response in chunks; its end raises ValueError unless length and md5 are right."""
    promised = response.headers.get("Content-Length")
    total = int(promised) if promised else None
    digest, received = hashlib.md5(usedforsecurity=False), 0
    show = sys.stderr.isatty() and total is not None
    while chunk := response.read(CHUNK):
        received += len(chunk)
        digest.update(chunk)
        if show and total:
            percent = 100 * received // total
            print(f"\r{name}: {percent}% of {total / 1e6:.1f} MB", end="", file=sys.stderr)
        yield chunk
    if show:
        print(file=sys.stderr)
    if total is not None and received != total:
        raise ValueError(f"the connection ended after {received} of {total} bytes")
    if digest.hexdigest() != md5:
        raise ValueError(f"wrong checksum: md5 is {digest.hexdigest()}, expected {md5}")
