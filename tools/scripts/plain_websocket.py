"""A WebSocket client (RFC 6455) of Python's standard library alone, as much as tools/scripts/load.py needs:

    socket = await connect("ws://127.0.0.1:5000/ws", {"Authorization": "Bearer KEY"})
    await socket.send("text"); await socket.send(b"bytes")
    async for message in socket: ...      # ends when the server closes the connection
    await socket.close()

Failures are Closed, a kind of OSError. Pings are answered while messages are read.
"""
import asyncio
import base64
import hashlib
import os
import ssl
import struct
import urllib.parse

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Closed(OSError):
    """The connection is gone, or was refused."""


def masked(payload, key):
    size = len(payload)
    repeated = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


def frame(opcode, payload):
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    key = os.urandom(4)
    return head + key + masked(payload, key)


class Socket:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def send(self, message):
        opcode, payload = (TEXT, message.encode()) if isinstance(message, str) else (BINARY, message)
        await self._write(opcode, payload)

    async def close(self):
        try:
            await self._write(CLOSE, b"")
        except Closed:
            pass
        self.writer.close()

    def __aiter__(self):
        return self

    async def __anext__(self):
        message, kind = b"", None
        while True:
            is_last, opcode, payload = await self._read()
            if opcode == CLOSE:
                await self.close()
                raise StopAsyncIteration
            if opcode == PING:
                await self._write(PONG, payload)
            elif opcode != PONG:
                kind = kind or opcode
                message += payload
                if is_last:
                    return message.decode() if kind == TEXT else message

    async def _write(self, opcode, payload):
        try:
            self.writer.write(frame(opcode, payload))
            await self.writer.drain()
        except (OSError, RuntimeError) as error:
            raise Closed(str(error)) from error

    async def _read(self):
        try:
            first, second = await self.reader.readexactly(2)
            size = second & 127
            if size == 126:
                size, = struct.unpack("!H", await self.reader.readexactly(2))
            elif size == 127:
                size, = struct.unpack("!Q", await self.reader.readexactly(8))
            return first & 0x80, first & 15, await self.reader.readexactly(size)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Closed(str(error)) from error


async def connect(url, headers=None):
    parts = urllib.parse.urlsplit(url)
    secure = parts.scheme == "wss"
    key = base64.b64encode(os.urandom(16)).decode()
    accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
    lines = [f"GET {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}", "Upgrade: websocket",
             "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    try:
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port or (443 if secure else 80),
            ssl=ssl.create_default_context() if secure else None)
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise Closed(str(error)) from error
    if " 101 " not in answer.splitlines()[0] or accept not in answer:
        writer.close()
        raise Closed("refused: " + answer.splitlines()[0])
    return Socket(reader, writer)
