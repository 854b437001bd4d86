"""Keep neighbours under the same user, our own children above all, from reading this process's memory."""

from __future__ import annotations

import ctypes

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def hide() -> bool:
    """Make this process one that only root may look into (prctl(2)); return whether the kernel did it."""
    return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
