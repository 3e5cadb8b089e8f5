"""The programs here fail on purpose: nobody but test_wrong_programs.py runs them."""

collect_ignore_glob = ["*.py"]
