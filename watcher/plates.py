"""Normalise text and judge whether it can be a plate, a VIN or a trailer id. Pure.

The order matters: an answer is judged as it was given and cleaned last, so that a sentence is never squeezed into
ten characters and taken for a plate.
"""

from __future__ import annotations

import re
import unicodedata

from watcher.model import Kind

# Letters of other scripts that look like Latin ones, among them the twelve of Russian and the fourteen of Greek plates.
_FOREIGN = "АВЕКМНОРСТУХІЅЈΑΒΕΖΗΙΚΜΝΟΡΤΥΧØĐŁ"
_LATIN = "ABEKMHOPCTYXISJABEZHIKMNOPTYXODL"
_LOOKALIKES = str.maketrans(_FOREIGN, _LATIN)

_LONGEST: dict[Kind, int] = {"plate": 10, "vin": 17, "trailer_id": 11}
_READ_AT_MOST = 4000  # characters of an answer that are looked at; a plate is not further down
_QUOTES = "\"'`*_«»“”‘’()[]{}<>.,;:!¡"  # noqa: RUF001 - typographic quotes are what models write
_FENCE = re.compile(r"\s*(```|~~~)\w*\s*")
_SHAPE = re.compile(r"[A-Z0-9]+(?:[ .·•-]{1,3}[A-Z0-9]+){0,5}")
_DATE = re.compile(
    r"(?:19|20)\d\d[-. ]?(?:0?[1-9]|1[0-2])[-. ]?(?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])[-. ](?:0?[1-9]|1[0-2])[-. ](?:19|20)\d\d"
)
_LABEL = re.compile(
    r"(?:the |la |el )?(?:n[uú]mero de (?:la )?)?(?:licen[cs]e |number |registration )?"
    r"(?:matr[ií]cula|placa|patente|plate|registration|vin|bastidor|trailer(?:[ _]id)?|remolque|contenedor|container)"
    r"(?: (?:number|visible|detectada|detected|del? veh[ií]culo|es|is))*"
    r"[\"'*_]*(?:\s*[:=]\s*|\s+|$)[\"'*_ ]*",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"\b(?=[A-Z0-9-]*[A-Z])(?=[A-Z0-9-]*[0-9])[A-Z0-9](?:-?[A-Z0-9]){4,}\b")

# Words of refusals, and signs on and around vehicles. A word of four letters or more is never part of a plate; the
# short ones count where no digit or a lower-case letter gives the text away as prose.
_WORDS = frozenset(
    """
    a al an as cars con could de del detecta detectada detectado disponible el en es esta foto hay ilegible imagen la
    las leer legible lo los matricula matriculas muy nada ni ninguna ninguno ningun no numero o oculta para pero placa
    placas patente por puede puedo se si siento sin son su texto un una veo vehiculo visible y borrosa borroso clara
    coche desconocida desconocido error
    are available blurred blurry but can cannot cant car clear could detected empty false for found hidden
    i illegible image in is it license licence me my nan nil none not nothing null number of ok on page photo picture
    plate plates readable registration see sorry text that the this to true unable unclear undefined unknown
    unreadable vehicle version yes you
    ambulance ambulancia audi bus chevrolet citroen dacia fiat ford guardia honda hyundai kia mazda mercedes nissan
    opel peugeot policia police polizei renault seat skoda stop suzuki taxi tesla toyota volkswagen volvo
    """.upper().split()
)
_PROSE = 4  # letters from which a word of the list counts even beside digits


def fold(text: str) -> str:
    """Return *text* in upper case with full-width forms, accents, look-alike letters, digits and dashes made plain."""
    plain = unicodedata.normalize("NFKD", text).upper()
    return "".join(_folded(character) for character in plain).translate(_LOOKALIKES)


def clean(text: str, kind: Kind = "plate") -> str:
    """Return only `A-Z 0-9 -` of *text*, no hyphen at either end, at most 10 characters (VIN 17, trailer id 11).

    Where that is too long, the hyphens go before any letter or digit does.
    """
    kept = re.sub(r"[^A-Z0-9-]", "", fold(text[:_READ_AT_MOST])).strip("-")
    if len(kept) > _LONGEST[kind]:
        kept = kept.replace("-", "")
    return kept[: _LONGEST[kind]]


def judge(raw: str, kind: Kind = "plate") -> str | None:
    """Return the cleaned text if the *raw* answer of an engine is a plate and nothing else, else none.

    Forgiven are quotes, code fences, a label such as `Matrícula:`, a full stop at the end, the same plate on several
    lines, and a plate in two or three rows of at most five characters. Several different plates are no plate.
    """
    lines = _lines(raw)
    verdicts = {_judge_line(line, kind) for line in lines}
    if len(verdicts) == 1 and None not in verdicts:
        return verdicts.pop()
    if len(lines) <= 3 and all(len(_compact(line)) <= 5 for line in lines):  # noqa: PLR2004 - said above
        return _judge_line(" ".join(lines), kind)
    return None


def last_attempt(raw: str, kind: Kind = "plate") -> str | None:
    """Return what may be recorded, for a person to review, of an answer that is not believable; none of a refusal.

    Taken is the first of: the plate, the first line that is one, a short text with a digit in it, the first word of
    a sentence that mixes letters and digits.
    """
    lines = _lines(raw)
    plates = [judge(raw, kind), *(_judge_line(line, kind) for line in lines)]
    scraps = [clean(line, kind) for line in lines if _is_scrap(line, kind)]
    words = [clean(word, kind) for word in _TOKEN.findall(raw[:_READ_AT_MOST])]
    return next(filter(None, [*plates, *scraps, *words]), None)


def _folded(character: str) -> str:
    """Return the plain form of one upper-case, decomposed character; nothing for marks and invisible ones."""
    category = unicodedata.category(character)
    if category in {"Mn", "Cf"}:
        return ""
    if category == "Pd" or character in "\u2212\u2043":
        return "-"
    return str(unicodedata.decimal(character, character))


def _lines(raw: str) -> list[str]:
    """Return the lines that say something, without what is wrapped around them."""
    lines = unicodedata.normalize("NFKC", raw[:_READ_AT_MOST]).splitlines()
    unfenced = (" ".join(line.split()).strip(_QUOTES + " ") for line in lines if not _FENCE.fullmatch(line))
    return [line for line in unfenced if line and _LABEL.fullmatch(line) is None]


def _judge_line(line: str, kind: Kind) -> str | None:
    """Return one line cleaned if it is a plate by itself, with or without a label before it."""
    label = _LABEL.match(line)
    bare = line[label.end() :] if label else line
    cleaned = clean(bare, kind)
    prose = any(character.islower() for character in bare)
    if label and not _has_digit(cleaned):
        return None
    if prose and (len(bare.split()) > 2 or len(_compact(bare)) < 5 or not _has_digit(cleaned)):  # noqa: PLR2004
        return None
    if _is_plain(fold(bare), kind, prose=prose) and _is_plain(cleaned, kind):
        return cleaned
    return None


def _is_plain(folded: str, kind: Kind, *, prose: bool = False) -> bool:
    """Say whether a folded text has the shape of a plate and is neither a date nor made of ordinary words.

    National formats are not asked: of some seven characters, nearly any are a plate somewhere.
    """
    compact = _compact(folded)
    shaped = _SHAPE.fullmatch(folded) is not None and _fits(compact, kind)
    return shaped and not _is_date(folded) and not _has_words(folded, prose=prose or not _has_digit(compact))


def _fits(compact: str, kind: Kind) -> bool:
    """Say whether the letters and digits are as many, and of such kinds, as a text of that *kind* has.

    A VIN has 17 and no I, O or Q (ISO 3779). Plates in use have from three to ten; those of digits or of letters
    alone, from four to eight.
    """
    if kind == "vin":
        return re.fullmatch(r"(?=.*\d)(?=.*[A-Z])[A-HJ-NPR-Z0-9]{17}", compact) is not None
    if len(set(compact)) == 1 or (kind == "trailer_id" and not _has_digit(compact)):
        return False
    mixed = _has_digit(compact) and not compact.isdigit()
    return 3 <= len(compact) <= _LONGEST[kind] if mixed else 4 <= len(compact) <= 8  # noqa: PLR2004 - said above


def _has_words(folded: str, *, prose: bool) -> bool:
    """Say whether an ordinary word stands in the text; the short ones only count in *prose*."""
    found = _WORDS.intersection(re.findall("[A-Z]+", folded))
    return any(prose or len(word) >= _PROSE for word in found)


def _is_scrap(line: str, kind: Kind) -> bool:
    """Say whether a line is short, has a digit and no ordinary word: part of a plate, or a plate with doubts."""
    compact = _compact(line)
    prose = any(character.islower() for character in line) and " " in line
    short = 3 <= len(compact) <= _LONGEST[kind] and _has_digit(compact)  # noqa: PLR2004 - less is a speck
    return short and not prose and not _is_date(fold(line)) and not _has_words(fold(line), prose=True)


def _is_date(folded: str) -> bool:
    """Say whether the whole text is a date or a time of day, as cameras burn them into their pictures."""
    return _DATE.fullmatch(folded) is not None or re.fullmatch(r"\d{1,2}:\d\d(?::\d\d)?", folded) is not None


def _has_digit(text: str) -> bool:
    """Say whether an ASCII digit stands in the text."""
    return re.search("[0-9]", text) is not None


def _compact(text: str) -> str:
    """Return only the letters and digits of a text, folded."""
    return re.sub(r"[^A-Z0-9]", "", fold(text))
