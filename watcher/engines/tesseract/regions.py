"""Where in a picture a plate may be, and what is left of such a place when frame and car are taken off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels, the last two outside."""

_CELL = 8  # pixels of the shrunk picture in a cell, each way
_DENSE = 40  # of 255: how much of a cell must be upright edges
# Long side in pixels, the step in brightness that is an edge, and how far cells are smeared. Characters make many
# edges to a cell only where they are a few cells high, so near and far plates need a scale each.
_LOOKS = ((560, 12, 1.0), (1280, 20, 2.0), (280, 20, 1.0))
_EACH = 2  # places kept of each look
_MARGIN = (12, 8)  # pixels of the shrunk picture
_LEAST_CELLS, _LEAST_WIDTH, _SHAPES = 6, 5, (1.2, 9.0)
_SAME = 0.6  # the share of both that two boxes have in common when they are the same place
_HEIGHT = 100  # pixels, of a place that is read
_PAPER = 20  # pixels of white around it
_WHITE = 255


def likely(grey: Image.Image) -> list[Box]:
    """Return the places where many upright edges stand in a row, the likeliest first; different ones only."""
    looks = [_look(grey, *look) for look in _LOOKS]
    found: list[Box] = []
    for rank in range(_EACH):
        for box in (look[rank] for look in looks if rank < len(look)):
            if all(_common(box, other) < _SAME for other in found):
                found.append(box)
    return found


def isolated(grey: Image.Image, box: Box) -> Image.Image:
    """Return what is in *box*, black on white, without the dark things that touch its edge: frame, shadow, car."""
    part = grey.crop(box)
    part = part.resize((max(1, round(part.width * _HEIGHT / part.height)), _HEIGHT), Image.Resampling.BICUBIC)
    threshold = _between(part.histogram())
    ringed = ImageOps.expand(part.point(lambda value: _WHITE if value > threshold else 0), 1, 0)
    ImageDraw.floodfill(ringed, (0, 0), _WHITE)
    return ImageOps.expand(ringed, _PAPER, _WHITE)


def shrunk(grey: Image.Image, side: int) -> Image.Image:
    """Return *grey* with *side* pixels on its long side; a small one grows."""
    scale = side / max(grey.size)
    return grey.resize(
        (max(1, round(grey.width * scale)), max(1, round(grey.height * scale))), Image.Resampling.LANCZOS
    )


def _look(grey: Image.Image, side: int, step: int, smear: float) -> list[Box]:
    """Return the places found at one scale, the densest first, in pixels of *grey*."""
    small = shrunk(grey, side)
    edges = ImageChops.difference(small, ImageChops.offset(small, 1, 0))
    upright = edges.point(lambda value: _WHITE if value > step else 0).reduce(_CELL)
    cells = upright.filter(ImageFilter.BoxBlur((2 * smear, smear / 2)))
    found = sorted(_patches(cells.tobytes(), cells.width), reverse=True)
    return [_grown(box, small.size, grey.size) for _, box in found[:_EACH]]


def _patches(cells: bytes, width: int) -> Iterator[tuple[float, Box]]:
    """Yield weight and box, in cells, of each patch of dense cells that has the shape of a plate."""
    left = {place for place, value in enumerate(cells) if value >= _DENSE}
    for start in sorted(left):
        patch = _patch(left, start, width)
        if len(patch) < _LEAST_CELLS:
            continue
        columns, rows = [place % width for place in patch], [place // width for place in patch]
        box = (min(columns), min(rows), max(columns) + 1, max(rows) + 1)
        wide, high = box[2] - box[0], box[3] - box[1]
        if wide >= _LEAST_WIDTH and _SHAPES[0] <= wide / high <= _SHAPES[1]:
            yield sum(cells[place] for place in patch) * len(patch) / (wide * high), box


def _patch(left: set[int], start: int, width: int) -> list[int]:
    """Take the cells that hang together with *start* out of *left* and return them."""
    patch, ahead = [], [start] if start in left else []
    left.discard(start)
    while ahead:
        place = ahead.pop()
        patch.append(place)
        beside = [place - width, place + width]
        beside += [place - 1] if place % width else []
        beside += [place + 1] if (place + 1) % width else []
        new = left.intersection(beside)
        left -= new
        ahead += new
    return patch


def _grown(cells: Box, small: tuple[int, int], size: tuple[int, int]) -> Box:
    """Return a box of cells as one of pixels of the picture, with its margin."""
    scale = max(size) / max(small)
    wide, high = _MARGIN
    grown = (cells[0] * _CELL - wide, cells[1] * _CELL - high, cells[2] * _CELL + wide, cells[3] * _CELL + high)
    left, top, right, bottom = (round(value * scale) for value in grown)
    return max(0, left), max(0, top), min(size[0], right), min(size[1], bottom)


def _common(one: Box, other: Box) -> float:
    """Return the area that two boxes share, as a share of the area they cover."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0, wide) * max(0, high)
    return both / (_area(one) + _area(other) - both)


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _between(histogram: Sequence[int]) -> int:
    """Return the brightness that parts dark from bright best: Otsu, IEEE Trans. SMC 9 (1979) 62-66."""
    pixels, light = sum(histogram), sum(value * count for value, count in enumerate(histogram))
    best, threshold, below, dark = -1.0, 0, 0, 0
    for value, count in enumerate(histogram):
        below += count
        dark += value * count
        if 0 < below < pixels:
            apart = below * (pixels - below) * (dark / below - (light - dark) / (pixels - below)) ** 2
            if apart > best:
                best, threshold = apart, value
    return threshold
