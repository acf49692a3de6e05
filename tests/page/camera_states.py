"""Each state of the camera's page, by name: starts a camera program and a server that bring a fresh page there. For the test and
for pictures of it."""
import contextlib
import pathlib
import re
import shutil
import subprocess
import tempfile

from browser import Page
from caption_server import CaptionServer

kScenes = pathlib.Path(__file__).parents[2] / "tools/demo/images"
kCaptions = ("A large black square to the left of a large purple ring.", "Three large yellow stars.")
kNowhere = "ws://127.0.0.1:9/ws"   # where nobody listens


@contextlib.contextmanager
def camera(program, *flags, port=0):
    """The address of the page of a camera program that runs meanwhile, with a slash at its end."""
    with tempfile.TemporaryDirectory() as logs:
        process = subprocess.Popen([program, "--port", str(port), "--log-folder", logs, *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                if found := re.search(r"ready: (http://\S+/)", line):
                    break
            else:
                raise AssertionError("fastvlm-camera did not start: " + "".join(said))
            yield found.group(1)
        finally:
            process.terminate()
            process.communicate()


def part(page, name):
    """What a line of state says of one, the first, camera."""
    return page.text(f"[data-part={name}]")


def is_shown(page, selector=".camera"):
    return page.run("return [...document.querySelectorAll(arguments[0] + ' .live')].some((e) => e.naturalWidth > 0)", selector)


class CameraStates:
    """Used by `with`, which ends the programs that a state started."""

    def __init__(self, browser, program):
        self.browser, self.program = browser, program
        self.running = contextlib.ExitStack()
        self.server = None
        self.address = self.last_folder = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.running.close()

    def folder(self, *pictures):
        self.last_folder = pathlib.Path(self.running.enter_context(tempfile.TemporaryDirectory()))
        self.fill(self.last_folder, *pictures)
        return self.last_folder

    def fill(self, folder, *pictures):
        for picture in pictures:
            shutil.copy(kScenes / picture, folder)

    def scenes(self):
        return f"images:{self.folder('scene.jpg', '0007.jpg')}"

    def serve(self, *answers):
        self.server = self.running.enter_context(CaptionServer(answers or kCaptions))
        return self.server.url

    def open(self, *flags, **look):
        self.address = self.running.enter_context(camera(self.program, *flags))
        page = Page(self.browser, self.address, **look)
        page.wait(lambda: page.all(".camera"), "the cameras")
        return page

    # States ------------------------------------------------------------------------------------
    def live(self, **look):
        page = self.open("--source", self.scenes(), "--server", self.serve(), "--stream", "--prompt", "Describe the image.",
                         "--fps", "4", "--interval", "500ms", **look)
        page.wait(lambda: len(page.all(".history li")) >= 2 and is_shown(page), "pictures and captions")
        return page

    def asking(self, **look):
        page = self.live(**look)
        page.click("details:not(.past) summary")
        return page

    def writing(self, **look):
        url = self.serve("The picture shows " + "a large black square and a ring, " * 20)
        self.server.piece = 0.2
        page = self.open("--source", self.scenes(), "--server", url, "--stream", **look)
        page.wait(lambda: len(page.text(".answer")) > 20, "the beginning of a caption")
        return page

    def original(self, **look):
        page = self.open("--source", self.scenes(), "--server", self.serve(), **look)
        page.wait(lambda: page.all(".history li"), "a caption")
        return page

    def failed(self, **look):
        page = self.open("--source", self.scenes(), "--server", self.serve(("failed", "out of memory")), "--stream", **look)
        page.wait(lambda: "out of memory" in page.text(".answer"), "what went wrong")
        return page

    def serverless(self, **look):
        page = self.open("--source", self.scenes(), "--server", kNowhere, "--stream", **look)
        page.wait(lambda: "127.0.0.1:9" in part(page, "server"), "that there is no server")
        page.wait(lambda: is_shown(page), "a picture")
        return page

    def locked(self, **look):
        url = self.serve()
        self.server.status = 401
        page = self.open("--source", self.scenes(), "--server", url, **look)
        page.wait(lambda: "--api-key-file" in part(page, "server"), "that a key is wanted")
        return page

    def cameraless(self, **look):
        page = self.open("--source", "v4l2:/dev/video63", "--wait-for-camera", "--server", self.serve(), **look)
        page.wait(lambda: "/dev/video63" in part(page, "camera"), "that there is no camera")
        return page

    def lost(self, **look):
        """The camera was there, and is no more."""
        folder = self.folder("scene.jpg")
        page = self.open("--source", f"images:{folder}", "--fps", "5", "--server", self.serve(), **look)
        page.wait(lambda: is_shown(page) and page.all(".history li"), "a picture and a caption")
        (folder / "scene.jpg").unlink()
        page.wait(lambda: page.all(".frame.stale") and folder.name in part(page, "camera"), "that the camera is lost")
        return page

    def several(self, **look):
        settings = self.folder() / "cameras.toml"
        settings.write_text(f"""server = "{self.serve()}"
stream = true
[[camera]]
name = "door"
title = "Front door"
source = "{self.scenes()}"
size = 2
[[camera]]
name = "yard"
source = "test-pattern"
interval = "5s"
[[camera]]
name = "roof"
source = "v4l2:/dev/video63"
""")
        page = self.open("--config", str(settings), **look)
        page.wait(lambda: all(is_shown(page, f".camera:nth-of-type({i})") for i in (1, 2)), "pictures of two cameras")
        page.wait(lambda: len(page.all(".history li")) >= 2, "captions")
        return page

    def away(self, **look):
        """The page is open, and the program gone."""
        page = self.live(**look)
        self.running.close()
        page.wait(lambda: "fastvlm-camera" in part(page, "camera"), "that the program is gone")
        return page


kCameraStates = ["live", "asking", "writing", "original", "failed", "serverless", "locked", "cameraless", "lost", "several", "away"]
