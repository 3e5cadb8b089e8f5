"""The formats that ``save`` writes and ``load`` reads; nothing in them ever runs code of a file."""
