#!/usr/bin/env python3
"""Pictures of a page in each state and size, to be looked at: the server's, with the demo model, or the camera's.

    screenshots.py FASTVLM MODEL FOLDER [STATE...]
    screenshots.py --camera FASTVLM_CAMERA FOLDER [STATE...]
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "net/service"))
import browser
from camera_states import CameraStates, kCameraStates
from demo_server import serving
from states import States, kStates

kLooks = {
    "desktop": {"size": "desktop"}, "phone": {"size": "phone"}, "landscape": {"size": "landscape"}, "zoomed": {"size": "zoomed"},
    "dark": {"size": "desktop", "dark": True}, "phone-dark": {"size": "phone", "dark": True},
    "zh": {"size": "desktop", "language": "zh-CN"}, "phone-zh": {"size": "phone", "language": "zh-CN"},
}


def show(folder, state, open_page):
    for name, look in kLooks.items():
        open_page({"language": "en", **look}, lambda page: page.screenshot(folder / f"{state}-{name}.png"))


def show_server(driver, folder, program, model, wanted):
    with serving(program, model) as address:
        states = States(driver, address)
        for state in wanted or kStates:
            show(folder, state, lambda look, then: then(getattr(states, state)(**look)))


def show_camera(driver, folder, program, wanted):
    def open_page(look, then):
        with CameraStates(driver, program) as states:
            then(getattr(states, state)(**look))

    for state in wanted or kCameraStates:
        show(folder, state, open_page)


def main(arguments):
    of_camera = arguments[0] == "--camera"
    program, where, folder, *wanted = arguments if not of_camera else [arguments[1], None, *arguments[2:]]
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    driver = browser.start()
    try:
        if of_camera:
            show_camera(driver, folder, program, wanted)
        else:
            show_server(driver, folder, program, where, wanted)
    finally:
        driver.quit()


if __name__ == "__main__":
    main(sys.argv[1:])
