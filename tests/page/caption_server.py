"""A server of captions that does as it is told, for tests of the camera's page: pictures in, and out what `answers` has, one
after the other, in tokens for clients that ask for them. A test may change its fields at any time."""
import base64
import hashlib
import itertools
import json
import socket
import struct
import threading
import time

kAccept = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
kPrompt = "What is there?"   # if a client has no question of its own
kText, kBinary, kClose, kPing, kPong = 1, 2, 8, 9, 10


class CaptionServer:
    def __init__(self, answers=("A tree.",), port=0):
        self.answers = answers      # each a caption, or a pair of an error's code and message
        self.piece = 0              # seconds before each token
        self.status = 101           # of the answer to who opens a WebSocket
        self.prompts = []           # that clients asked for
        self.closing = False
        self.connections = []
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/ws"
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closing = True
        for each in [self.listener, *self.connections]:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass   # it ended by itself
            each.close()

    def accept(self):
        while not self.closing:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            with connection, connection.makefile("rb") as stream:
                if not self.shake_hands(connection, stream):
                    return
                streams, asked, frames = False, "", itertools.count(1)
                while True:
                    opcode, payload = read_frame(stream)
                    if opcode == kClose:
                        return
                    if opcode == kPing:
                        send_frame(connection, kPong, payload)
                    elif opcode == kText:
                        wish = json.loads(payload)
                        streams = wish.get("stream", streams)
                        asked = wish.get("prompt", asked)
                        self.prompts.append(asked)
                    elif opcode == kBinary:
                        self.answer(connection, next(frames), streams, asked)
        except (OSError, struct.error):
            pass   # it is gone

    def shake_hands(self, connection, stream):
        headers = dict(line.decode().strip().split(": ", 1) for line in itertools.takewhile(
            lambda line: line != b"\r\n", stream) if b": " in line)
        if self.status != 101:
            connection.sendall(f"HTTP/1.1 {self.status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            return False
        accept = base64.b64encode(hashlib.sha1(headers["Sec-WebSocket-Key"].encode() + kAccept).digest()).decode()
        connection.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            f"Sec-WebSocket-Accept: {accept}\r\n\r\n").encode())
        return True

    def answer(self, connection, frame, streams, asked):
        begun = time.monotonic()
        said = self.answers[(frame - 1) % len(self.answers)]
        if isinstance(said, tuple):
            code, message = said
            return send_message(connection, type="error", code=code, message=message, frame_id=frame)
        first = None
        for token in said.split(" ") if streams else []:
            time.sleep(self.piece)
            first = first or time.monotonic()
            send_message(connection, type="token", content=token + " ", frame_id=frame)
        now = time.monotonic()
        more = {"frame_id": frame, "ttft_ms": 1000 * (first - begun), "total_ms": 1000 * (now - begun)} if streams else {}
        if streams and not asked:
            more["prompt"] = kPrompt
        send_message(connection, type="description", content=said, timestamp=time.strftime("%Y%m%d_%H%M%S"), **more)


def read_frame(stream):
    head, size = struct.unpack("!BB", stream.read(2))
    size &= 127
    if size > 125:
        size, = struct.unpack(*("!H", stream.read(2)) if size == 126 else ("!Q", stream.read(8)))
    mask, payload = stream.read(4), stream.read(size)
    if head & 15 == kBinary:
        return kBinary, payload   # a picture, which nobody looks at here
    return head & 15, bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def send_frame(connection, opcode, payload):
    size = len(payload)
    connection.sendall(struct.pack("!BB", 128 | opcode, size) if size < 126 else struct.pack("!BBH", 128 | opcode, 126, size))
    connection.sendall(payload)


def send_message(connection, **message):
    send_frame(connection, kText, json.dumps(message).encode())
