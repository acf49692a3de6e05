"""What the tests of both pages check alike."""
import browser


def check(condition, *what):
    if not condition:
        raise AssertionError(" ".join(map(str, what)))


def expect(found, wanted):
    check(found == wanted, f"expected {wanted!r}, found {found!r}")


def expect_fits(page, what):
    """Nothing leads out of the window, and what is touched is large enough."""
    beyond = page.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    expect((what, beyond), (what, 0))
    small = page.run("""
        return [...document.querySelectorAll('button, .button, label.check, summary, select, textarea, input:not(.file, [type=checkbox])')]
            .filter((e) => e.checkVisibility()).map((e) => [e.id || e.innerText, e.getBoundingClientRect()])
            .filter(([, box]) => box.width > 0 && (box.height < 43.9 || box.width < 43.9)).map(([name, box]) => `${name} ${box.width} x ${box.height}`)""")
    expect((what, small), (what, []))


def expect_no_foreign_request(driver):
    expect(driver.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)"
                                 ".filter((n) => !n.startsWith(location.origin) && !/^(blob|data):/.test(n))"), [])


def accessible(name, axe, states):
    """A test of a state in two looks."""
    page = getattr(states, name)(language="en")
    for look in [{"size": "desktop"}, {"size": "phone", "dark": True}]:
        page.resize(**look)
        expect((name, look, page.violations(axe)), (name, look, []))


def expect_same_texts(page, file, but=()):
    """Both languages have all texts, but those in groups that one does without."""
    expect(page.module("const { texts } = await import('./static/" + file + "'); const but = " + repr(list(but)) + """;
        const names = (all) => Object.entries(all).flatMap(([name, value]) =>
            [name + ':' + typeof value, ...(typeof value === 'object' && !but.includes(name) ? names(value) : [])]);
        const missing = (from, to) => names(from).filter((name) => !names(to).includes(name));
        return missing(texts.en, texts.zh).concat(missing(texts.zh, texts.en));"""), [])


def severe_lines(driver):
    """What the browser said of files that were not there, of scripts that failed and of what the policy forbids."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def axe_or_none():
    axe = browser.axe_script()
    if axe is None:
        print("axe-core is not installed: accessibility is not checked")
    return axe
