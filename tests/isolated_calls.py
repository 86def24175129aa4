"""What test_isolation lets processes do."""

from __future__ import annotations

import os
import signal
import time


def call(item: str, path: str = "") -> str:
    """Do what the item says."""
    if path:
        with open(path, "a") as file:  # noqa: PTH123
            file.write(f"{os.getpid()} {item}\n")
    if item == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "exit":
        os._exit(3)
    if item == "spin":
        while True:
            pass
    if item == "raise":
        raise ValueError("two\nlines")
    if item == "eat":
        return str(len(bytearray(8 * 1024**3)))
    if item == "large":
        return "x" * 5_000_000
    if item == "slow":
        time.sleep(0.3)
    if item == "directory":
        import random

        return str(random.__file__)
    return item.upper()
