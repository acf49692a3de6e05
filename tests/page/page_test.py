#!/usr/bin/env python3
"""The server's page in a real browser, with the demo model: what it promises to its reader, in each state.

    page_test.py FASTVLM MODEL

Exits with 77, which CTest takes for skipped, where no browser can be driven (browser.py). With axe-core (from PyPI: axe-playwright-python)
each state is checked for accessibility, too.
"""
import json
import pathlib
import sys
import tempfile
from functools import partial

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "net/service"))
import browser
from browser import Page, free_port, kSizes, webdriver
from checks import accessible, axe_or_none, check, expect, expect_fits, expect_same_texts
from demo_server import serving
from runner import run_tests
from states import States, camera_fails, kImages, kStates

kTroubles = ["gone_server", "wanted_key"]   # whose failed requests the browser tells of
kRing = "A large black square to the left of a large purple ring."


def answers(page):
    return page.run("return [...document.querySelectorAll('.turn .answer')].map((e) => e.innerText)")


def focused(page):
    return page.run("return document.activeElement.id")


def type_keys(page, keys):
    """Where the focus is."""
    webdriver.ActionChains(page.browser).send_keys(keys).perform()


# Answers -----------------------------------------------------------------------------------------
def first_screen(states):
    page = states.first(language="en")
    check(not page.find("#go").is_enabled(), "Ask can be pressed without a picture")
    check("picture" in page.text("#reason"), "no reason why not")
    for words in ["demo", "cpu", "bf16", "shapes"]:
        check(words in page.text("#model"), words, "is not on the page")
    page.click("#samples button")
    page.wait_for_text(".answer", kRing)
    page.wait_for_text(".figures-line", "total")
    check(page.find("#go").is_enabled(), "Ask cannot be pressed with a picture")
    type_keys(page, "How many things are there?\n")   # in place of what stands there
    page.wait(lambda: len(page.all(".turn[data-state=answered]")) == 2, "an answer to what was typed")
    type_keys(page, "What does the text say?\n")
    page.wait(lambda: len(page.all(".turn[data-state=answered]")) == 3, "an answer to what was typed")
    expect(page.run("return [...document.querySelectorAll('.question')].map((e) => e.innerText)"),
           ["Describe the image.", "How many things are there?", "What does the text say?"])
    page.type("")
    check("question" in page.text("#reason"), "no reason without a question")


def follow_ups_and_pictures(states):
    page = states.slow(language="en")
    page.click("#samples button")
    page.wait_for_text(".answer", kRing)
    page.run("document.getElementById('follow-up').click()")
    page.type("What colour is the ring?\nOne word.")
    page.click("#go")
    page.wait(lambda: len(answers(page)) == 2 and page.find("#state").get_attribute("data-state") == "idle", "a second answer")
    messages = page.run("return window.slow.bodies[1].messages")
    expect([message["role"] for message in messages], ["user", "assistant", "user"])
    expect([part["type"] for part in messages[0]["content"]], ["image_url", "text"])
    expect(messages[1]["content"], kRing)
    expect(messages[2]["content"], [{"type": "text", "text": "What colour is the ring?\nOne word."}])
    page.choose("#add", kImages / "0001.jpg", kImages / "0010.png")
    page.wait(lambda: len(page.all("#strip li")) == 3, "three pictures")
    page.click("#go")
    page.wait(lambda: len(answers(page)) == 3 and page.find("#state").get_attribute("data-state") == "idle", "a third answer")
    last = page.run("return window.slow.bodies[2].messages.at(-1).content.map((part) => part.type)")
    expect(last, ["image_url", "image_url", "text"])
    page.click("#strip li:last-child .cross")
    page.wait(lambda: len(page.all("#strip li")) == 2 and not page.all(".turn"), "one picture less, and a new conversation")
    page.wait_for_text("#toast", "new conversation begins")
    page.click("#undo")
    page.wait(lambda: len(page.all("#strip li")) == 3 and len(page.all(".turn")) == 3, "the picture and the conversation again")
    page.click(".below summary")
    right = page.run("return ['#new', '.below'].map((s) => document.querySelector(s).getBoundingClientRect().right)")
    check(right[1] - right[0] < 10, "the new conversation is elsewhere with the settings open:", right)


def dropped_and_pasted(states):
    page = states.first(language="en")
    event = """
        const blob = await (await fetch('static/0007.jpg')).blob(), data = new DataTransfer();
        data.items.add(new File([blob], 'x.jpg', { type: 'image/jpeg' }));
        const options = { bubbles: true, cancelable: true };
        return !document.body.dispatchEvent(KIND);"""
    check(page.module(event.replace("KIND", "new DragEvent('drop', { ...options, dataTransfer: data })")), "the browser would open it")
    page.wait_for_text(".answer", "Three large yellow stars.")
    page.click("#new")
    page.wait(lambda: not page.all(".turn"), "a new conversation")
    page.module(event.replace("KIND", "new ClipboardEvent('paste', { ...options, clipboardData: data })"))
    page.wait_for_text(".answer", "Three large yellow stars.")


def stopping(states):
    page = states.writing(language="en")
    expect(page.text("#go"), "Stop")
    expect(page.find("#go").get_attribute("title"), "Stop (Escape)")
    page.click("#go")
    page.wait_for_state("stopped")
    expect(page.text("#go"), "Ask")
    expect(page.find("#go").get_attribute("title"), "")
    page.wait_for_text("#spoken", "Stopped")
    page.wait_for_text(".turn-tools", "Ask again")
    page.run("window.slow.text = ''")
    page.run("[...document.querySelectorAll('.turn-tools button')].at(-1).click()")
    page.wait_for_text(".answer", kRing)
    expect(len(answers(page)), 1)
    page.wait_for_text("#spoken", kRing)


def busy_server(states):
    page = states.busy(language="en")
    page.wait_for_text("#state", "trying again in")
    first, second, third = page.run("return window.slow.times.slice(0, 3)")
    check(second - first > 350 and third - second > 700, f"a busy server is asked after {second - first:.0f} and {third - second:.0f} ms")
    page.run("window.slow.busy = 0")
    page.click("#go")
    page.wait_for_state("stopped")
    page.click("#go")
    page.wait_for_text(".turn:last-child .answer", kRing)


def markdown(page):
    html = page.module("""
        const { toNodes } = await import('./static/markdown.js');
        const box = document.createElement('div');
        box.append(...toNodes(arguments_text));
        return box.innerHTML;""".replace("arguments_text", json.dumps(
        "# Two *things*\na < b & <img src=x onerror=alert(1)>\n1. **one**\n2. `<b>`\n\n- x_y_z 2*3*4 *a* **b c**\n```js\n*not* this\n```\nend")))
    expect(html, "<p><strong>Two <em>things</em></strong></p><p>a &lt; b &amp; &lt;img src=x onerror=alert(1)&gt;</p>"
                 "<ol start=\"1\"><li><strong>one</strong></li><li><code>&lt;b&gt;</code></li></ol><ul><li>x_y_z 2*3*4 <em>a</em> <strong>b c</strong></li></ul>"
                 "<pre tabindex=\"0\"><code>*not* this</code></pre><p>end</p>")


def pace(page):
    expect(page.module("""
        const { Pace } = await import('./static/pace.js');
        const shown = [];
        const pace = new Pace((text) => shown.push(text), 60000);
        for (let i = 0; i < 100; ++i) pace.say(i);
        pace.stop();
        const soon = new Pace((text) => shown.push(text), 20);
        soon.say('a'), soon.say('b'), soon.say('c');
        await new Promise((done) => setTimeout(done, 100));
        return shown;"""), [0, "a", "c"])


def figures(page):
    expect(page.module("""
        const { duration, tokensPerSecond } = await import('./static/figures.js');
        return [0.2, 999, 1234, 12345, 61000].map(duration).concat(
            tokensPerSecond({ tokens: 11, ttft: 100, total: 3100 }), tokensPerSecond({ tokens: 1, ttft: 5, total: 5 }), tokensPerSecond({ tokens: 9, ttft: 5, total: 6 }));"""),
           ["< 1 ms", "999 ms", "1.23 s", "12.3 s", "1 min 1 s", "3.3", None, None])


def spreadsheet(page):
    csv = page.module("""
        const { toCsv } = await import('./static/exports.js');
        const evil = { id: 0, model: 'm', live: true, pictures: [], turns: [{ question: '@SUM(1)', captions: [
            { when: 0, text: '=1+1, "x"\\ny', ttft: 1.5, total: 2.04000001, tokens: -3 }] }] };
        return toCsv([evil]);""")
    expect(csv, "\ufefftime,kind,model,question,answer,state,first_token_ms,total_ms,tokens\r\n"
                "1970-01-01T00:00:00.000Z,live,m,'@SUM(1),\"'=1+1, \"\"x\"\"\ny\",,1.5,2,-3\r\n")


def modules(states):
    """Those that need nothing of the page."""
    page = states.first(language="en")
    for of_module in [markdown, pace, figures, spreadsheet]:
        of_module(page)


# The camera --------------------------------------------------------------------------------------
def live_captions(states):
    page = states.live(language="en")
    check("Live" in page.text("#state"), page.text("#state"))
    check(page.find("#caption").is_displayed(), "the caption is not on the picture")
    expect(page.text("#go"), "Stop")
    page.type("How many things are there?")
    expect(page.text("#go"), "Ask")
    page.click("#go")
    page.wait_for_text(".turn .question", "How many")
    page.wait(lambda: page.text(".turn .answer"), "a caption")
    page.escape()
    page.wait_for_state("paused")
    page.wait_for_text("#spoken", "paused")
    expect(len(page.all(".turn")), 1)
    # Paused, a question is about one frame.
    page.type("What does the text say?")
    page.click("#go")
    page.wait(lambda: page.text(".turn .answer") not in ("", "…"), "an answer about a frame")
    page.wait_for_state("paused")
    page.run("document.querySelector('.fold[data-for=camera]').open = true")
    options = page.run("return [...document.getElementById('which-camera').options].map((o) => o.value)")
    expect(len(options), 2)
    page.run("const c = document.getElementById('which-camera'); c.value = arguments[0]; c.dispatchEvent(new Event('change'))", options[1])
    page.wait(lambda: page.run("return document.getElementById('camera').srcObject?.getVideoTracks()[0].getSettings().deviceId") == options[1],
              "the other camera")
    page.click("#mirror")
    check(page.run("return getComputedStyle(document.getElementById('camera')).transform") != "none", "it is not mirrored")
    page.click("#pause")
    page.wait_for_state("live")
    page.click("#full")
    page.wait(lambda: page.run("return document.fullscreenElement?.id") == "frame", "the full screen")
    page.escape()   # is for the full screen
    expect(page.text("#pause"), "Pause")
    page.run("return document.exitFullscreen()")
    page.click("#shot")
    page.wait(lambda: page.find("#frame").get_attribute("data-mode") == "still", "the picture that is kept")
    page.wait(lambda: page.all(".turn[data-state=answered]"), "an answer about it")
    expect(focused(page), "prompt")
    page.click("#camera-again")
    page.wait_for_state("live")
    page.wait(lambda: page.all(".turn[data-state=answered]"), "a caption")
    page.click("#stop-camera")
    expect(page.find("#frame").get_attribute("data-mode"), "empty")
    expect(focused(page), "start-camera")
    page.wait(lambda: len(page.all("#history li")) >= 3, "what was said is in the history")


def unchanged_frames(states):
    """A camera that shows one picture over and over: its frames are answered without the model."""
    still = """
        navigator.mediaDevices.getUserMedia = async () => {
          const canvas = document.createElement('canvas');
          canvas.width = canvas.height = 256;
          const paint = () => { const c = canvas.getContext('2d'); c.fillStyle = '#ddd'; c.fillRect(0, 0, 256, 256); };
          paint();
          setInterval(paint, 50);
          return canvas.captureStream();
        };"""
    page = states.first(language="en")
    page.run(still)
    page.run("const i = document.getElementById('interval'); i.value = '0'; i.dispatchEvent(new Event('change'))")
    page.click("#start-camera")
    page.wait_for_text("#state", "unchanged")


def camera_troubles(states):
    page, said = states.first(language="en"), set()
    for error, words in [("NotAllowedError", "privacy settings"), ("NotFoundError", "Plug one in"), ("NotReadableError", "video call"),
                         ("TypeError", "another camera"), ("", "--tls-cert")]:
        page.run(camera_fails(error))
        page.click("#start-camera")
        page.wait_for_text("#trouble-advice", words)
        expect(page.find("#trouble").get_attribute("role"), "alert")
        said.add(page.text("#trouble"))
    expect(len(said), 5)
    page.choose("#file", pathlib.Path(__file__))
    page.wait_for_text("#trouble", "cannot be shown")


# What stays --------------------------------------------------------------------------------------
def history(states):
    page = states.answered(language="en")
    page.wait(lambda: page.all("#history li"), "an entry")
    page.browser.refresh()
    page.ready()
    page.wait(lambda: page.all("#history li"), "the entry after a reload")
    page.click("#history .entry")
    page.wait_for_text(".answer", kRing)
    page.wait_for_text(".figures-line", "total")
    expect(focused(page), "prompt")
    page.type("What colour is the ring?")
    page.click("#go")
    page.wait(lambda: len(answers(page)) == 2 and page.find("#state").get_attribute("data-state") == "idle", "a follow-up")
    expect(len(page.all("#history li")), 1)
    page.click("#clear")
    page.wait(lambda: not page.all("#history li"), "no history")
    page.click("#undo")
    page.wait(lambda: page.all("#history li"), "the history again")
    page.click("#history .cross")
    page.wait(lambda: not page.all("#history li"), "no history")
    expect(focused(page), "undo")
    page.click("#toast-close")
    expect(focused(page), "history-title")
    page.browser.refresh()
    page.ready()
    expect(page.all("#history li"), [])


def nothing_known_yet(states):
    """As long as neither browser nor server has answered, the page promises nothing."""
    page = states.open(before="indexedDB.open = () => ({}); window.fetch = () => new Promise((done) => { window.answer = done; });", language="en")
    page.wait_for_text("#state", "Looking for the server")
    check(not page.find("#history-unkept").is_displayed(), "the page says that the browser keeps nothing")
    dot = lambda: page.run("return getComputedStyle(document.getElementById('state'), '::before').backgroundColor")
    before = dot()
    page.run("window.answer(new Response(JSON.stringify({ data: [{ id: 'm', device: 'cpu', precision: 'bf16', max_completion_tokens: 9 }] })))")
    page.wait_for_text("#state", "Ready")
    check(dot() != before, "a server that is looked for looks like one that is there")


def exports(states):
    page = states.answered(language="en")
    page.wait(lambda: page.all("#history li"), "an entry")
    with tempfile.TemporaryDirectory() as folder:
        page.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=folder)
        page.click("#export-csv")
        page.click("#export-json")
        csv, whole = (pathlib.Path(folder, "fastvlm." + ending) for ending in ["csv", "json"])
        page.wait(lambda: csv.exists() and whole.exists(), "both files")
        check(f",question,demo,Describe the image.,{kRing},answered," in csv.read_text(encoding="utf-8-sig"), csv.read_text())
        [conversation] = json.loads(whole.read_text())
    [turn] = conversation["turns"]
    expect(turn["answer"], kRing)
    for figure in ["first_token_ms", "total_ms"]:
        expect(turn[figure], round(turn[figure], 1))
    check(turn["time"].endswith("Z"), turn["time"])
    check({"when", "ttft", "total"} <= turn.keys() and conversation["when"] == conversation["time"], "a name of before is gone:", turn)
    check(conversation["pictures"][0].startswith("data:image/jpeg;base64,/9j/"), "no picture")


def presets(states):
    page = states.presets(language="en")
    page.click("#preset-add")
    name, prompt = page.all("#presets-list li:last-child :is(input, textarea)")
    expect(name.get_attribute("placeholder"), "Name")
    name.send_keys("Mine")
    prompt.clear()
    prompt.send_keys("One line.\nAnother.")
    page.click("#presets-form [type=submit]")
    page.wait_for_text("#presets", "Mine")
    page.browser.refresh()
    page.ready()
    page.click("#presets button:last-child")
    expect(page.run("return document.getElementById('prompt').value"), "One line.\nAnother.")


def chinese(states):
    page = states.answered(language="zh-CN")
    expect(page.run("return document.documentElement.lang"), "zh")
    expect(answers(page), ["一个大的黑色正方形在一个大的紫色圆环的左边。"])
    page.click("#language")
    expect(page.text("#go"), "Ask")
    expect(page.run("return document.getElementById('prompt').value"), "Describe the image.")
    expect_same_texts(page, "texts.js")


def themes(states):
    page = states.first(language="en")
    ground = lambda: page.run("return getComputedStyle(document.body).backgroundColor")
    light = ground()
    page.click("#theme")
    expect(ground(), light)
    page.click("#theme")
    dark = ground()
    check(dark != light, "the theme does not change")
    page.browser.refresh()
    page.ready()
    expect(ground(), dark)


# Everywhere --------------------------------------------------------------------------------------
def every_size(states):
    for name in ["first", "conversation", "live"]:
        page = getattr(states, name)(size="phone", language="en")
        height = page.run("return window.innerHeight")
        bottoms = page.run("return ['#go', '.turn:last-child .answer'].map((s) => document.querySelector(s)?.getBoundingClientRect().bottom ?? 0)")
        check(max(bottoms) <= height, name, "an answer or its button has to be scrolled to:", bottoms)
        if name == "conversation":
            page.choose("#add", kImages / "0001.jpg")
            page.wait(lambda: len(page.all("#strip li")) == 3, "three pictures")
            check(focused(page) != "prompt", "a phone's keyboard covers the pictures")
        for size in kSizes:
            page.resize(size)
            expect_fits(page, (size, name))


def inaccessible(axe, states):
    """The checker finds what is wrong."""
    page = states.first(language="en")
    page.run("const b = document.getElementById('theme'); b.removeAttribute('aria-label'); b.title = b.textContent = '';"
             " document.getElementById('state').style.color = 'var(--line)';")
    expect(sorted({line.split(":")[0] for line in page.violations(axe)}), ["button-name", "color-contrast"])


# With a browser or a server of their own -----------------------------------------------------------
def no_storage(states):
    driver = browser.start(blocks_storage=True)
    try:
        driver.get(states.address)
        check(driver.execute_script("try { return localStorage.length; } catch (e) { return e.name; }") == "SecurityError", "it is not blocked")
        page = States(driver, states.address).answered(language="en")
        expect(answers(page), [kRing])
        page.wait(lambda: page.all("#history li"), "an entry")
        page.wait_for_text("#history-unkept", "keeps nothing")
        page.click("#clear")
        page.wait(lambda: not page.all("#history li"), "an empty history")
        check(not page.find("#history-empty").is_displayed(), "answers are said to be kept")
        page.click("#theme")
        page.click("#language")
    finally:
        driver.quit()


def gone_server(states):
    driver, program, model = states.browser, states.program, states.model
    port = free_port()
    with serving(program, model, port=port) as address:
        page = States(driver, address).answered(language="en")
    page.type("What colour is the ring?")
    page.click("#go")
    page.wait_for_state("waiting")
    page.wait_for_text("#state", "again")
    page.wait_for_text("#trouble", "Your question is kept")
    check("away" in page.find("main").get_attribute("class"), "the picture is not dimmed")
    expect(page.text("#go"), "Stop")
    page.escape()
    page.wait(lambda: "kept" not in page.text("#trouble"), "that nothing is kept any more")
    page.click("#go")
    page.wait_for_text("#trouble", "Your question is kept")
    with serving(program, model, port=port):
        page.run("document.querySelector('#trouble-actions button').click()")   # which the page may be about to do itself
        page.wait(lambda: page.find("#state").get_attribute("data-state") == "idle", "the answer")
        expect(len(answers(page)), 3)
        expect(page.run("return document.querySelector('.turn:last-child .question').innerText"), "What colour is the ring?")
        check(not page.find("#trouble").is_displayed(), "the trouble is over")
        # Live captions go on, too.
        page.click("#camera-again")
        page.wait_for_state("live")
    page.wait_for_state("waiting")
    with serving(program, model, port=port):
        page.wait_for_state("live")
        page.click("#stop-camera")


def wanted_key(states):
    driver, program, model = states.browser, states.program, states.model
    key = "s(e)c, ret"
    with serving(program, model, "--api-key", key, "--base-path", "/vlm") as address:
        page = Page(driver, address, language="en")
        page.wait(lambda: page.all("#key-dialog[open]"), "the server's key is asked for")
        page.click("#key-cancel")
        page.wait(lambda: not page.all("#key-dialog[open]"), "it is not asked for any more")
        page.click("#trouble-actions button")
        page.find("#key").send_keys("wrong\n")
        page.wait_for_text("#key-wrong", "not right")
        page.find("#key").send_keys(key + "\n")
        page.ready()
        page.wait(lambda: not page.find("#trouble").is_displayed(), "it is accepted")
        page.click("#samples button")
        page.wait_for_text(".answer", kRing)
        page.click("#camera-again")
        page.wait_for_state("live")
        page.click("#stop-camera")


kTests = [no_storage, gone_server, live_captions, wanted_key, every_size, busy_server, camera_troubles, history, nothing_known_yet, first_screen,
          follow_ups_and_pictures, dropped_and_pasted, stopping, modules, unchanged_frames, exports, presets, chinese, themes]


def tests_of_accessibility():
    axe = axe_or_none()
    if axe is None:
        return []
    return [(f"accessible {name}", partial(accessible, name, axe)) for name in kStates] + [("inaccessible", partial(inaccessible, axe))]


def main(program, model, *wanted):
    tests = [(test.__name__, test) for test in kTests] + tests_of_accessibility()
    with serving(program, model) as address:
        run_tests([test for test in tests if not wanted or test[0] in wanted],
                  lambda driver, test: test(States(driver, address, program, model)),
                  lambda name, line: name in kTroubles or "/v1/chat/completions" in line)


if __name__ == "__main__":
    main(*sys.argv[1:])
