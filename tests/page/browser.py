"""The server's page in a headless Chromium, as its reader meets it. Exits with 77, which CTest takes for skipped, where
Selenium (Debian's python3-selenium), Chromium or its driver are not installed."""
import base64
import importlib.util
import json
import os
import pathlib
import shutil
import socket
import sys
import time

try:
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.chrome.service import Service
except ImportError:
    sys.exit(77)

kPatience = 40   # s
kSizes = {"desktop": (1280, 800, False), "phone": (390, 844, True), "landscape": (844, 390, True), "zoomed": (320, 200, False)}


def axe_script():
    """axe-core, an accessibility checker, of a package from PyPI or the file that $FVLM_AXE names; None if there is none."""
    files = [pathlib.Path(os.environ["FVLM_AXE"])] if "FVLM_AXE" in os.environ else []
    for package in ["axe_playwright_python", "axe_core_python", "axe_selenium_python"]:
        if found := importlib.util.find_spec(package):
            files += pathlib.Path(found.origin).parent.rglob("axe.min.js")
    return files[0].read_text() if files else None


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(blocks_storage=False):
    """A browser with a camera that shows a test pattern, and may be used without asking."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        sys.exit(77)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in ["--headless=new", "--no-sandbox", "--use-fake-device-for-media-stream=device-count=2",
                 "--use-fake-ui-for-media-stream", "--disable-dev-shm-usage", "--lang=en",
                 "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync"]:
        options.add_argument(flag)
    options.page_load_strategy = "eager"   # modules have run by then, and tests wait for what they look at
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if blocks_storage:
        options.add_experimental_option("prefs", {"profile.default_content_setting_values.cookies": 2})
    return webdriver.Chrome(service=Service(driver), options=options)


class Page:
    """The page at an address, opened anew with nothing kept from before. `before` is a script that runs first."""

    def __init__(self, browser, address, size="desktop", language="en", dark=False, before=""):
        self.browser, self.address = browser, address
        self.resize(size, dark)
        agent = browser.execute_script("return navigator.userAgent")
        self.cdp("Network.setUserAgentOverride", userAgent=agent, acceptLanguage=language)
        browser.get("about:blank")
        self.cdp("Storage.clearDataForOrigin", origin="/".join(address.split("/")[:3]), storageTypes="all")
        script = self.cdp("Page.addScriptToEvaluateOnNewDocument", source=before)["identifier"] if before else None
        browser.get(address)
        browser.execute_script("try { sessionStorage.clear(); } catch {}")
        if script:
            self.cdp("Page.removeScriptToEvaluateOnNewDocument", identifier=script)

    def resize(self, size="desktop", dark=False):
        width, height, touch = kSizes[size]
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.cdp("Emulation.setTouchEmulationEnabled", enabled=touch)
        self.cdp("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "pointer", "value": "coarse" if touch else "fine"}])

    def cdp(self, command, **parameters):
        return self.browser.execute_cdp_cmd(command, parameters)

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def module(self, script):
        """What an asynchronous script returns that may import the page's modules."""
        return self.browser.execute_async_script(
            "const done = arguments[0]; (async () => {" + script + "})().then(done, (e) => done('error: ' + e));")

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def click(self, selector):
        self.find(selector).click()

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def type(self, words):
        self.run("const p = document.getElementById('prompt'); p.value = arguments[0]; p.dispatchEvent(new Event('input'))", words)

    def escape(self):
        webdriver.ActionChains(self.browser).send_keys(Keys.ESCAPE).perform()

    def choose(self, selector, *files):
        self.find(selector).send_keys("\n".join(str(pathlib.Path(file).resolve()) for file in files))

    def wait(self, condition, what):
        """Until `condition()` is true; its value."""
        end = time.monotonic() + kPatience
        while not (value := condition()):
            if time.monotonic() > end:
                raise AssertionError(f"{what}: not within {kPatience} s; the page says: {self.text('body')}")
            time.sleep(0.05)
        return value

    def wait_for_text(self, selector, words):
        self.wait(lambda: words in self.text(selector), f"{words!r} in {selector}")

    def wait_for_state(self, *kinds):
        self.wait(lambda: self.find("#state").get_attribute("data-state") in kinds, " or ".join(kinds))

    def ready(self):
        self.wait(lambda: self.text("#model"), "the model")
        return self

    def screenshot(self, path):
        picture = self.cdp("Page.captureScreenshot", format="png")
        pathlib.Path(path).write_bytes(base64.b64decode(picture["data"]))

    def violations(self, axe):
        """What axe-core finds wrong, one line each."""
        self.run(axe)
        found = self.browser.execute_async_script(
            "const done = arguments[0]; axe.run(document, { resultTypes: ['violations'] }).then((r) => done(JSON.stringify(r.violations)));")
        return [f"{rule['id']}: {node['html'][:160]} {node['failureSummary']}" for rule in json.loads(found) for node in rule["nodes"]]
