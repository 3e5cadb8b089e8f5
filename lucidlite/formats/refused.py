"""How a reader says that it won't read a file."""

from __future__ import annotations


class Refused(Exception):
    """Why a file can't be read, as a clause; ``load`` makes a RuntimeError with its name of it.

    Readers let any other exception of theirs through: ``load`` calls such a file damaged.
    """
