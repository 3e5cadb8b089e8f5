"""Runs a program in a pseudo-terminal, and what a terminal would show of what it wrote."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_CONTROL = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|\r|\n|\x1b.|\x07")


class Screen:
    """Lines of text as the few control sequences of a live view change them."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines = [""]
        self.row = self.column = 0

    def feed(self, text: str) -> None:
        at = 0
        for found in _CONTROL.finditer(text):
            self._write(text[at : found.start()])
            at = found.end()
            number = int(found[2] or 1) if (found[2] or "1").isdecimal() else 1
            if found[0] == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif found[0] == "\r":
                self.column = 0
            elif found[3] == "A":
                self.row = max(0, self.row - number)
            elif found[3] == "K" and found[2] == "2":
                self.lines[self.row] = ""
            elif found[3] not in ("m", "h", "l", None):
                raise NotImplementedError(repr(found[0]))
        self._write(text[at:])

    def _write(self, text: str) -> None:
        for character in text:
            if self.column == self.columns:
                self.feed("\r\n")
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines).rstrip()


class Terminal:
    """A process in a pseudo-terminal of so many columns; ``frames()`` are its screens."""

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], columns: int
    ) -> None:
        self._here, there = pty.openpty()
        self.resize(columns)
        self.process = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdin=there, stdout=there, stderr=there,
            close_fds=True, start_new_session=True,
        )  # fmt: skip
        os.close(there)
        self.raw = ""
        self.columns = columns

    def resize(self, columns: int) -> None:
        self.columns = columns
        fcntl.ioctl(self._here, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def interrupt(self) -> None:
        """Ctrl-C, which the terminal echoes. It isn't the process's own, so the signal is sent."""
        modes = termios.tcgetattr(self._here)
        modes[3] |= termios.NOFLSH  # or output on its way would be lost
        termios.tcsetattr(self._here, termios.TCSANOW, modes)
        os.write(self._here, b"\x03")
        self.process.send_signal(signal.SIGINT)

    def frames(self, seconds: float = 120) -> Iterator[str]:
        """The screen after each piece of output, until the process ends."""
        screen, end = Screen(self.columns), time.monotonic() + seconds
        pending = b""
        while time.monotonic() < end:
            ready, _, _ = select.select([self._here], [], [], 1.0)
            if not ready:
                continue
            try:
                piece = os.read(self._here, 65536)
            except OSError:  # the other side is closed
                piece = b""
            if not piece:
                break
            pending += piece
            text = pending.decode("utf-8", "ignore")
            with contextlib.suppress(UnicodeDecodeError):
                text = pending.decode("utf-8")
                pending = b""
                self.raw += text
                screen.columns = self.columns
                screen.feed(text)
                yield screen.text
        else:
            self.process.kill()
            raise TimeoutError(screen.text)
        self.process.wait(10)
        os.close(self._here)
