"""A JupyterLab with settings, a token and a port of its own, and notebooks opened in it."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from moving import Opened
from playwright.sync_api import BrowserContext

# Settings of JupyterLab, for these tests only.
SETTINGS = {
    # All cells are in the page, also those far below, so that what is looked for is there to be found.
    "@jupyterlab/notebook-extension/tracker": '{"windowingMode": "none"}',
    "@jupyterlab/apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}


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


def settings_of(folder: Path) -> dict[str, str]:
    """An environment for a JupyterLab with settings, a token and a free port of its own; its files are in `folder`."""
    settings = folder / "settings"
    for name, text in SETTINGS.items():
        file = settings / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    others = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY_"))}
    return others | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this environment, whatever else is installed
        "JUPYTER_PORT": str(port),
        "JUPYTER_PORT_RETRIES": "0",
        "JUPYTER_TOKEN": secrets.token_hex(16),
        "IPYTHONDIR": str(folder / "ipython"),
    }


@contextmanager
def serving(command: list[str], environment: dict[str, str], project: Path, log: Path) -> Iterator[Lab]:
    """Start a JupyterLab in a folder, wait until it answers, and end it afterwards."""
    with log.open("w") as output:
        server = subprocess.Popen(
            command, env=environment, cwd=project, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    running = Lab(
        f"http://127.0.0.1:{environment['JUPYTER_PORT']}", environment["JUPYTER_TOKEN"], project / "notebooks", log
    )
    try:
        wait_for(running, server)
        yield running
    finally:
        # Of the group: it may be make that was started. A JupyterLab ends its kernels and then itself.
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)


def wait_for(lab: Lab, server: subprocess.Popen[bytes], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < end:
        try:
            lab.ask("GET", "/api/status")
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{lab.log.read_text()[-3000:]}", pytrace=False)


def opened(chromium: BrowserContext, lab: Lab, path: str) -> Opened:
    """A notebook of the project in a page of its own, when its kernel waits for work."""
    page = chromium.new_page()
    notebook = Opened(page)
    page.on("console", notebook.hear)
    page.on("pageerror", lambda error: notebook.complaints.append(f"uncaught: {error}"))
    # Questions that JupyterLab asks of itself are answered as proposed; none is about what is tested.
    page.add_locator_handler(page.locator(".jp-Dialog"), lambda dialog: dialog.locator(".jp-mod-accept").click())
    page.goto(f"{lab.address}/lab/tree/{path}?reset&token={lab.token}")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator", timeout=90_000)
    # What is run before the kernel answers is not run at all. The indicator says "idle" from the start; the line at the
    # bottom of the page does not.
    status, end = page.locator("#jp-bottom-panel"), time.monotonic() + 90
    while "| Idle" not in status.inner_text() or not notebook.idle():
        assert time.monotonic() < end, f"no kernel: {status.inner_text()}"
        page.wait_for_timeout(100)
        if page.locator(".jp-Dialog").count():
            page.locator(".jp-Notebook").hover()  # an action, which lets the handler answer
    return notebook
