"""Where does freed memory go? Back to the process, not to the system."""

import ctypes
import sys

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # numbers of glibc's malloc.h


def keep_freed_memory() -> None:
    """Ask glibc's malloc to keep freed memory for the next step of training; elsewhere do nothing.

    By default it gives large blocks back to the system at once, and the next step takes them again, page by page:
    thousands of page faults a step (docs/lab-notes.md has what that costs). It holds for the whole process.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return
    mallopt(MMAP_THRESHOLD, 32 << 20)  # the most that glibc takes; at 67x67 activations are smaller
    mallopt(TRIM_THRESHOLD, 2**31 - 1)
    mallopt(TOP_PAD, 64 << 20)
