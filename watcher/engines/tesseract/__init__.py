"""Read a plate with Tesseract, through pytesseract: the engine that every distribution has.

Tesseract reads pages. Of a whole photo it makes next to nothing, so it is first given the places where a plate may be,
one by one and as single lines, and the whole picture only when none of them can be a plate. Its confidence is told as
less than it says, because on photos of vehicles it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytesseract
from PIL import Image, ImageOps

from watcher.engines.tesseract.lines import Line, best_of, by_line, can_be, joined, parts, scaled
from watcher.engines.tesseract.regions import isolated, likely, shrunk
from watcher.errors import EngineRefused, EngineUnavailable, SettingsInvalid
from watcher.model import Candidate, Kind, Picture, Reading, Request

NAME = "tesseract"

_LANGUAGE = "eng"
_LINE = 7  # page segmentation mode: a single line of text
_MODES = range(3, 14)
_LONG_SIDE = 1280  # pixels of a whole picture
_MOST_CANDIDATES = 20
_SAID = 100  # characters of a complaint
_TRUST = 0.6  # of Tesseract's own confidence: even of what it is surest of in photos, hardly two in three are right
_INSTALL = "Install it: apt install tesseract-ocr."
# A failed run, a time that is over, a full disk, a table that is none, a program that is not Tesseract.
_FAILURES = (RuntimeError, OSError, ValueError, KeyError, pytesseract.pytesseract.subprocess.SubprocessError)


@dataclass(frozen=True, slots=True)
class Options:
    """What stands under `[engines.tesseract]`.

    Attributes:
        psm: Page segmentation modes for the whole picture, tried in turn until one sees what can be a plate.
        command: The program, where it is not on the usual path.
        seconds: For one photo, less than the deadline that is kept from outside.

    """

    psm: tuple[int, ...]
    command: str
    seconds: float


_DEFAULTS: Mapping[str, Any] = {"psm": (11, 6), "command": "tesseract", "seconds": 12.0}


def create(options: Mapping[str, Any]) -> Tesseract:
    """Return the engine.

    Raises:
        SettingsInvalid: There is no such option, or it cannot have this value.

    """
    unknown = sorted(set(options) - set(_DEFAULTS))
    if unknown:
        raise _wrong(f"there is no option {', '.join(unknown)}.")
    psm, command, seconds = ({**_DEFAULTS, **options}[name] for name in ("psm", "command", "seconds"))
    if not isinstance(psm, list | tuple) or not psm or not all(mode in _MODES for mode in psm):
        raise _wrong(f"psm is not a list of page segmentation modes, {_MODES.start} to {_MODES.stop - 1}.")
    if not isinstance(command, str) or not command:
        raise _wrong("command is not the name of a program.")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0:
        raise _wrong("seconds is not a number above zero.")
    return Tesseract(Options(tuple(psm), command, float(seconds)))


class Tesseract:
    """The engine. It keeps nothing; every line it reads is a run of the program."""

    name = NAME

    def __init__(self, options: Options) -> None:
        """Take checked options; the program is looked for when it is needed."""
        self._options = options
        pytesseract.pytesseract.tesseract_cmd = options.command

    def probe(self) -> str:
        """Say which Tesseract reads.

        Raises:
            EngineUnavailable: It is not installed, or its English data are not.

        """
        version = self._version()
        if _LANGUAGE not in pytesseract.get_languages():
            raise EngineUnavailable(
                f"Tesseract {version} has no data for the language {_LANGUAGE}.",
                hint="Install them: apt install tesseract-ocr-eng.",
            )
        return f"Tesseract {version}, language {_LANGUAGE}, on this machine."

    def read(self, picture: Picture, request: Request) -> Reading:
        """Return the line most like a plate, as Tesseract wrote it, and the others as candidates.

        Raises:
            EngineUnavailable: It is not installed, or failed.
            EngineRefused: There are no pixels, or it was not done in time, as it would not be the next time.

        """
        if not picture.pixels:
            raise EngineRefused("There are no pixels to read.")
        started = time.monotonic()
        end = started + self._options.seconds
        grey = Image.frombuffer("RGB", (picture.width, picture.height), picture.pixels).convert("L")
        seen: list[Line] = []
        try:
            for line in self._lines(grey, request.kind, end):
                seen.append(line)  # noqa: PERF402 - kept if the time is up before the last
        except TimeoutError:
            if not seen:
                raise EngineRefused("Tesseract was not done in time.", code="engine_timeout") from None
        return _reading(seen, request.kind, time.monotonic() - started)

    def _lines(self, grey: Image.Image, kind: Kind, end: float) -> Iterator[Line]:
        """Yield what stands in the places where a plate may be; if none of it can be one, what stands anywhere."""
        promising = False
        for box in likely(grey):
            for words in self._run(isolated(grey, box), _LINE, end):
                line = replace(joined(words), box=box)
                promising |= can_be(line, kind)
                yield line
        if not promising:
            yield from self._anywhere(grey, kind, end)

    def _anywhere(self, grey: Image.Image, kind: Kind, end: float) -> Iterator[Line]:
        page = ImageOps.autocontrast(shrunk(grey, _LONG_SIDE), cutoff=1)
        for mode in self._options.psm:
            lines = [line for words in self._run(page, mode, end) for line in parts(words, kind)]
            yield from (scaled(line, grey.width / page.width) for line in lines)
            if any(can_be(line, kind) for line in lines):
                return

    def _run(self, image: Image.Image, mode: int, end: float) -> list[list[Line]]:
        """Let Tesseract read *image* and return the words of each line.

        Raises:
            EngineUnavailable: It failed.
            TimeoutError: It was not done by *end*.

        """
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        image.format = "PPM"  # pytesseract writes a file of this form: the cheapest there is
        try:
            found = pytesseract.image_to_data(
                image, lang=_LANGUAGE, config=f"--psm {mode}", output_type=pytesseract.Output.DICT, timeout=left
            )
            return by_line(found)
        except (*_FAILURES, SystemExit) as error:
            raise self._failure(error) from error

    def _version(self) -> str:
        try:
            return str(pytesseract.get_tesseract_version())
        except (*_FAILURES, SystemExit) as error:
            raise self._failure(error) from error

    def _failure(self, error: BaseException) -> Exception:
        """Return what a failure of pytesseract means; it says that a time is over with a plain RuntimeError."""
        if isinstance(error, pytesseract.TesseractNotFoundError):
            command = self._options.command
            return EngineUnavailable(f"There is no program {command!r}.", hint=_INSTALL, code="engine_missing")
        if type(error) is RuntimeError:
            return TimeoutError()
        return EngineUnavailable(f"Tesseract failed: {str(error)[:_SAID]}.", hint=_INSTALL)


def _reading(seen: Sequence[Line], kind: Kind, seconds: float) -> Reading:
    """Return the best line, and the others as candidates."""
    ranked = sorted((line for line in seen if line.text), key=lambda line: line.confidence, reverse=True)
    best = best_of(ranked, kind)
    others = tuple(Candidate(line.text, _TRUST * line.confidence) for line in ranked if line != best)[:_MOST_CANDIDATES]
    if best is None:
        return Reading(None, engine=NAME, candidates=others, seconds=seconds)
    left, top, right, bottom = best.box
    box = (left, top, right - left, bottom - top)
    return Reading(best.text, _TRUST * best.confidence, NAME, box, candidates=others, seconds=seconds)


def _wrong(reason: str) -> SettingsInvalid:
    return SettingsInvalid(f"[engines.tesseract]: {reason}", hint="Mend it in the configuration.")
