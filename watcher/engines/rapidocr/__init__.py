"""Read plates on this machine: two small networks from the installed package rapidocr, and what plates are like.

Lines of text are found and read by the networks; which line is the plate, and what it says where they are in doubt, is
decided by the national formats of `watcher.formats`. Nothing is downloaded, and nothing leaves the machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from watcher import formats
from watcher.engines.rapidocr import models
from watcher.engines.rapidocr.choice import Verdict
from watcher.engines.rapidocr.detection import Detector, Pixels
from watcher.engines.rapidocr.looking import Looker
from watcher.engines.rapidocr.prior import Prior
from watcher.engines.rapidocr.recognition import Recogniser
from watcher.errors import EngineRefused, EngineUnavailable, SettingsInvalid
from watcher.model import Candidate, Picture, Reading, Request

NAME = "rapidocr"

_MOST_CANDIDATES = 10
_LEAST_CONFIDENCE = 0.001
_LEAST_SIDE = 8  # pixels
_MOST_PIXELS = 12_000_000  # beyond, a plate is no easier to read, and the copies that we make would fill the memory
_PRIORS = 4  # kept
_LENGTHS = {"vin": 17, "trailer_id": 11}
_SAID = 200  # characters of a complaint


@dataclass(frozen=True, slots=True)
class Options:
    """What the engine is to be like.

    Attributes:
        countries: Codes of those whose plates are expected; none: anywhere.
        seconds: For one photo, less than the deadline that is kept from outside.

    """

    countries: tuple[str, ...]
    seconds: float


_DEFAULTS: Mapping[str, Any] = {"countries": (), "seconds": 12.0}


def create(options: Mapping[str, Any]) -> RapidOcr:
    """Return the engine, its networks loaded.

    Raises:
        SettingsInvalid: There is no such option, or it cannot have this value.
        EngineUnavailable: Something that it needs is not installed.

    """
    unknown = sorted(set(options) - set(_DEFAULTS))
    if unknown:
        raise _wrong(f"there is no option {', '.join(unknown)}.")
    countries, seconds = ({**_DEFAULTS, **options}[name] for name in ("countries", "seconds"))
    if not isinstance(countries, list | tuple) or not all(isinstance(code, str) for code in countries):
        raise _wrong("countries is not a list of codes.")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise _wrong("seconds is not a number above zero.")
    return RapidOcr(Options(tuple(countries), float(seconds)))


class RapidOcr:
    """The engine. It keeps the networks, and what it knows of plates."""

    name = NAME

    def __init__(self, options: Options) -> None:
        """Load the networks; raises what `create` raises."""
        cv2.setNumThreads(1)
        self._options = options
        found = models.find()
        self._looker = Looker(Detector(models.session(found.detector)), Recogniser(models.session(found.recogniser)))
        self._priors: dict[tuple[str, ...], Prior] = {}
        self._prior(options.countries)

    def probe(self) -> str:
        """Say what reads."""
        expected = (
            f"plates of {', '.join(self._options.countries)}" if self._options.countries else "plates of anywhere"
        )
        return f"{models.version()}, {expected}, on this machine."

    def read(self, picture: Picture, request: Request) -> Reading:
        """Return the likeliest plate, with hyphens where its country prints a separator, and others as candidates.

        Raises:
            EngineRefused: There are no pixels.
            EngineUnavailable: The networks failed, for want of memory perhaps.

        """
        if not picture.pixels:
            raise EngineRefused("There are no pixels to read.")
        started = time.monotonic()
        if min(picture.width, picture.height) < _LEAST_SIDE:
            return Reading(None, engine=NAME)
        try:
            pixels, scale = _bounded(picture)
            answer = self._read_plate if request.kind == "plate" else self._read_number
            return replace(_enlarged(answer(pixels, request, started), 1 / scale), seconds=time.monotonic() - started)
        except (cv2.error, MemoryError, *models.FAILURES) as error:
            said = " ".join(str(error).split())[:_SAID]
            raise EngineUnavailable(f"The local reader failed: {said}.") from error

    def _read_plate(self, pixels: Pixels, request: Request, started: float) -> Reading:
        countries = self._expected(request)
        # A further look takes at most three times as long as all that came before it.
        end = started + self._options.seconds / 4
        verdicts = self._looker.plates(pixels, self._prior(countries), lambda: time.monotonic() > end)
        if not verdicts:
            return Reading(None, engine=NAME)
        size = (pixels.shape[1], pixels.shape[0])
        best, *others = verdicts
        return Reading(
            formats.separated(best.text, countries),
            best.confidence,
            NAME,
            best.box.outline(size),
            candidates=_candidates(others, countries),
        )

    def _read_number(self, pixels: Pixels, request: Request, _: float) -> Reading:
        """Return the line whose length is that of a VIN or trailer id, as it stands there."""
        wanted = _LENGTHS[request.kind]
        lines = [(text, sure, box) for text, sure, box in self._looker.texts(pixels) if len(text) == wanted]
        lines.sort(key=lambda line: line[1], reverse=True)
        if not lines:
            return Reading(None, engine=NAME)
        text, sure, box = lines[0]
        others = tuple(Candidate(*line[:2]) for line in lines[1 : _MOST_CANDIDATES + 1])
        outline = box.outline((pixels.shape[1], pixels.shape[0]))
        return Reading(text, sure, NAME, outline, candidates=others)

    def _expected(self, request: Request) -> tuple[str, ...]:
        """Return the countries that are set; where none are, those that the request names and we know."""
        if self._options.countries:
            return self._options.countries
        known = formats.countries()
        return tuple(sorted({region[:2].upper() for region in request.regions} & known.keys()))

    def _prior(self, countries: tuple[str, ...]) -> Prior:
        if countries not in self._priors:
            if len(self._priors) >= _PRIORS:
                self._priors.clear()
            self._priors[countries] = Prior(formats.shapes(countries))
        return self._priors[countries]


def _bounded(picture: Picture) -> tuple[Pixels, float]:
    """Return the pixels, shrunk where they are very many, and the scale at which they are."""
    pixels = np.frombuffer(picture.pixels, np.uint8).reshape(picture.height, picture.width, 3)
    scale = math.sqrt(_MOST_PIXELS / (picture.height * picture.width))
    if scale >= 1:
        return pixels, 1.0
    size = (max(_LEAST_SIDE, round(picture.width * scale)), max(_LEAST_SIDE, round(picture.height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _enlarged(reading: Reading, factor: float) -> Reading:
    """Return the reading with its box in pixels of a picture *factor* times as large."""
    if reading.box is None or factor == 1:
        return reading
    left, top, width, height = (round(side * factor) for side in reading.box)
    return replace(reading, box=(left, top, width, height))


def _candidates(verdicts: Sequence[Verdict], countries: tuple[str, ...]) -> tuple[Candidate, ...]:
    likely = [verdict for verdict in verdicts[:_MOST_CANDIDATES] if verdict.confidence >= _LEAST_CONFIDENCE]
    return tuple(Candidate(formats.separated(each.text, countries), each.confidence) for each in likely)


def _wrong(reason: str) -> SettingsInvalid:
    return SettingsInvalid(f"[engines.rapidocr]: {reason}", hint="Mend it in the configuration.")
