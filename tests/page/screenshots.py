#!/usr/bin/env python3
"""Pictures of the page in each state and size, to be looked at.

    screenshots.py FASTVLM MODEL FOLDER [STATE...]
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "net/service"))
import browser
from demo_server import serving
from states import States, kStates

kLooks = {
    "desktop": {"size": "desktop"}, "phone": {"size": "phone"}, "landscape": {"size": "landscape"}, "zoomed": {"size": "zoomed"},
    "dark": {"size": "desktop", "dark": True}, "phone-dark": {"size": "phone", "dark": True},
    "zh": {"size": "desktop", "language": "zh-CN"}, "phone-zh": {"size": "phone", "language": "zh-CN"},
}


def main(program, model, folder, *wanted):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    driver = browser.start()
    try:
        with serving(program, model) as address:
            states = States(driver, address)
            for state in wanted or kStates:
                for name, look in kLooks.items():
                    look = {**look, "language": look.get("language", "en")}
                    getattr(states, state)(**look).screenshot(folder / f"{state}-{name}.png")
    finally:
        driver.quit()


if __name__ == "__main__":
    main(*sys.argv[1:])
