"""Looks at a line, made by hand: what the second network might have seen, slice by slice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from watcher.engines.rapidocr.recognition import ALPHABET, BLANK, OTHER, Look

GAP = "_"
STRANGE = "?"
_PLACES = {**{character: place for place, character in enumerate(ALPHABET)}, STRANGE: OTHER, GAP: BLANK}

Slice = str | Mapping[str, float]
"""One character that is nearly sure, or how likely some are; `?` is a character that no plate has, `_` is none."""


def slices(*seen: Slice, sure: float = 0.98) -> Look:
    """Return a look with exactly these slices; what they leave open is spread evenly over everything."""
    look = np.zeros((len(seen), BLANK + 1), np.float32)
    for number, slice_ in enumerate(seen):
        given = {slice_: sure} if isinstance(slice_, str) else slice_
        for character, likely in given.items():
            look[number, _PLACES[character]] = likely
    look += (1 - look.sum(axis=1, keepdims=True)) / look.shape[1]
    return look


def line(*seen: Slice, sure: float = 0.98) -> Look:
    """Return a look at these characters, with a slice of nothing between two of them; a text stands for its own."""
    characters = [one for part in seen for one in (part if isinstance(part, str) else [part])]
    between = [part for one in characters for part in (GAP, one)]
    return slices(*between, GAP, sure=sure)
