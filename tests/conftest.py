import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import petro_models as petro

logging.getLogger("petro_models").setLevel(logging.WARNING)

CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; a run in CI may not do without it."""
    folder = os.environ.get("PETRO_MODELS_DATA")
    if not folder:
        message = "PETRO_MODELS_DATA is not set: no real data to test on"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return Path(folder)


@pytest.fixture
def grant() -> xr.Dataset:
    """Grant's (2005) protolith UA and altered rock 401, 20 species."""
    return petro.datasets.grant2005()


@pytest.fixture
def grant_problem(grant: xr.Dataset) -> petro.MassTransfer:
    """The default problem on Grant's table."""
    return petro.MassTransfer(grant)


@pytest.fixture(scope="session")
def grant_fit() -> xr.DataTree:
    """The default fit of Grant's table, with log likelihood."""
    return petro.MassTransfer(petro.datasets.grant2005()).fit(seed=1, log_likelihood=True)


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(20260101)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser to open reports in; a run in CI may not do without it."""
    executable = shutil.which("chromium")
    if executable is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium: the report cannot be opened in a browser")
        pytest.skip("no chromium on this machine")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_OPTIONS)
        yield opened
        opened.close()
