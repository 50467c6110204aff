"""JupyterLab and a headless Chromium for the tests in this folder: `make test-browser`."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from labs import Lab, opened, serving, settings_of
from moving import Opened
from playwright.sync_api import Browser, BrowserContext, Error, Playwright, sync_playwright

ROOT = Path(__file__).resolve().parents[2]

# Where to find a browser if the variable CHROMIUM names none.
DEBIAN = "/usr/bin/chromium"
MISSING = (
    "no Chromium: install Debian's (apt-get install chromium), or Playwright's own (playwright install --with-deps "
    "chromium), or name an executable in the variable CHROMIUM"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-cells", action="store_true", help="run the cells, too, that no demo needs")


@pytest.fixture(scope="session")
def chromium() -> Iterator[BrowserContext]:
    """Chromium without a window. In CI a missing one is a failure; elsewhere the tests are skipped and say why.

    Its pages share one context, whose cache spares all but the first the loading of JupyterLab.
    """
    with sync_playwright() as playwright:
        try:
            browser = launch(playwright)
        except Error as error:
            if os.environ.get("CI"):
                pytest.fail(f"{MISSING}\n{error}", pytrace=False)
            pytest.skip(f"{MISSING} ({str(error).splitlines()[0]})")
        yield browser.new_context(viewport={"width": 1400, "height": 1000})
        browser.close()


def launch(playwright: Playwright) -> Browser:
    named = os.environ.get("CHROMIUM") or (DEBIAN if os.path.exists(DEBIAN) else None)
    arguments = ["--disable-gpu", "--disable-dev-shm-usage"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium's sandbox refuses to work for root
    return playwright.chromium.launch(executable_path=named, args=arguments)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, chromium: BrowserContext) -> Iterator[Lab]:
    """JupyterLab on a copy of the notebooks. Asks for the browser first."""
    from sdcda_tutorial.mini_world import ensure_mini_world
    from sdcda_tutorial.places import MINI_ROOT

    ensure_mini_world(ROOT / MINI_ROOT)
    folder = tmp_path_factory.mktemp("lab")
    project = folder / "project"
    project.mkdir()
    shutil.copytree(ROOT / "notebooks", project / "notebooks", ignore=shutil.ignore_patterns(".*", "__pycache__"))
    (project / "data").symlink_to(ROOT / "data", target_is_directory=True)

    environment = settings_of(folder)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.root_dir={project}",
    ]  # fmt: skip
    with serving(command, environment, project, folder / "jupyter.log") as running:
        yield running


@pytest.fixture
def show(lab: Lab, chromium: BrowserContext) -> Iterator[Callable[[str], Opened]]:
    """Opens a notebook by its path in the folder of notebooks; ends its kernel and closes its page afterwards."""

    yield lambda name: opened(chromium, lab, f"notebooks/{name}")
    for page in chromium.pages:
        page.close()
    for kernel in re.findall(r'"id": "([0-9a-f-]{36})", "name"', lab.ask("GET", "/api/kernels").decode()):
        lab.ask("DELETE", f"/api/kernels/{kernel}")
