"""Each state of the page, by name: brings a fresh page there. For the test and for pictures of it."""
import pathlib

from browser import Page

kSlow = pathlib.Path(__file__).with_name("slow_server.js").read_text()
kImages = pathlib.Path(__file__).parents[2] / "tools/demo/images"
kLong = """The picture shows **two shapes**:

- a large black `square` on the left
- a large purple *ring* on the right

```
[{"name": "square", "count": 1},
 {"name": "ring", "count": 1}]
```
Nothing else is there."""


def camera_fails(name):
    """Before the page's scripts: the browser refuses its camera."""
    return (f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', '{name}'));" if name else
            "Object.defineProperty(navigator, 'mediaDevices', { value: undefined });")


class States:
    def __init__(self, browser, address, program=None, model=None):
        self.browser, self.address, self.program, self.model = browser, address, program, model

    def open(self, before="", **look):
        return Page(self.browser, self.address, before=before, **look)

    def first(self, **look):
        return self.open(**look).ready()

    def answered(self, **look):
        page = self.first(**look)
        page.click("#samples button")
        page.wait(lambda: page.all(".turn[data-state=answered]"), "an answer")
        return page

    def conversation(self, **look):
        page = self.slow(text=kLong, **look)
        page.click("#samples button")
        page.wait(lambda: page.all(".turn[data-state=answered]"), "an answer")
        page.choose("#add", kImages / "0007.jpg")
        page.wait(lambda: page.all("#strip li"), "two pictures")
        page.type("What is different between the pictures?")
        page.run("window.slow.text = 'One has stars, the other a square and a ring.'")
        page.click("#go")
        page.wait(lambda: len(page.all(".turn[data-state=answered]")) == 2, "two answers")
        return page

    def slow(self, before="", **settings):
        look = {key: settings.pop(key) for key in ("size", "language", "dark") if key in settings}
        values = "".join(f"window.slow.{key} = {value!r};" for key, value in settings.items())
        return self.open(before=kSlow + values + before, **look).ready()

    def looking(self, **look):
        page = self.slow(first=60000, **look)
        page.click("#samples button")
        page.wait_for_state("looking")
        return page

    def writing(self, **look):
        page = self.slow(piece=120, text="The picture shows " + "a large black square and a ring, " * 40, **look)
        page.click("#samples button")
        page.wait_for_text("#state", "/s")
        return page

    def stopped(self, **look):
        page = self.writing(**look)
        page.escape()
        page.wait_for_state("stopped")
        return page

    def busy(self, **look):
        page = self.slow(busy=1000, **look)
        page.click("#samples button")
        page.wait(lambda: page.run("return window.slow.times.length") > 2, "it is asked again")
        page.wait_for_state("waiting")
        return page

    def gone(self, **look):
        page = self.slow(**look)
        page.click("#samples button")
        page.wait(lambda: page.all(".turn[data-state=answered]"), "an answer")
        page.run("window.slow.gone = true")
        page.click("#go")
        page.wait(lambda: page.text("#trouble"), "what is wrong")
        return page

    def locked(self, **look):
        page = self.slow(**look)
        page.run("window.slow.locked = true")
        page.click("#samples button")
        page.wait(lambda: page.all("#key-dialog[open]"), "the dialog")
        return page

    def failed(self, **look):
        page = self.first(**look)
        page.type("long " * 1500)
        page.click("#samples button")
        page.wait_for_state("error")
        return page

    def live(self, **look):
        page = self.first(**look)
        page.run("for (const e of ['interval', 'overlay']) { const f = document.getElementById(e);"
                 " if (e === 'interval') f.value = '0.5'; else f.click(); }")
        page.click("#start-camera")
        page.wait(lambda: len(page.text(".turn .answer")) > 3, "a caption")
        page.wait_for_text("#state", "每秒" if look.get("language") == "zh-CN" else "/s")
        return page

    def paused(self, **look):
        page = self.live(**look)
        page.escape()
        page.wait_for_state("paused")
        return page

    def denied(self, **look):
        return self.camera("NotAllowedError", **look)

    def insecure(self, **look):
        return self.camera("", **look)

    def camera(self, error, **look):
        page = self.open(before=camera_fails(error), **look).ready()
        page.click("#start-camera")
        page.wait(lambda: page.text("#trouble"), "what is wrong")
        return page

    def presets(self, **look):
        page = self.first(**look)
        page.run("document.getElementById('edit-presets').click()")
        page.wait(lambda: page.all("#presets-dialog[open]"), "the dialog")
        return page

    def undo(self, **look):
        page = self.answered(**look)
        page.wait(lambda: page.all("#history li"), "the history")
        page.run("document.querySelector('#history .cross').click()")
        page.wait(lambda: page.text("#toast"), "undo")
        return page


kStates = ["first", "answered", "conversation", "looking", "writing", "stopped", "busy", "gone", "locked", "failed", "live", "paused",
           "denied", "insecure", "presets", "undo"]
