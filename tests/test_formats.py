"""Tests of watcher.formats: the loader, and every country of every file."""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterator
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.errors import SettingsInvalid
from watcher.formats import Shape, countries, fits, nearest, parsed, separated, shapes

FILES = sorted(
    (file for file in resources.files("watcher.formats").iterdir() if file.name.endswith(".toml")),
    key=lambda file: file.name,
)
TEXTS = {file.name: file.read_text(encoding="utf-8") for file in FILES}
SAID: list[tuple[str, str, dict[str, Any]]] = [
    (name, code, table) for name, text in TEXTS.items() for code, table in tomllib.loads(text).items()
]


def known(text: str, chosen: Collection[str] = ()) -> bool:
    """Return whether *text* is written in a shape of one of the *chosen* countries, or of any."""
    return any(fits(text, shape) for shape in shapes(chosen))


# ISO 3166-1 alpha-2 and XK, without what has no roads of its own.
ISO = """
    AD AE AF AG AI AL AM AO AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BW BY BZ CA CC CD CF
    CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF
    GG GH GI GL GM GN GP GQ GR GT GU GW GY HK HN HR HT HU ID IE IL IM IN IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR
    KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC
    NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI
    SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG US UY UZ VA VC VE VG VI VN
    VU WF WS XK YE YT ZA ZM ZW
"""

ONE = """
[ZZ]
name = "Somewhere"
vehicles = 4
source = "https://example.org"
without = "O"
letters.c = "BCD"
codes.p = "M SE SS"
formats = [
    { of = "new", patterns = ["## ccc", "ccc-##"], share = 3, examples = ["12 BCD"] },
    { of = "old", patterns = ["p-#.@"], share = 1, examples = ["M-1.A"] },
]
"""


def bare(text: str) -> str:
    """Return *text* without separators."""
    return re.sub("[ .-]", "", text)


def breaks(text: str) -> tuple[int, ...]:
    """Return the positions in the bare *text* before which a separator stands."""
    return tuple(len(bare(text[: found.start()])) for found in re.finditer("[ .-]", text))


def duplicated(values: list[str]) -> list[str]:
    """Return what stands in *values* more than once."""
    return [value for value, times in Counter(values).items() if times > 1]


@pytest.mark.parametrize(("file", "code", "table"), SAID, ids=[f"{file}-{code}" for file, code, _ in SAID])
class TestData:
    """What the files say of each country."""

    def test_read(self, file: str, code: str, table: dict[str, Any]) -> None:
        """The country is one, is read without complaint, and has at least 50,000 vehicles for its weight."""
        country = parsed(TEXTS[file], file)[code]

        assert code in ISO.split()
        assert table["name"] == countries()[code]
        assert 0.05 <= country.vehicles < 500
        assert math.isclose(1, sum(shape.weight for shape in country.shapes))
        assert all(2 <= len(shape.cells) <= 11 for shape in country.shapes)

    def test_examples(self, file: str, code: str, table: dict[str, Any]) -> None:
        """Every example is written like its own format, separators included, and is known as a plate of its country."""
        del file
        plain = shapes((code,))
        for format_ in table["formats"]:
            own = [shape for shape in plain if shape.of == format_["of"]]
            wrong = [
                text
                for text in format_["examples"]
                if not any(fits(bare(text), shape) and breaks(text) == shape.breaks for shape in own)
            ]

            assert [] == wrong, format_["of"]
            assert all(known(bare(text), (code,)) and known(bare(text)) for text in format_["examples"])

    def test_nothing_idle(self, file: str, code: str, table: dict[str, Any]) -> None:
        """Every class and code is used, and no format, nor a pattern in a format, stands there twice."""
        del file, code
        patterns = [format_["patterns"] for format_ in table["formats"]]
        used = {mark for some in patterns for pattern in some for mark in pattern}

        assert set() == (table.get("letters", {}).keys() | table.get("codes", {}).keys()) - used
        assert [] == duplicated([format_["of"] for format_ in table["formats"]])
        assert not any(duplicated(some) for some in patterns)
        assert re.fullmatch("[A-Z]*", table.get("without", ""))


@pytest.mark.parametrize("file", TEXTS)
def test_files_say_what_they_are(file: str) -> None:
    """Each file opens with a comment on what it holds and where its figures come from."""
    assert re.match(r"# .+\n#", TEXTS[file])


def test_no_country_stands_in_two_files() -> None:
    """A country has one table."""
    assert [] == duplicated([code for _, code, _ in SAID])


class TestShapes:
    """The shapes that come of the formats."""

    def test_a_format_is_laid_out(self) -> None:
        """A pattern becomes cells, codes and breaks; a code of two lengths becomes two shapes that share its weight."""
        laid = parsed(ONE, "one.toml")["ZZ"].shapes
        digit, letter, plain = "0123456789", "BCD", "ABCDEFGHIJKLMNPQRSTUVWXYZ"

        expected = (
            Shape("ZZ", "new", (digit, digit, letter, letter, letter), (), (2,), 0.375),
            Shape("ZZ", "new", (letter, letter, letter, digit, digit), (), (3,), 0.375),
            Shape("ZZ", "old", ("M", digit, plain), ((0, frozenset({"M"})),), (1, 2), 0.125),
            Shape("ZZ", "old", ("S", "ES", digit, plain), ((0, frozenset({"SE", "SS"})),), (2, 3), 0.125),
        )
        assert expected == laid

    def test_a_code_is_more_than_its_letters(self) -> None:
        """Letters that are permitted one by one do not make a code."""
        shape = Shape("ZZ", "x", ("SM", "ES"), ((0, frozenset({"SE", "MS"})),), (), 1)

        assert fits("SE", shape)
        assert not fits("SS", shape)
        assert not fits("SES", shape)

    @pytest.mark.parametrize("chosen", [(), ("ES",), ("es", "PT"), {"GB", "gb"}])
    def test_weights(self, chosen: tuple[str, ...]) -> None:
        """The weights of what is returned sum to 1, and only chosen countries are returned."""
        found = shapes(chosen)
        asked = {code.upper() for code in chosen} or set(countries())

        assert math.isclose(1, sum(shape.weight for shape in found))
        assert asked == {shape.country for shape in found}

    def test_countries_count_by_their_vehicles(self) -> None:
        """A country with twice the vehicles of another counts twice as much."""
        weights = Counter[str]()
        for shape in shapes(("ES", "PT")):
            weights[shape.country] += shape.weight  # type: ignore[assignment] # a Counter takes fractions too
        vehicles = {code: table["vehicles"] for _, code, table in SAID}

        assert math.isclose(vehicles["ES"] / vehicles["PT"], weights["ES"] / weights["PT"])

    @pytest.mark.parametrize(("asked", "hint"), [("ESP", "ES (Spain)"), ("Spai", "ES (Spain)"), ("??", "two letters")])
    def test_unknown_country(self, asked: str, hint: str) -> None:
        """A country that is not known is refused with the nearest ones, and its text is not repeated."""
        with pytest.raises(SettingsInvalid) as refusal:
            shapes((asked,))

        assert hint in refusal.value.hint
        assert asked not in refusal.value.reason

    @pytest.mark.parametrize(
        ("asked", "code"), [("Spain", "ES"), ("UK", "GB"), ("usa", "US"), ("germany ", "DE"), ("FRA", "FR")]
    )
    def test_nearest(self, asked: str, code: str) -> None:
        """Names, initials and longer codes lead to the code."""
        assert code in nearest(asked)


class TestTexts:
    """What is a plate of which country."""

    @pytest.mark.parametrize(
        ("text", "country"),
        [
            *(("1234BCD", "ES"), ("M1234AB", "ES"), ("SE0001A", "ES"), ("R1234BCD", "ES"), ("E1234BCD", "ES")),
            *(("BAB123", "DE"), ("MXY9999", "DE"), ("GAPA1", "DE"), ("AB123CD", "FR"), ("1234AB75", "FR")),
            *(("AB12CDE", "GB"), ("A123BCD", "GB"), ("ABC123D", "GB")),
        ],
    )
    def test_known(self, text: str, country: str) -> None:
        """Plates of a country are known in it and anywhere."""
        assert known(text, (country,))
        assert known(text)

    @pytest.mark.parametrize(
        ("text", "country"),
        [
            *(("1234BCA", "ES"), ("1234BCO", "ES"), ("1234BCQ", "ES"), ("12345BC", "ES"), ("XX1234AB", "ES")),
            *(("QQAB123", "DE"), ("BAB0123", "DE"), ("BABC", "DE"), ("AO123CD", "FR"), ("AB12CDI", "GB")),
            *(("", "ES"), ("1234-BCD", "ES"), ("1234bcd", "ES")),
        ],
    )
    def test_not_known(self, text: str, country: str) -> None:
        """Letters that a country does not give, codes that it does not have and wrong lengths are refused."""
        assert not known(text, (country,))

    @pytest.mark.parametrize(
        ("text", "chosen", "expected"),
        [
            ("1234BCD", (), "1234-BCD"),
            ("M1234AB", ("ES",), "M-1234-AB"),
            ("AB123CD", ("FR",), "AB-123-CD"),
            ("AB12CDE", ("GB",), "AB12-CDE"),
            ("MXY9999", ("DE",), "M-XY-9999"),
            ("???", (), "???"),
            ("", (), ""),
        ],
    )
    def test_separated(self, text: str, chosen: tuple[str, ...], expected: str) -> None:
        """Hyphens stand where the likeliest shape has its breaks; what fits none stays as it is."""
        assert expected == separated(text, chosen)

    @given(st.data())
    def test_every_shape_knows_what_it_makes(self, data: st.DataObject) -> None:
        """A text made of the cells and codes of a shape is known in its country, and hyphens change no character."""
        shape = data.draw(st.sampled_from(shapes()))
        text = "".join(data.draw(st.sampled_from(cell)) for cell in shape.cells)
        for start, code in shape.codes:
            word = data.draw(st.sampled_from(sorted(code)))
            text = text[:start] + word + text[start + len(word) :]

        assert known(text, (shape.country,))
        assert text == separated(text, (shape.country,)).replace("-", "")


def spoilt() -> Iterator[tuple[str, str, str]]:
    """Yield texts of `ONE` to replace, with what, and what is complained of."""
    yield '"## ccc"', '"## cxc"', "one.toml [ZZ] 'new': cannot use the pattern '## cxc'"
    yield '"## ccc"', '"##  ccc"', "cannot use the pattern"
    yield '"## ccc"', '"-##"', "cannot use the pattern"
    yield '"## ccc"', "3", "cannot use the pattern 3"
    yield '["## ccc", "ccc-##"]', "[]", "'new': needs patterns and examples"
    yield '["12 BCD"]', "[]", "'new': needs patterns and examples"
    yield "share = 3", "share = 0", "'new': share must be a positive number"
    yield "share = 3", "share = true", "'new': share must be a positive number"
    yield "share = 3, ", "", "'new': share must be a positive number"
    yield "share = 3", "shear = 3", "one.toml [ZZ]: takes only examples, of, patterns, share"
    yield "vehicles = 4", "vehicles = nan", "one.toml [ZZ]: vehicles must be"
    yield "vehicles = 4", "", "one.toml [ZZ]: vehicles must be"
    yield '"Somewhere"', '""', "needs a name"
    yield "https", "see: https", "a source on the web"
    yield '"BCD"', '"BCB"', "letters.c must be different capitals and digits"
    yield '"BCD"', '""', "letters.c must be"
    yield '"BCD"', "3", "c is missing, or is not a str"
    yield '"M SE SS"', '"M SE SE"', "codes.p has SE"
    yield '"M SE SS"', '"M SEVIL"', "codes.p has SEVIL"
    yield '"M SE SS"', '""', "codes.p has nothing"
    yield "codes.p", "codes.c", "a class and a code of one name"
    yield "codes.p", "codes.P", "'P' is not one small letter"
    yield "[ZZ]", "[Zz]", "one.toml [Zz]: is not a code of two capital letters"
    yield "[ZZ]", "ZZ = 3\n[YY]", "one.toml [ZZ]: takes only"
    yield "[ZZ]", "[[ZZ]", "one.toml: "


class TestParsed:
    """Bad data is refused with the place where it stands."""

    @pytest.mark.parametrize(("good", "bad", "complaint"), tuple(spoilt()))
    def test_bad_data(self, good: str, bad: str, complaint: str) -> None:
        """Each mistake is a ValueError that names file, country and, where there is one, format."""
        assert good in ONE
        with pytest.raises(ValueError, match=re.escape(complaint)):
            parsed(ONE.replace(good, bad, 1), "one.toml")

    def test_no_format(self) -> None:
        """A country without a format is refused."""
        with pytest.raises(ValueError, match="needs a format"):
            parsed(ONE.partition("formats")[0] + "formats = []", "one.toml")

    @given(
        st.sampled_from(ONE.splitlines()),
        st.one_of(
            st.sampled_from(["1", "''", "[]", "{}", "[3]", "{ of = 'x' }", "'#'", "[['#']]"]),
            st.text(st.characters(codec="ascii"), max_size=12),
        ),
    )
    def test_any_text(self, line: str, value: str) -> None:
        """Whatever a file says is either read or refused with a ValueError."""
        text = ONE.replace(line, f"{line.partition('=')[0]} = {value}", 1)
        try:
            found = parsed(text, "one.toml")
        except ValueError as error:
            assert str(error).startswith("one.toml")  # noqa: PT017 - which of both happens is open
        else:
            assert all(country.shapes for country in found.values())
