"""JupyterLab and a headless Chromium for the tests in this folder: `make test-browser`."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from moving import Opened
from playwright.sync_api import Browser, BrowserContext, Error, Playwright, sync_playwright

ROOT = Path(__file__).resolve().parents[2]

# Where to find a browser if the variable CHROMIUM names none.
DEBIAN = "/usr/bin/chromium"
MISSING = (
    "no Chromium: install Debian's (apt-get install chromium), or Playwright's own (playwright install --with-deps "
    "chromium), or name an executable in the variable CHROMIUM"
)

# Settings of JupyterLab, for these tests only.
SETTINGS = {
    # All cells are in the page, also those far below, so that what is looked for is there to be found.
    "@jupyterlab/notebook-extension/tracker": '{"windowingMode": "none"}',
    "@jupyterlab/apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-cells", action="store_true", help="run the cells, too, that no demo needs")


@dataclass
class Lab:
    """A running JupyterLab; its files are copies, so that what is run here overwrites nothing that is kept."""

    address: str
    token: str
    notebooks: Path
    log: Path

    def ask(self, method: str, path: str) -> bytes:
        """The answer of the server's own interface (REST)."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(self.address + path, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()


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
    """JupyterLab on a copy of the notebooks, with settings and a free port of its own. Asks for the browser first."""
    from sdcda_tutorial.mini_world import ensure_mini_world
    from sdcda_tutorial.places import MINI_ROOT

    ensure_mini_world(ROOT / MINI_ROOT)
    folder = tmp_path_factory.mktemp("lab")
    project = folder / "project"
    project.mkdir()
    shutil.copytree(ROOT / "notebooks", project / "notebooks", ignore=shutil.ignore_patterns(".*", "__pycache__"))
    (project / "data").symlink_to(ROOT / "data", target_is_directory=True)

    settings = folder / "settings"
    for name, text in SETTINGS.items():
        file = settings / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, log = secrets.token_hex(16), folder / "jupyter.log"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY_"))}
    environment |= {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this environment, whatever else is installed
        "JUPYTER_TOKEN": token,
        "IPYTHONDIR": str(folder / "ipython"),
    }
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.root_dir={project}",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
    ]  # fmt: skip
    with log.open("w") as output:
        server = subprocess.Popen(command, env=environment, cwd=project, stdout=output, stderr=subprocess.STDOUT)
    running = Lab(f"http://127.0.0.1:{port}", token, project / "notebooks", log)
    try:
        wait_for(running, server)
        yield running
    finally:
        server.send_signal(signal.SIGTERM)  # it ends its kernels and then itself
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_for(lab: Lab, server: subprocess.Popen[bytes], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < end:
        try:
            lab.ask("GET", "/api/status")
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{lab.log.read_text()[-3000:]}", pytrace=False)


@pytest.fixture
def show(lab: Lab, chromium: BrowserContext) -> Iterator[Callable[[str], Opened]]:
    """Opens a notebook by its path in the folder of notebooks; ends its kernel and closes its page afterwards."""

    def opened(name: str) -> Opened:
        page = chromium.new_page()
        notebook = Opened(page)
        page.on("console", notebook.hear)
        page.on("pageerror", lambda error: notebook.complaints.append(f"uncaught: {error}"))
        # Questions that JupyterLab asks of itself are answered as proposed; none is about what is tested.
        page.add_locator_handler(page.locator(".jp-Dialog"), lambda dialog: dialog.locator(".jp-mod-accept").click())
        page.goto(f"{lab.address}/lab/tree/notebooks/{name}?reset&token={lab.token}")
        page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=90_000)
        return notebook

    yield opened
    for page in chromium.pages:
        page.close()
    for kernel in re.findall(r'"id": "([0-9a-f-]{36})", "name"', lab.ask("GET", "/api/kernels").decode()):
        lab.ask("DELETE", f"/api/kernels/{kernel}")
