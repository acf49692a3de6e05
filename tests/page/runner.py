"""Runs tests of a page in browsers side by side: most of the time each of them waits."""
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import browser
from checks import expect, expect_no_foreign_request, severe_lines

kWorkers = 2


def run_tests(tests, perform, is_usual):
    """`perform(driver, test)` does one of `tests`, pairs of a name and a test. What a browser then says of failures is an error,
    but for lines that `is_usual(name, line)`. Exits with 1 if any failed, when all are done."""
    left, failed = iter(tests), []

    def done(driver, name, test):
        begun = time.monotonic()
        perform(driver, test)
        expect_no_foreign_request(driver)
        expect([line for line in severe_lines(driver) if not is_usual(name, line)], [])
        print(f"{name}: {time.monotonic() - begun:.1f} s", flush=True)

    def work():
        driver = browser.start()
        try:
            for name, test in left:   # those that nobody else has taken yet
                try:
                    done(driver, name, test)
                except Exception:
                    failed.append(name)
                    print(f"{name}: {traceback.format_exc()}", flush=True)
        finally:
            driver.quit()

    with ThreadPoolExecutor(kWorkers) as workers:
        for worker in [workers.submit(work) for _ in range(kWorkers)]:
            worker.result()
    if failed:
        sys.exit("failed: " + ", ".join(failed))
