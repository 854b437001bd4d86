"""What tests of engines share, because it takes a while to make."""

from __future__ import annotations

import pytest

from watcher.engines import rapidocr


@pytest.fixture(scope="session")
def reader() -> rapidocr.RapidOcr:
    """Give the local reader as it comes, its networks loaded once."""
    return rapidocr.create({})
