"""The real user interfaces on the line's home, and Chromium to look at them."""

import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, FloatRect, Page, sync_playwright

from ml_platform.services import user_interfaces
from ml_platform_tests.e2e.line import Line, environment_of

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
STILL = "ml_platform_tests.browser.still_location"
SECONDS = 60
"""Within which a page shows what a test waits for; generous, since the machine may be busy."""

Screenshot = Callable[..., Path]


@pytest.fixture(scope="package")
def address(line: Line) -> Iterator[str]:
    """Where Dagster's UI answers; MLflow's answers where the links on the assets say."""
    with environment_of(line.settings), user_interfaces(line.settings, STILL) as services:
        url = services[0].url
        # What "Skip" does in the invitation to Dagster's community, which would come up over a first visitor's work.
        httpx.post(f"{url}/graphql", json={"query": "mutation { setNuxSeen }"}).raise_for_status()
        yield url


@pytest.fixture(scope="package")
def browser(address: str) -> Iterator[Browser]:
    """Chromium, after the line has run: Dagster does not like the event loop that Playwright keeps in the thread."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.fail("There is no Chromium to open the user interface with: apt-get install chromium", pytrace=False)
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium, args=FLAGS) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A window on Dagster's UI; paths are relative to its address. A script that fails in the page fails the test."""
    problems: list[str] = []
    with browser.new_context(base_url=address, viewport={"width": 1600, "height": 900}) as context:
        context.set_default_timeout(SECONDS * 1000)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        yield page
    assert problems == []


@pytest.fixture
def screenshot(page: Page, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Screenshot:
    """Saves what the window shows, or `clip` of it, as a small PNG into the folder of --screenshots."""
    chosen = request.config.getoption("--screenshots")
    folder = Path(chosen) if chosen else tmp_path_factory.getbasetemp() / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)

    def save(name: str, clip: FloatRect | None = None) -> Path:
        path = folder / f"{name}.png"
        picture = Image.open(BytesIO(page.screenshot(clip=clip, animations="disabled")))
        picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
        print(f"screenshot {path}, {path.stat().st_size // 1024} KiB")
        return path

    return save
