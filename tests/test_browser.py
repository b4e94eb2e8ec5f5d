"""The real server, the real engine, a real browser: what a viewer does with a page."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from tests.browser_path import find_browser

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path.stem for path in (ROOT / "pages").glob("*.py") if path.stem not in ("home", "library"))
SHORT = "dataset=moons&n_train=50&arms=l2&seeds=1"
# Half a minute a run on an idle machine, longer than what is done to it meanwhile; and some seconds. One worker
# leaves the other core of a small machine to the server and the browser.
LONG = "dataset=moons&n_train=400&batch_size=8&arms=l2&seeds=1&epochs=2000&width=64"
MIDDLE = "dataset=moons&n_train=100&batch_size=8&arms=l2&seeds=1&epochs=1000&width=64"
TRAIN = ".st-key-overfitting-main-train button"
STOP = ".st-key-overfitting-main-stop button"
CHARTS = "[data-testid=stVegaLiteChart] svg.marks"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Server:
    """A Streamlit server of its own with a store of its own."""

    def __init__(self, store: str, **environment: str):
        self.store = store
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "streamlit",
                "run",
                "app.py",
                "--server.port",
                str(self.port),
                "--server.address",
                "127.0.0.1",
            ],
            cwd=ROOT,
            env={**os.environ, "CONTRASTE_STORE": store, "CONTRASTE_WORKERS": "1", **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1)
                return
            except OSError:
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.1)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)


def processes(pattern: str, ancestor: int | None = None) -> list[int]:
    """List processes whose command line holds `pattern`, optionally only the descendants of one."""
    parents, lines = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                lines[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue

    def descends(pid: int) -> bool:
        while pid in parents and pid > 1:
            if pid == ancestor:
                return True
            pid = parents[pid]
        return False

    return [pid for pid, line in lines.items() if pattern in line and (ancestor is None or descends(pid))]


def wait_for(condition, seconds: float = 30, what: str = "the condition") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true in {seconds} s"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium on this machine: python -m core test installs one where it can")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    running = Server(f"sqlite:///{tmp_path_factory.mktemp('store') / 'results.sqlite'}")
    yield running
    running.close()


@contextmanager
def opened(browser: Browser, url: str, **context) -> Iterator[Page]:
    """Open a page in a context of its own, as another viewer would."""
    viewer = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "locale": "en-US", **context})
    page = viewer.new_page()
    page.set_default_timeout(30_000)
    page.goto(url)
    yield page
    viewer.close()


def wait_for_growth(page: Page) -> None:
    """Wait until the first chart has changed."""
    page.wait_for_selector(CHARTS)
    before = page.locator(CHARTS).first.evaluate("node => node.outerHTML")
    page.wait_for_function(f"text => document.querySelector('{CHARTS}')?.outerHTML !== text", arg=before)


def settled(page: Page) -> None:
    """Wait until the script run is over and no exception stands on the page."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    assert page.locator("[data-testid=stException]").count() == 0


@pytest.mark.parametrize("name", PAGES)
def test_deep_link_on_a_fresh_server_is_complete(name, browser, tmp_path):
    fresh = Server(f"sqlite:///{tmp_path / 'results.sqlite'}")
    try:
        with opened(browser, f"{fresh.url}/{name}") as page:
            page.wait_for_selector(CHARTS)
            settled(page)
            assert page.locator(CHARTS).count() >= 2
            expect(page.locator(".st-key-verdict")).to_contain_text(re.compile(r"\d"))
            assert page.locator(TRAIN.replace("overfitting", name)).count() == 0
            assert page.locator("[data-testid=stSidebarNavLink]").count() == 0, "the automatic navigation shows"
            assert not processes("core.engine.local", fresh.process.pid), "looking at stored results started a cluster"
    finally:
        fresh.close()


def test_every_chart_states_its_takeaway(browser, server):
    with opened(browser, f"{server.url}/overfitting") as page:
        page.wait_for_selector(CHARTS)
        settled(page)
        labels = page.locator("[data-testid=stVegaLiteChart] [aria-label]").evaluate_all(
            "nodes => nodes.map(n => n.getAttribute('aria-label'))"
        )
        assert len([text for text in labels if re.search(r"\d", text)]) >= page.locator(CHARTS).count()


def test_training_live_then_stored(browser, server):
    with opened(browser, f"{server.url}/overfitting?{SHORT}&epochs=60") as page:
        page.get_by_role("button", name="Train 2 runs").click()
        page.wait_for_selector("[data-testid=stProgress]")
        expect(page.locator("[data-testid=stProgress]")).to_have_count(0, timeout=90_000)
        settled(page)
        expect(page.locator(".st-key-verdict")).to_contain_text("One run each")
    with opened(browser, f"{server.url}/overfitting?{SHORT}&epochs=60") as page:
        page.wait_for_selector(CHARTS)
        settled(page)
        assert page.locator(TRAIN).count() == 0
        expect(page.locator(".st-key-verdict")).to_contain_text("One run each")


def test_live_chart_grows_in_place_survives_reload_is_shared_and_stops(browser, server):
    link = f"{server.url}/overfitting?{LONG}"
    with opened(browser, link) as page:
        page.get_by_role("button", name="Train 2 runs").click()
        expect(page.locator(".st-key-verdict")).to_contain_text("So far", timeout=60_000)
        wait_for_growth(page)  # the first change may still be the live chart taking the place of an earlier one
        wait_for_growth(page)
        page.locator(CHARTS).first.evaluate("node => { window.watched = node; }")
        wait_for_growth(page)
        assert page.evaluate(f"document.querySelector('{CHARTS}') === window.watched"), "the chart was replaced"

        page.reload()
        expect(page.locator(".st-key-verdict")).to_contain_text("So far", timeout=30_000)
        with opened(browser, link) as second:
            expect(second.locator(".st-key-verdict")).to_contain_text("So far", timeout=30_000)
            assert second.locator(TRAIN).count() == 0
            second.locator(STOP).first.click()
            expect(second.locator(".st-key-verdict")).to_contain_text("Partial", timeout=15_000)
        expect(page.locator(".st-key-verdict")).to_contain_text("Partial", timeout=15_000)
        expect(page.locator(TRAIN)).to_have_count(1)


def test_nets_write_while_they_train_and_the_prompt_travels_with_the_link(browser, server):
    query = "corpus=topics&n_train=10000&n_validation=1000&units=24&window=16&epochs=60&arms=l2&seeds=1"
    with opened(browser, f"{server.url}/rnn?{query}") as page:
        page.click(".st-key-rnn-main-train button")
        live = page.get_by_text("What the nets write by now")
        expect(live).to_be_visible(timeout=120_000)
        expect(page.get_by_text(re.compile(r"epoch \d+, [\d.]+ bits")).first).to_be_visible(timeout=60_000)
        expect(live).to_have_count(0, timeout=180_000)
        expect(page.get_by_text("Longest piece copied").first).to_be_visible()
        page.get_by_role("textbox", name="Prompt").fill("class ")
        page.keyboard.press("Enter")
        expect(page.locator(".written b").first).to_have_text("class ")
        wait_for(lambda: parse_qs(urlsplit(page.url).query).get("prompt") == ["class "], what="the prompt in the link")
        link = page.url
    with opened(browser, link) as page:
        expect(page.locator(".written b").first).to_have_text("class ")
        expect(page.locator(".st-key-rnn-main-train")).to_have_count(0)


def test_leaving_and_returning_finds_the_run(browser, server):
    with opened(browser, f"{server.url}/overfitting?{LONG}&l2=0.03") as page:
        page.get_by_role("button", name="Train 2 runs").click()
        expect(page.locator(".st-key-verdict")).to_contain_text("So far", timeout=60_000)
        page.get_by_role("link", name="Contraste").click()
        page.wait_for_selector("text=an honest verdict")
        page.get_by_role("link", name="Overfitting", exact=True).click()
        expect(page.locator(".st-key-verdict")).to_contain_text("So far", timeout=30_000)
        page.locator(STOP).first.click()
        expect(page.locator(".st-key-verdict")).to_contain_text("Partial", timeout=15_000)


def test_killed_worker_is_replaced(browser, server):
    with opened(browser, f"{server.url}/overfitting?{LONG}&l2=0.1&epochs=1500&seeds=1") as page:
        settled(page)
        warning = page.locator("[data-testid=stAlert]")
        expect(warning).not_to_have_count(0)  # `epochs` and `seeds` stand twice in this link
    with opened(browser, f"{server.url}/overfitting?{MIDDLE}&l2=0.1") as page:
        page.get_by_role("button", name="Train 2 runs").click()
        expect(page.locator(".st-key-verdict")).to_contain_text("So far", timeout=60_000)
        cluster = processes("core.engine.local", server.process.pid)
        workers = [pid for pid in processes("spawn_main", cluster[0]) if pid != cluster[0]]
        os.kill(workers[0], signal.SIGKILL)
        expect(page.locator("[data-testid=stProgress]")).to_have_count(0, timeout=120_000)
        settled(page)
        expect(page.locator(".st-key-verdict")).to_contain_text("One run each")


def test_killed_server_leaves_no_process(browser, tmp_path):
    doomed = Server(f"sqlite:///{tmp_path / 'results.sqlite'}")
    with opened(browser, f"{doomed.url}/overfitting?{LONG}") as page:
        page.get_by_role("button", name="Train 2 runs").click()
        expect(page.locator(".st-key-verdict")).to_contain_text("So far", timeout=60_000)
        cluster = processes("core.engine.local", doomed.process.pid)
        family = cluster + processes("spawn_main", cluster[0])
        assert len(family) >= 2
        doomed.process.kill()
        doomed.process.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), 20, "the end of every child process")


def test_link_round_trip_back_button_and_presets(browser, server):
    with opened(browser, f"{server.url}/overfitting") as page:
        page.wait_for_selector(CHARTS)
        settled(page)
        assert not urlsplit(page.url).query, "the default settings leave the address bare"
        verdict = page.locator(".st-key-verdict").inner_text()
        page.get_by_role("button", name="Breast cancer").click()
        page.wait_for_url("**dataset=breast_cancer**")
        expect(page.locator(".st-key-verdict")).not_to_have_text(verdict)
        settled(page)
        other = page.locator(".st-key-verdict").inner_text()
        page.get_by_role("button", name="Link").click()
        address = page.locator("[data-testid=stPopoverBody] [data-testid=stCode] code").inner_text().replace("\n", "")
        assert {"dataset", "epochs", "v", "smoothing"} <= set(parse_qs(urlsplit(address).query))
        with opened(browser, address) as second:
            expect(second.locator(".st-key-verdict")).to_have_text(other)
        page.keyboard.press("Escape")
        page.go_back()
        expect(page.locator(".st-key-verdict")).to_have_text(verdict)


def test_spanish_by_the_browser_and_by_the_switch(browser, server):
    with opened(browser, f"{server.url}/overfitting", locale="es-MX") as page:
        page.wait_for_selector(CHARTS)
        settled(page)
        expect(page.locator(".st-key-verdict")).to_contain_text("95 %".replace(" ", "\u00a0"))
        page.get_by_role("tab", name="Cómo se mide").click()  # a rerun of the fragment alone stays Spanish
        expect(page.get_by_role("tabpanel")).to_contain_text("Semillas pareadas")
        expect(page.locator(".st-key-verdict")).to_contain_text("95 %".replace(" ", "\u00a0"))
        page.get_by_text("English", exact=True).click()
        expect(page.locator(".st-key-verdict")).to_contain_text("95% interval")
        assert "lang=en" in page.url


def test_offline_page_and_archive_leave_by_the_page(browser, server, tmp_path):
    with opened(browser, f"{server.url}/overfitting", accept_downloads=True, locale="es-ES") as page:
        page.wait_for_selector(CHARTS)
        settled(page)
        page.get_by_role("button", name="Descargar", exact=True).click()
        files = {}
        buttons = page.locator("[data-testid=stPopoverBody] [data-testid=stDownloadButton] button")
        expect(buttons).to_have_count(3)
        page.get_by_role("button", name="Preparar el archivo .keras").click()
        expect(buttons).to_have_count(4, timeout=60_000)
        for button in buttons.all():
            with page.expect_download() as download:
                button.click()
            name = download.value.suggested_filename
            files[Path(name).suffix] = tmp_path / name
            download.value.save_as(tmp_path / name)
        assert set(files) == {".html", ".zip", ".py", ".keras"}
        assert zipfile.is_zipfile(files[".zip"])
        with zipfile.ZipFile(files[".keras"]) as net:
            assert {"config.json", "model.weights.h5"} <= set(net.namelist())
        offline = page.context.new_page()
        page.context.set_offline(True)
        offline.goto(files[".html"].as_uri())
        offline.wait_for_selector("figure svg.marks")
        assert offline.locator("figure svg.marks").count() == 2
        assert "parada temprana" in offline.locator(".verdict").inner_text()


def test_own_file_is_read_trained_and_shared_and_a_bad_one_is_a_sentence(browser, server, tmp_path):
    rows = [f"{i % 7},{i * i % 11},{'no' if i % 3 else 'yes'}" for i in range(160)]
    (tmp_path / "good.csv").write_text("\n".join(["first,second,answer", *rows]))
    (tmp_path / "bad.csv").write_bytes(b"\x89PNG\r\n" + bytes(range(256)) * 9)
    with opened(browser, f"{server.url}/overfitting?arms=l2&seeds=2&epochs=20&n_train=50") as page:
        settled(page)
        page.locator(".st-key-overfitting--own button").click()
        page.locator("input[type=file]").set_input_files(tmp_path / "bad.csv")
        dialog = page.get_by_role("dialog")
        expect(dialog.locator("[data-testid=stAlert]")).to_contain_text("binary file")
        page.locator("[data-testid=stFileChipDeleteBtn] button, [data-testid=stFileUploaderDeleteBtn] button").click()
        page.locator("input[type=file]").set_input_files(tmp_path / "good.csv")
        expect(dialog).to_contain_text("160 rows, 2 inputs")
        page.locator(".st-key-own-use button").click()
        page.wait_for_url("**dataset=own-**")
        page.locator(TRAIN).click()
        expect(page.locator(".st-key-quiet")).to_contain_text("good.csv → answer", timeout=90_000)
        expect(page.locator("[data-testid=stProgress]")).to_have_count(0, timeout=90_000)
        settled(page)
        with opened(browser, page.url) as second:
            expect(second.locator(".st-key-quiet")).to_contain_text("good.csv → answer")
            assert second.locator(TRAIN).count() == 0
        link = urlsplit(page.url)
    fresh = Server(server.store)  # its first visitor comes by the link
    try:
        with opened(browser, f"{fresh.url}{link.path}?{link.query}") as page:
            expect(page.locator(".st-key-quiet")).to_contain_text("good.csv → answer")
    finally:
        fresh.close()


def test_trained_comparison_stands_in_the_library_opens_by_a_click_and_is_deleted(browser, tmp_path):
    kept = Server(f"sqlite:///{tmp_path / 'results.sqlite'}", CONTRASTE_DELETE="yes")
    try:
        with opened(browser, f"{kept.url}/overfitting?{SHORT}&epochs=7") as page:
            page.get_by_role("button", name="Train 2 runs").click()
            expect(page.locator(".st-key-verdict")).to_contain_text("One run each", timeout=90_000)
            expect(page.locator("[data-testid=stProgress]")).to_have_count(0, timeout=30_000)
            page.get_by_role("link", name="Library", exact=True).click()
            row = page.locator("[class*=st-key-library-row-]").first
            expect(row).to_contain_text("2 runs, complete")
            expect(row).to_contain_text("trained here")
            settled(page)
            row.get_by_role("link").click()
            page.wait_for_url("**/overfitting?**epochs=7**")
            expect(page.locator(".st-key-verdict")).to_contain_text("One run each")
            assert parse_qs(SHORT).items() <= parse_qs(urlsplit(page.url).query).items()
            assert page.locator(TRAIN).count() == 0

            page.get_by_role("link", name="Library", exact=True).click()
            expect(row).to_contain_text("trained here")
            settled(page)
            row.locator("[data-testid=stCheckbox] label").click()
            page.locator(".st-key-library-delete button:visible").click()
            expect(page.get_by_role("dialog")).to_contain_text("2 stored runs go.")
            page.locator(".st-key-library-confirm button:visible").click()
            expect(page.get_by_text("Deleted: 1 comparison, 2 runs.")).to_be_visible()
            expect(page.get_by_role("dialog")).to_have_count(0)
            expect(row).not_to_contain_text("trained here")
            settled(page)
    finally:
        kept.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_library_opens_on_a_fresh_server_and_nothing_is_cut(width, scheme, browser, tmp_path):
    fresh = Server(f"sqlite:///{tmp_path / 'results.sqlite'}", CONTRASTE_DELETE="no")
    try:
        with opened(
            browser, f"{fresh.url}/library", viewport={"width": width, "height": 720}, color_scheme=scheme
        ) as page:
            page.wait_for_selector("[class*=st-key-library-row-]")
            settled(page)
            assert page.locator("[data-testid=stMain]").evaluate("node => node.scrollWidth <= node.clientWidth + 1")
            assert page.locator(".st-key-library-delete").count() == 0, "the operator lets nobody delete"
    finally:
        fresh.close()


def turn(page: Page, screen: int) -> None:
    """Press the arrow key until its screen is there: a key that is pressed while a script runs is lost."""
    for _attempt in range(4):
        settled(page)
        page.keyboard.press("ArrowRight")
        try:
            page.wait_for_selector(f"text={screen} / 8", timeout=8_000)
        except PlaywrightTimeoutError:
            continue
        settled(page)
        return
    raise AssertionError(f"screen {screen} did not come")


def test_presentation_turns_with_the_arrow_keys(browser, server):
    with opened(browser, f"{server.url}/overfitting?present=true&screen=1&embed=true") as page:
        page.wait_for_selector("text=1 / 8")
        for screen in range(2, 9):
            turn(page, screen)
        expect(page.locator("[data-testid=stImage] img")).to_have_count(1)  # the QR code of the link
        page.get_by_role("button", name="Leave the presentation").click()
        expect(page.get_by_role("button", name="Present")).to_be_visible()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "dark")])
def test_nothing_is_cut(width, scheme, browser, server):
    size = {"width": width, "height": 720}
    with opened(browser, f"{server.url}/overfitting", viewport=size, color_scheme=scheme) as page:
        page.wait_for_selector(CHARTS)
        settled(page)
        main = page.locator("[data-testid=stMain]")
        assert main.evaluate("node => node.scrollWidth <= node.clientWidth + 1")
        if width == 1280:
            chart = page.locator(CHARTS).first.bounding_box()
            assert chart is not None
            assert chart["y"] + chart["height"] <= 720, "title, verdict and chart share the first screen"


def test_no_network_is_one_sentence(browser, tmp_path):
    offline = Server(
        f"sqlite:///{tmp_path / 'results.sqlite'}",
        KERAS_HOME=str(tmp_path / "keras"),
        HTTPS_PROXY="http://127.0.0.1:9",
        https_proxy="http://127.0.0.1:9",
    )
    try:
        with opened(browser, f"{offline.url}/overfitting?dataset=mnist&arms=l2&seeds=1&epochs=2") as page:
            page.get_by_role("button", name="Train 2 runs").click()
            expect(page.locator("[data-testid=stAlert]").filter(has_text="could not be downloaded")).to_be_visible(
                timeout=90_000
            )
            settled(page)
    finally:
        offline.close()
