"""Runs tests of a page in browsers side by side: most of the time each of them waits."""
import time
from concurrent.futures import ThreadPoolExecutor

import browser
from checks import expect, expect_no_foreign_request, severe_lines

kWorkers = 2


def run_tests(tests, perform, is_usual):
    """`perform(driver, test)` does one of `tests`, pairs of a name and a test. What a browser then says of failures is an error,
    but for lines that `is_usual(name, line)`."""
    left = iter(tests)

    def work():
        driver = browser.start()
        try:
            for name, test in left:   # those that nobody else has taken yet
                begun = time.monotonic()
                perform(driver, test)
                expect_no_foreign_request(driver)
                expect([line for line in severe_lines(driver) if not is_usual(name, line)], [])
                print(f"{name}: {time.monotonic() - begun:.1f} s", flush=True)
        finally:
            driver.quit()

    with ThreadPoolExecutor(kWorkers) as workers:
        for done in [workers.submit(work) for _ in range(kWorkers)]:
            done.result()
