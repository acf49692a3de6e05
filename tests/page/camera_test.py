#!/usr/bin/env python3
"""The camera's page in a real browser: what it promises to its reader, in each state.

    camera_test.py FASTVLM_CAMERA [TEST...]

Exits with 77, which CTest takes for skipped, where no browser can be driven (browser.py). With axe-core (from PyPI: axe-playwright-python)
each state is checked for accessibility, too. With $FVLM_PROGRAM, a fastvlm, the demo model describes pictures once.
"""
import os
import pathlib
import sys
from functools import partial

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "net/service"))
import browser
from browser import free_port, kSizes
from camera_states import CameraStates, camera, is_shown, kCameraStates, kCaptions, kScenes, part
from caption_server import CaptionServer
from checks import accessible, axe_or_none, check, expect, expect_fits, expect_same_texts
from demo_server import serving
from runner import run_tests


def history(page):
    return page.run("return [...document.querySelectorAll('.history li span')].map((e) => e.innerText)")


# Captions ----------------------------------------------------------------------------------------
def captions(states):
    page = states.live(language="en")
    expect(sorted(history(page)[:2]), sorted(kCaptions))
    check(page.text(".answer") in kCaptions, page.text(".answer"))
    page.wait(lambda: "first token" in page.text("[data-part=answer]"), "the answer's time")
    page.wait(lambda: "pictures/s" in part(page, "camera"), "the rate of pictures")
    expect(part(page, "server"), "Server connected")
    expect(page.text(".question"), "Describe the image.")
    check("×" in part(page, "camera"), "no size of the picture")
    expect(page.find(".live").get_attribute("alt"), "Live picture of camera")
    saved = page.run("return document.querySelector('.snapshot').href")
    expect(saved, states.address + "cameras/camera/snapshot.jpg")


def another_question(states):
    page = states.asking(language="en")
    field = page.find("[name=prompt]")
    field.clear()
    field.send_keys("How many things are there?")
    # Something else is changed before it is asked.
    page.run("const i = document.querySelector('.interval'); i.focus(); i.add(new Option('', 0.3)); i.value = '0.3'; i.dispatchEvent(new Event('change'))")
    page.wait(lambda: page.run("return document.querySelector('.interval').selectedOptions[0]?.text") == "0.3 s", "another pace")
    expect(field.get_attribute("value"), "How many things are there?")
    field.send_keys("\n")
    page.wait_for_text(".question", "How many things are there?")
    page.wait(lambda: "How many things are there?" in states.server.prompts, "the question at the server")
    page.click(".chips button:nth-child(3)")
    page.wait_for_text(".question", "What does the text say?")
    page.run("const i = document.querySelector('.interval'); i.value = '10'; i.dispatchEvent(new Event('change'))")
    page.browser.refresh()
    page.wait_for_text(".question", "What does the text say?")
    expect(page.run("return document.querySelector('.interval').value"), "10")


def tokens_as_they_come(states):
    page = states.writing(language="en")
    page.wait_for_text("[data-part=answer]", "Writing")
    before = page.text(".answer")
    page.wait(lambda: len(page.text(".answer")) > len(before), "more of it")
    check(page.text(".answer").startswith(before), page.text(".answer"))


def original_protocol(states):
    page = states.original(language="en")
    expect(page.text(".question"), "The server's own question")
    page.wait_for_text(".why", "--stream")
    page.click("details:not(.past) summary")
    check(not page.find(".ask").is_displayed(), "a question that has no effect can be asked")
    check(page.find(".interval").is_displayed(), "the pace cannot be changed")
    # What was said before a page was opened is there.
    page.browser.refresh()
    page.wait(lambda: page.text(".answer") in kCaptions, "the last caption")


def several_cameras(states):
    page = states.several(language="en")
    expect([each.text for each in page.all(".name")], ["Front door", "yard", "roof"])
    page.wait_for_text(".camera:nth-of-type(3) [data-part=camera]", "/dev/video63")
    check("Camera" in page.text(".camera:nth-of-type(1) [data-part=camera]"), "the first one is not there")
    page.click(".camera:nth-of-type(2) details:not(.past) summary")
    page.find(".camera:nth-of-type(2) [name=prompt]").send_keys("Which colours?\n")
    page.wait_for_text(".camera:nth-of-type(2) .question", "Which colours?")
    page.wait_for_text(".camera:nth-of-type(1) .question", "The server's own question: What is there?")
    expect(page.run("return document.querySelectorAll('.snapshot')[1].href"), states.address + "cameras/yard/snapshot.jpg")


def demo_model(states):
    program = os.environ.get("FVLM_PROGRAM")
    if not program:
        print("FVLM_PROGRAM is not set: the demo model describes nothing")
        return
    with serving(program, kScenes.parent / "model") as address:
        page = states.open("--source", f"images:{states.folder('0007.jpg')}", "--server", address.replace("http", "ws") + "ws", "--stream", language="en")
        page.wait_for_text(".answer", "三个大的黄色星形。")
        page.wait_for_text(".question", "The server's own question: 用简短的语言描述图片内容")
        page.wait(lambda: "first token" in page.text("[data-part=answer]"), "its figures")


# Troubles ----------------------------------------------------------------------------------------
def server_gone_and_back(states):
    port = free_port()
    page = states.open("--source", states.scenes(), "--server", f"ws://127.0.0.1:{port}/ws", "--stream", "--fps", "5", language="en")
    page.wait_for_text("[data-part=server]", "no server listens")
    page.wait(lambda: is_shown(page), "pictures all the same")
    for caption in ["A tree.", "A house."]:
        with CaptionServer([caption], port):
            page.wait_for_text(".answer", caption)
            expect(part(page, "server"), "Server connected")
            expect(page.find("[data-part=answer]").get_attribute("data-state"), "idle")
        page.wait_for_text("[data-part=server]", "trying again")
        expect(page.find("[data-part=answer]").get_attribute("data-state"), "waiting")


def wanted_key(states):
    page = states.locked(language="en")
    check("asks for a key; --api-key-file" in part(page, "server"), part(page, "server"))
    expect(page.find("[data-part=server]").get_attribute("data-state"), "lost")
    states.server.status = 101
    page.wait_for_text("[data-part=server]", "Server connected")
    page.wait(lambda: page.text(".answer") in kCaptions, "a caption")


def wrong_key(states):
    key = states.folder() / "key"
    key.write_text("secret\n")
    url = states.serve()
    states.server.status = 401
    page = states.open("--source", "test-pattern", "--server", url, "--api-key-file", str(key), language="en")
    page.wait_for_text("[data-part=server]", "refuses our key")


def camera_lost_and_back(states):
    page = states.lost(language="en")
    expect(page.find("[data-part=camera]").get_attribute("data-state"), "lost")
    states.fill(states.last_folder, "0007.jpg")
    page.wait(lambda: not page.all(".frame.stale") and "pictures/s" in part(page, "camera"), "the camera again")


def program_gone_and_back(states):
    port = free_port()
    with camera(states.program, "--source", "test-pattern", "--server", states.serve(), port=port) as address:
        page = browser.Page(states.browser, address, language="en")
        page.wait(lambda: is_shown(page), "a picture")
    page.wait_for_text("[data-part=camera]", "No connection to fastvlm-camera")
    expect(part(page, "server"), "")
    check(page.all(".frame.stale"), "an old picture looks like a new one")
    with camera(states.program, "--source", "test-pattern", "--server", states.server.url, port=port):
        page.wait(lambda: not page.all(".frame.stale"), "the camera again")


def refusals(states):
    page = states.failed(language="en")
    expect(page.text(".answer"), "out of memory")
    page.wait_for_text("[data-part=answer]", "failed")
    page.click("#language")
    expect(page.text(".answer"), "模型运行出错（out of memory）")
    states.server.answers = [("busy", "too many frames are queued")]
    page.wait(lambda: page.text(".answer") == "服务器正忙，请稍后重试。", "another refusal")


# Everywhere --------------------------------------------------------------------------------------
def chinese(states):
    page = states.live(language="zh-CN")
    expect(page.run("return document.documentElement.lang"), "zh")
    expect(part(page, "server"), "已连接服务器")
    expect_same_texts(page, "camera_texts.js", but=["causes"])
    page.click("#language")
    expect(part(page, "server"), "Server connected")
    expect(page.run("return document.querySelector('.interval').selectedOptions[0].text"), "0.5 s")


def causes_in_chinese(states):
    for state, name, words in [("serverless", "server", "127.0.0.1:9 上没有服务器"), ("locked", "server", "需要密钥"), ("cameraless", "camera", "/dev/video63 不存在"),
                               ("lost", "camera", "没有完好的 JPEG 文件"), ("away", "camera", "与 fastvlm-camera 断开")]:
        with CameraStates(states.browser, states.program) as own:
            page = getattr(own, state)(language="zh-CN")
            page.wait_for_text(f"[data-part={name}]", words)


def every_size(states):
    for state in ["asking", "serverless", "several"]:
        with CameraStates(states.browser, states.program) as own:
            page = getattr(own, state)(language="en")
            for size in kSizes:
                page.resize(size)
                expect_fits(page, (size, state))
                if size in ["phone", "landscape"] and state == "asking":
                    bottom = page.run("return document.querySelector('.answer').getBoundingClientRect().bottom")
                    check(bottom <= page.run("return window.innerHeight"), "a caption has to be scrolled to:", bottom)


def inaccessible(axe, states):
    """The checker finds what is wrong."""
    page = states.live(language="en")
    page.run("document.querySelector('.live').removeAttribute('alt')")
    expect({line.split(":")[0] for line in page.violations(axe)}, {"image-alt"})


kTests = [causes_in_chinese, every_size, captions, another_question, tokens_as_they_come, original_protocol, several_cameras, demo_model,
          server_gone_and_back, wanted_key, wrong_key, camera_lost_and_back, program_gone_and_back, refusals, chinese]


def tests_of_accessibility():
    axe = axe_or_none()
    if axe is None:
        return []
    return [(f"accessible {name}", partial(accessible, name, axe)) for name in kCameraStates] + [("inaccessible", partial(inaccessible, axe))]


def main(program, *wanted):
    def perform(driver, test):
        with CameraStates(driver, program) as states:
            test(states)

    tests = [(test.__name__, test) for test in kTests] + tests_of_accessibility()
    run_tests([test for test in tests if not wanted or test[0] in wanted], perform,
              lambda _, line: "WebSocket connection" in line)


if __name__ == "__main__":
    main(*sys.argv[1:])
