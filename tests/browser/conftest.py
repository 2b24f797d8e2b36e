"""A headless Chromium for the tests in this folder, and a sweep to look at."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import yaml
from distributed.diagnostics.progress_stream import color_of

from workflows import provenance

ROOT = Path(__file__).parents[2]
ARTIFACTS = Path(os.environ.get("NEQ_SCREENSHOTS", ROOT / "tests" / "artifacts"))
REQUIRED = "NEQ_REQUIRE_BROWSER"
"""Environment variable: 1 turns a Chromium that is not there from a skip into a failure."""
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--force-color-profile=srgb",
    "--window-size=1400,1000",
)
SWEEP = {
    "study": "ep_study:Ep",
    "sessions": ["s1"],
    "conditions": ["active", "rest"],
    "extra": {},
    "repetitions": 40,
    "seconds": 0.05,
    "cluster": {"workers": 2},
    "sweep": {"block": {"repetition": 5}},
}


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)


class Chromium:
    """A browser window; whatever a page asks for or complains of is known afterwards."""

    def __init__(self, program, driver, profile):
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = program
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.window = webdriver.Chrome(options, webdriver.ChromeService(driver))
        # the page of a new tab asks for much by itself
        self.window.get("about:blank")

    def open(self, address):
        """Go to a page, with an empty record."""
        for log in ("browser", "performance"):
            self.window.get_log(log)
        self.window.get(address)

    def ask(self, script):
        """Return what a function body in JavaScript returns."""
        return self.window.execute_script(script)

    def wait(self, script, holds=bool, seconds=60):
        """Return what the script returns as soon as that holds."""
        from selenium.webdriver.support.wait import WebDriverWait

        found = []

        def look(window):
            found[:] = [window.execute_script(script)]
            return holds(found[0])

        WebDriverWait(self.window, seconds, 0.2).until(look, f"not in time: {script}")
        return found[0]

    def errors(self):
        """Return what the page wrote to the console as errors."""
        return [entry["message"] for entry in self.window.get_log("browser") if entry["level"] == "SEVERE"]

    def requests(self):
        """Return the addresses that the page asked for, without those that are data themselves."""
        messages = [json.loads(entry["message"])["message"] for entry in self.window.get_log("performance")]
        sent = [one["params"] for one in messages if one["method"] == "Network.requestWillBeSent"]
        sockets = [one["params"]["url"] for one in messages if one["method"] == "Network.webSocketCreated"]
        asked = [one["request"]["url"] for one in sent]
        return [url for url in [*asked, *sockets] if not url.startswith(("data:", "blob:"))]

    def picture(self, name):
        """Keep a picture of the window as ``name`` and return it (row, column, colour)."""
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        path = ARTIFACTS / f"{name}.png"
        assert self.window.save_screenshot(str(path))
        return (matplotlib.image.imread(path)[:, :, :3] * 255).round().astype(int)

    def drawn(self, name, groups, seconds=20):
        """Return whether the window shows the tasks of all groups in their colours, before long; keep its picture."""
        colours = [np.array([int(color_of(group)[i : i + 2], 16) for i in (1, 3, 5)]) for group in groups]
        end = time.monotonic() + seconds
        while True:
            picture = self.picture(name)
            n_pixel = [(np.abs(picture - colour).max(axis=-1) <= 4).sum() for colour in colours]
            if min(n_pixel) > 500 or time.monotonic() > end:
                return min(n_pixel) > 500


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    programs = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    program, driver = next(filter(None, programs), None), shutil.which("chromedriver")
    if program is None or driver is None:
        reason = "there is no Chromium with its chromedriver here (Debian: chromium, chromium-driver)"
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    made = Chromium(program, driver, tmp_path_factory.mktemp("chromium"))
    yield made
    made.window.quit()


class Sweep:
    """A sweep of some seconds that runs, or has run, on two workers."""

    def __init__(self, folder):
        self.folder = folder / "run"
        config = folder / "sweep.yaml"
        config.write_text(yaml.safe_dump({**SWEEP, "results": str(self.folder)}))
        # a report of what is over in seconds is kept for these tests only
        code = "from workflows import cli, performance; performance.LEAST_SECONDS = 0; cli.main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "run", str(config)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.text = ""

    def address(self):
        """Return the address of the dashboard, which is printed as soon as there is one."""
        for line in self.process.stdout:
            self.text += line
            if line.startswith("dashboard while it runs: "):
                return line.rpartition(" ")[2].strip()
        raise AssertionError(self.text)

    def finish(self):
        """Wait for the end and return the id of the run."""
        self.text += self.process.communicate(timeout=200)[0]
        assert self.process.returncode == 0, self.text
        (run,) = provenance.read(self.folder)
        return run


@pytest.fixture(scope="session")
def sweep(chromium, tmp_path_factory):
    made = Sweep(tmp_path_factory.mktemp("sweep"))
    yield made
    if made.process.poll() is None:
        made.process.terminate()
        made.process.communicate(timeout=30)
