"""The server with the demo model, for tests of official clients."""
import base64
import contextlib
import re
import subprocess
import sys
import tempfile


@contextlib.contextmanager
def serving(program, model, *flags, port=0):
    """The address of a server that runs meanwhile, with a slash at its end."""
    with tempfile.TemporaryDirectory() as logs:
        server = subprocess.Popen(
            [program, "serve", "--model-path", model, "--port", str(port), "--model-name", "demo",
             "--log-folder", logs, *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            for line in server.stdout:
                if found := re.search(r"ready: (http://\S+/)", line):
                    break
            else:
                sys.exit("the server did not start")
            yield found.group(1)
        finally:
            server.terminate()
            server.communicate()


def data_url(image):
    """A JPEG file as OpenAI's clients send pictures."""
    with open(image, "rb") as file:
        return "data:image/jpeg;base64," + base64.b64encode(file.read()).decode()
