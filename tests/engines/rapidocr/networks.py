"""Networks that say what a test wants, with the methods of onnxruntime that are used, and a real one that counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from watcher.engines.rapidocr.detection import Pixels

STEP, HEIGHT = 8, 48
Planes = npt.NDArray[np.float32]


@dataclass
class Facts:
    """What a network says of itself."""

    name: str = "x"
    custom_metadata_map: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Network:
    """A network that answers with what *says* makes of its input; *seen* are the shapes that it was given."""

    says: Callable[[Planes], npt.NDArray[np.float32]]
    characters: Sequence[str] = ()
    seen: list[tuple[int, ...]] = field(default_factory=list)

    def get_inputs(self) -> list[Facts]:
        """Return the one input."""
        return [Facts()]

    def get_modelmeta(self) -> Facts:
        """Return the characters that it knows."""
        return Facts(custom_metadata_map={"character": "\n".join(self.characters)})

    def run(self, outputs: None, feeds: Mapping[str, Planes]) -> list[npt.NDArray[np.float32]]:
        """Answer."""
        del outputs
        self.seen.append(feeds["x"].shape)
        return [self.says(feeds["x"])]


@dataclass
class Counted:
    """A real network, *session*, of which *runs* counts how often it was asked."""

    session: Any
    runs: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def run(self, *arguments: Any) -> Any:
        """Answer as the real one does."""
        self.runs += 1
        return self.session.run(*arguments)


def painted(classes: Sequence[int]) -> Pixels:
    """Return a line whose slices are painted in the shades of these classes, for a network `reads_paint`."""
    row = np.repeat(np.array(classes, np.uint8), STEP)
    return np.tile(row[None, :, None], (HEIGHT, 1, 3))


def reads_paint(count: int) -> Callable[[Planes], npt.NDArray[np.float32]]:
    """Return the answer of a recogniser with *count* classes that sees in each slice the class of its shade."""

    def says(planes: Planes) -> npt.NDArray[np.float32]:
        lines, _, _, width = planes.shape
        shades = (planes.mean(axis=(1, 2)).reshape(lines, width // STEP, STEP).mean(axis=2) + 1) * 127.5
        return np.asarray(np.eye(count)[np.clip(shades.round().astype(int), 0, count - 1)], np.float32)

    return says


def sees_white(planes: Planes) -> npt.NDArray[np.float32]:
    """Return the answer of a detector to which text is what is white, and the whiter the surer."""
    return np.asarray((planes.mean(axis=1, keepdims=True) + 1) / 2, np.float32)
