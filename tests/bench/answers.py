"""How many rows a second the line makes while every engine call takes its time.

A stand-in for the API on loopback answers each question after a second; so many readers wait for it at the same time.
Photos are real ones of 1280 by 960 pixels, decoded, shrunk and encoded again as always. The readers' children start
with the first photos, so the rate counts from the row at which all of them have answered twice.
"""

from __future__ import annotations

import io
import time
from pathlib import Path

from PIL import Image, ImageFilter

from tests.acceptance.house import House
from tests.bench.measuring import Figure, Rows, Section, cost, options, photo, said, scratch, show
from tests.scripted_openai import KEY, Scripted, Step, says

_PATIENCE = 600.0
_SIZE = 240_000


def measure(folder: Path, *, photos: int = 200, readers: int = 8, seconds: float = 1.0) -> Section:
    """Return the figures for *photos* photos, *readers* readers, and an API that takes so many *seconds*."""
    step = says("1234 BCD")
    with Scripted(Step(step.status, step.body, delay=seconds)) as server:
        house = House(
            folder,
            f'readers = {readers}\n[engines.openai]\nbase_url = "{server.url}"\n[inbox]\nsidecar_wait_seconds = 0\n',
            engines='["openai"]',
        )
        start = _scene()
        for number in range(photos):
            (house.inbox / f"cam{number}.jpg").write_bytes(photo(number, _SIZE, start))
        began = time.time()
        with house.running(OPENAI_API_KEY=KEY) as daemon:
            Rows(house.register).wait(photos, _PATIENCE)
            spent = cost(daemon.process.pid)
    moments = list(said(house, "register.appended"))
    warm = min(2 * readers, photos // 2)
    rate = (photos - warm) / (moments[-1] - moments[warm - 1])
    return Section(
        f"{photos} photos, {readers} readers, answers after {seconds:g} s",
        [
            Figure("rows a second once the children are warm", f"{rate:.2f}", "≥ 7 of 8 possible"),
            Figure("share of what waiting alone allows", f"{rate * seconds / readers:.0%}"),
            Figure("rows a second in all, start of the daemon included", f"{photos / (moments[-1] - began):.2f}"),
            Figure("seconds to the first row", f"{moments[0] - began:.1f}"),
            Figure("memory of the daemon, without its children", f"{spent.resident:.0f} MB", "≤ 120 MB"),
        ],
    )


def _scene() -> bytes:
    """Return a JPEG as large and as busy as that of a camera, in fewer bytes than `_SIZE`."""
    noise = Image.effect_noise((320, 240), 60).filter(ImageFilter.GaussianBlur(1)).resize((1280, 960))
    memory = io.BytesIO()
    noise.convert("RGB").save(memory, "JPEG", quality=80)
    return memory.getvalue()


def main() -> None:
    """Measure as the command line says."""
    parser = options(__doc__)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1.0, help="what the API takes for one answer")
    given = parser.parse_args()
    with scratch(given.folder) as folder:
        show(measure(folder, photos=given.photos, readers=given.readers, seconds=given.seconds))


if __name__ == "__main__":
    main()
