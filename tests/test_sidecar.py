"""Sidecars: which names are looked for, when one is whole, and that nothing in one can do harm."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.model import Identity, Sidecar
from watcher.sidecar import LARGEST, is_sidecar, names, parse, whole

NOW = datetime(2026, 3, 4, 14, 30, 45, tzinfo=UTC)
MADRID = ZoneInfo("Europe/Madrid")
IDENTITY = Identity(device=1, inode=2, size=3, mtime_ns=4)


def said(raw: bytes | dict[str, object]) -> Sidecar:
    """Parse *raw*, written out as JSON first if it is an object."""
    return parse(raw if isinstance(raw, bytes) else json.dumps(raw).encode(), zone=MADRID, now=NOW)


def test_full_name_is_looked_for_before_the_stem() -> None:
    """`NAME.EXT.json` wins over `STEM.json`, each in lower case before upper case."""
    expected = (b"cam7.jpg.json", b"cam7.jpg.JSON", b"cam7.json", b"cam7.JSON")

    assert expected == names(b"cam7.jpg")


def test_names_keep_the_folder_and_foreign_bytes() -> None:
    """A path keeps its folder, dots in it and bytes that are no UTF-8."""
    assert b"gate.2/caf\xe9.json" in names(b"gate.2/caf\xe9.JPG")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"cam7.json", True),
        (b"gate.2/cam7.jpg.JSON", True),
        (b"cam7.Json", True),
        (b"caf\xe9.json", True),
        (b".json", False),
        (b"gate/.cam7.json", False),
        (b"cam7.jpg", False),
        (b"cam7.json.part", False),
        (b"cam7json", False),
        (b"", False),
    ],
)
def test_sidecars_are_known_by_their_name(name: bytes, expected: bool) -> None:  # noqa: FBT001 (a table of expectations)
    """A sidecar ends in `.json`, in any case, and is not hidden."""
    assert expected is is_sidecar(name)


@given(st.from_regex(rb"[^\0/]{1,20}\.(jpg|JPG|png|jpeg)", fullmatch=True).filter(lambda name: name[:1] != b"."))
def test_every_name_looked_for_is_the_name_of_a_sidecar(name: bytes) -> None:
    """What is looked for beside an image would also be recognised when it lies there alone."""
    assert all(is_sidecar(candidate) for candidate in names(name))


def test_every_known_key_is_taken() -> None:
    """Each known key fills its field, and path and identity are those given."""
    raw = {
        "propietario": "Juan Pérez",
        "tipo_vehiculo": "Sedan",
        "observacion": "Vehículo de entrega",
        "camera_id": "gate-7",
        "timestamp": "2026-03-04T15:30:45+01:00",
        "type": "vin",
        "language": "es",
        "regions": ["es", "pt"],
    }
    expected = Sidecar(
        path=b"gate/cam7.json",
        identity=IDENTITY,
        propietario="Juan Pérez",
        tipo_vehiculo="Sedan",
        observacion="Vehículo de entrega",
        camera_id="gate-7",
        timestamp=datetime(2026, 3, 4, 15, 30, 45, tzinfo=timezone(timedelta(hours=1))),
        type="vin",
        language="es",
        regions=("es", "pt"),
    )

    assert expected == parse(json.dumps(raw).encode(), zone=UTC, now=NOW, path=b"gate/cam7.json", identity=IDENTITY)


def test_nothing_given_is_nothing_wrong() -> None:
    """An object without keys, and one whose keys hold `null` or nothing, give empty fields and no error."""
    keys = ("propietario", "tipo_vehiculo", "observacion", "camera_id", "timestamp", "type", "language", "regions")

    assert Sidecar() == said({})
    assert Sidecar() == said(dict.fromkeys(keys))
    assert Sidecar() == said(dict.fromkeys(keys, ""))


def test_unknown_keys_are_kept_and_change_nothing() -> None:
    """Keys that name columns of the register are unknown here: kept as text, filling no field."""
    unknown = {"id": 7, "imagen": "../x.jpg", "matricula": "XX", "fecha_hora": "1", "más": {"a": [1.5, None, True]}}

    sidecar = said({"propietario": "Ana", **unknown})

    assert unknown == json.loads(sidecar.extra)
    assert "más" in sidecar.extra
    assert Sidecar(propietario="Ana", extra=sidecar.extra) == sidecar


def test_text_stays_as_it_is_given() -> None:
    """Neutralising cells is the register's business: here spaces, formulas and control characters stay."""
    text = " =1+1\n\x00\u202e, «x» "

    assert text == said({"observacion": text}).observacion


def test_byte_order_mark_is_accepted() -> None:
    """A UTF-8 file that Windows began with a byte order mark is read like any other."""
    assert Sidecar(propietario="José") == said(b'\xef\xbb\xbf{"propietario":"Jos\xc3\xa9"}')


DEEP = b'{"a":' * 100_000


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b'{"a":"' + b"x" * LARGEST + b'"}', "It is larger than 64 KiB."),
        (b"", "It is empty."),
        (b"\xef\xbb\xbf \r\n", "It is empty."),
        ('{"a":"José"}'.encode("latin-1"), "Byte 10 is not UTF-8; save it as UTF-8."),
        ('{"a":1}'.encode("utf-16"), "It holds zero bytes: it is UTF-16, was cut short or is not text;"),
        (b"\0" * 100, "It holds zero bytes: it is UTF-16, was cut short or is not text; save it as UTF-8."),
        (b'{"propietario":"Jo', "It is not JSON: Unterminated string starting at (line 1, column 16)."),
        (b"{'a':1}", "It is not JSON: Expecting property name enclosed in double quotes (line 1, column 2)."),
        (b'{"a":1}}', "It is not JSON: Extra data (line 1, column 8)."),
        (b'{"a":"x\ny"}', "It is not JSON: Invalid control character at (line 1, column 8)."),
        (b"[1]", "It must be one JSON object but is a list."),
        (b'"x"', "It must be one JSON object but is text."),
        (b"1", "It must be one JSON object but is a number."),
        (b"null", "It must be one JSON object but is null."),
        (b'{"a":NaN}', "It holds a number that JSON does not have (NaN, Infinity or one too large)."),
        (b'{"a":[-Infinity]}', "It holds a number that JSON does not have (NaN, Infinity or one too large)."),
        (b'{"a":1e999}', "It holds a number that JSON does not have (NaN, Infinity or one too large)."),
        (b'{"a":' + b"9" * 5000 + b"}", "It holds a number with more than 20 digits."),
        (b'{"a":1,"a":1}', "The key 'a' stands twice in it."),
        (b'{"x":[{"\xc3\xb1\\u001b":1,"\xc3\xb1\\u001b":2}]}', "The key '\\xf1\\x1b' stands twice in it."),
        (b'{"a":"\\ud800"}', "It holds half a character (a lone surrogate)."),
        (b'{"\\udfff":1}', "It holds half a character (a lone surrogate)."),
        (b"[" * 60_000, "It is nested too deeply."),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "It is nested too deeply."),
        (b'{"a":' * 17 + b"1" + b"}" * 17, "It is nested too deeply."),
        (b'{"a":' + b"1e15,".join([b"["] + [b""] * 12_000) + b"1]}", "Its unknown keys take more than 64 KiB"),
    ],
    ids=count(),
)
def test_a_file_that_is_not_one_strict_object_is_refused(raw: bytes, sentence: str) -> None:
    """Whatever is wrong with the file as a whole is said in a sentence, and every field stays empty."""
    sidecar = said(raw)

    assert sidecar.error.startswith(sentence)
    assert Sidecar(error=sidecar.error) == sidecar


def test_sixteen_levels_are_deep_enough() -> None:
    """Nesting is refused only beyond what a person would write."""
    assert not said(b'{"a":' * 16 + b"1" + b"}" * 16).error


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("propietario", 12, "`propietario` must be text but is a number; put it in quotation marks."),
        ("tipo_vehiculo", 1.5, "`tipo_vehiculo` must be text but is a number; put it in quotation marks."),
        ("observacion", ["x"], "`observacion` must be text but is a list; put it in quotation marks."),
        ("camera_id", {"a": 1}, "`camera_id` must be text but is an object; put it in quotation marks."),
        ("timestamp", 1772638245, "`timestamp` must be text but is a number; put it in quotation marks."),
        ("type", False, "`type` must be text but is true or false; put it in quotation marks."),
        ("propietario", "x" * 201, "`propietario` is longer than 200 characters."),
        ("tipo_vehiculo", "x" * 101, "`tipo_vehiculo` is longer than 100 characters."),
        ("observacion", "x" * 2001, "`observacion` is longer than 2000 characters."),
        ("camera_id", "x" * 101, "`camera_id` is longer than 100 characters."),
        ("language", "x" * 36, "`language` is longer than 35 characters."),
        ("userLanguage", 1, "`userLanguage` must be text but is a number; put it in quotation marks."),
        ("type", "Plate", "`type` must be one of plate, vin, trailer_id."),
        ("regions", 0, "`regions` must be a list of texts but is a number."),
        ("regions", {}, "`regions` must be a list of texts but is an object."),
        ("regions", ["es", 1], "`regions` must be text but is a number; put it in quotation marks."),
        ("regions", ["x" * 33], "`regions` is longer than 32 characters."),
        ("regions", ["x"] * 33, "`regions` has more than 32 entries."),
    ],
)
def test_a_key_that_holds_the_wrong_thing_is_named(key: str, value: object, sentence: str) -> None:
    """One wrong key makes the whole sidecar unusable, and the sentence names it."""
    assert Sidecar(error=sentence) == said({"propietario": "Ana", "observacion": "x", key: value})


@pytest.mark.parametrize(
    "limits", [{"propietario": "x" * 200}, {"observacion": "ñ" * 2000}, {"regions": ["x" * 32] * 32}]
)
def test_a_field_may_be_as_long_as_its_limit(limits: dict[str, object]) -> None:
    """The longest text allowed is allowed, counted in characters and not in bytes."""
    assert not said(limits).error


@pytest.mark.parametrize(
    ("given_regions", "expected"), [("mx", ("mx",)), (["us-ca", "", None, "mx"], ("us-ca", "mx")), ([], ())]
)
def test_regions_are_a_list_or_one_text(given_regions: object, expected: tuple[str, ...]) -> None:
    """One region may be given without a list; empty entries are nothing."""
    assert expected == said({"regions": given_regions}).regions


@pytest.mark.parametrize(
    "keys",
    [
        {"language": "es"},
        {"userLanguage": "es"},
        {"language": "es", "userLanguage": "es"},
        {"language": "es", "userLanguage": ""},
    ],
)
def test_language_has_two_names(keys: dict[str, object]) -> None:
    """Either name will do, and both if they say the same."""
    assert Sidecar(language="es") == said(keys)


def test_languages_that_differ_are_refused() -> None:
    """Nobody can know which of two different languages is meant."""
    error = "`language` and `userLanguage` differ; give one of them."

    assert Sidecar(error=error) == said({"language": "es", "userLanguage": "en"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-04T15:30:45Z", datetime(2026, 3, 4, 15, 30, 45, tzinfo=UTC)),
        ("2026-03-04t15:30:45z", datetime(2026, 3, 4, 15, 30, 45, tzinfo=UTC)),
        ("2026-03-04T15:30:45.5-03:00", datetime(2026, 3, 4, 18, 30, 45, 500_000, tzinfo=UTC)),
        ("2026-03-04 15:30:45+0100", datetime(2026, 3, 4, 14, 30, 45, tzinfo=UTC)),
        ("20260304T153045,25+01", datetime(2026, 3, 4, 14, 30, 45, 250_000, tzinfo=UTC)),
        ("2026-03-04T15:30:45", datetime(2026, 3, 4, 15, 30, 45, tzinfo=MADRID)),
        ("2026-03-04 15:30", datetime(2026, 3, 4, 15, 30, tzinfo=MADRID)),
        ("2000-01-01T00:00:00", datetime(2000, 1, 1, tzinfo=MADRID)),
        ("2026-03-05T14:30:45Z", datetime(2026, 3, 5, 14, 30, 45, tzinfo=UTC)),
    ],
)
def test_timestamps_are_iso_8601(text: str, expected: datetime) -> None:
    """Date and time with a T or a space; `Z`, an offset or, without either, the zone of the host."""
    assert expected == said({"timestamp": text}).timestamp


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("yesterday", "`timestamp` is not ISO 8601; write it like 2026-03-04T15:30:45+01:00."),
        ("2026-03-04", "`timestamp` is not ISO 8601; write it like 2026-03-04T15:30:45+01:00."),
        ("2026-W10-3T15:30", "`timestamp` is not ISO 8601; write it like 2026-03-04T15:30:45+01:00."),
        ("2026-03-04T25:30:45", "`timestamp` is not ISO 8601; write it like 2026-03-04T15:30:45+01:00."),
        ("2026-03-04T15:30:45+24:00", "`timestamp` is not ISO 8601; write it like 2026-03-04T15:30:45+01:00."),
        ("2026-02-30T15:30:45", "`timestamp` is not ISO 8601; write it like 2026-03-04T15:30:45+01:00."),
        ("٢٠٢٦-03-04T15:30:45", "`timestamp` is not ISO 8601; write it like 2026-03-04T15:30:45+01:00."),
        ("1772638245", "`timestamp` is not ISO 8601; write it like 2026-03-04T15:30:45+01:00."),
        ("1970-01-01T00:00:10", "`timestamp` lies before the year 2000; set the clock of the camera."),
        ("0001-01-01T00:00:10", "`timestamp` lies before the year 2000; set the clock of the camera."),
        ("1999-12-31T23:59:59Z", "`timestamp` lies before the year 2000; set the clock of the camera."),
        ("2026-03-05T14:30:46Z", "`timestamp` lies more than a day in the future; set the clock of the camera."),
        ("2026-03-05T15:30:46", "`timestamp` lies more than a day in the future; set the clock of the camera."),
        ("9999-12-31T23:59:59-14:00", "`timestamp` lies more than a day in the future; set the clock of the camera."),
        ("2" * 41, "`timestamp` is longer than 40 characters."),
    ],
)
def test_timestamps_that_cannot_be_believed_are_refused(text: str, sentence: str) -> None:
    """A time that is no time, lies before 2000 or more than a day ahead makes the sidecar unusable."""
    assert Sidecar(error=sentence) == said({"timestamp": text})


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"{}", True),
        (b'\xef\xbb\xbf{"a":1}\n', True),
        (b"[1]", True),
        (b'{"a":NaN,"a":1}', True),
        (b'{"a":' + b"9" * 5000 + b"}", True),
        ('{"a":"José"}'.encode("latin-1"), True),
        ('{"a":1}'.encode("utf-16"), True),
        ('{"a":1}'.encode("utf-32-le"), True),
        (DEEP[:60_000], True),
        (DEEP, True),
        (b"", False),
        (b'{"a":"Jos\xc3', False),
        (b'{"a":1', False),
        (b'{"a":1}\0\0\0\0', False),
        (b"\0" * (LARGEST + 1), False),
    ],
    ids=count(),
)
def test_a_half_written_sidecar_can_be_waited_for(raw: bytes, expected: bool) -> None:  # noqa: FBT001 (a table)
    """Only what more bytes could still complete is not whole; what never will be usable is not waited for."""
    assert expected is whole(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
KEYS = st.sampled_from(
    ["propietario", "tipo_vehiculo", "observacion", "camera_id", "timestamp", "type", "language", "userLanguage"]
)
TIMES = st.datetimes(timezones=st.none() | st.just(UTC)).map(datetime.isoformat)


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_raise(raw: bytes) -> None:
    """Arbitrary bytes give a sidecar, and one with an error unless they happen to be an object."""
    sidecar = said(raw)

    assert sidecar.error or raw.strip().startswith((b"{", b"\xef\xbb\xbf"))
    assert whole(raw) in {True, False}


@given(st.dictionaries(KEYS | st.text(), JSON | TIMES | st.text(), max_size=12))
def test_no_object_raises_and_an_error_leaves_nothing_behind(thing: dict[str, object]) -> None:
    """Any JSON object gives either fields that can be written as UTF-8 and kept, or only a sentence."""
    sidecar = said(thing)

    if sidecar.error:
        assert Sidecar(error=sidecar.error) == sidecar
        assert sidecar.error.endswith(".")
    else:
        kept = json.loads(sidecar.extra.encode("utf-8"))
        assert {key: value for key, value in thing.items() if key in kept} == kept
        assert sidecar.timestamp is None or sidecar.timestamp.tzinfo is not None


@given(st.dictionaries(st.text(), st.text(), min_size=1), st.data())
def test_a_cut_object_is_never_whole(thing: dict[str, str], data: st.DataObject) -> None:
    """Every beginning of a sidecar is waited for, and refused if nothing more comes."""
    raw = json.dumps(thing, ensure_ascii=False).encode("utf-8", "replace")
    cut = raw[: data.draw(st.integers(0, len(raw) - 1))]

    assert whole(raw)
    assert not whole(cut)
    assert said(cut).error
