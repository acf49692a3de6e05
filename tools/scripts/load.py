#!/usr/bin/env python3
"""Cameras for a fastvlm server: N of them send F frames a second each for T seconds.

    tools/scripts/load.py --cameras 64 --rate 1 --seconds 60
    tools/scripts/load.py --url wss://example.org/ws --api-key KEY --images FOLDER

The frames are the JPEG files of a folder, by default the demo pictures, a little different each
time, as a camera never sees the same twice. A camera that loses its
connection tries again after 250 ms, doubled up to 5 s, and sends what was not answered once more.
At the end come the latencies, from a frame's first sending to its description, and what became of
all frames; the exit code is 1 if a frame was neither described, skipped nor refused.
"""
import argparse
import asyncio
import collections
import json
import pathlib
import random
import sys
import time

import plain_websocket

DEMO_IMAGES = pathlib.Path(__file__).resolve().parents[1] / "demo" / "images"
SHORTEST_WAIT, LONGEST_WAIT = 0.25, 5.0  # before the next try to connect, in seconds
GRACE = 15.0  # seconds after the last frame for answers to come


def vary(jpeg):
    """The picture with slightly other contrasts: the first quantisers, one for each frequency, change."""
    table = jpeg.find(b"\xff\xdb") + 5  # after the marker, its length and the table's number
    if table < 5:
        return jpeg
    changed = bytearray(jpeg)
    for i in range(table, table + 6):
        changed[i] = min(255, max(1, changed[i] + random.choice((-1, 0, 1))))
    return bytes(changed)


class Camera:
    """One connection at a time; numbers its frames as the server does, from 1 for each connection."""

    def __init__(self, options, images, counts, latencies):
        self.options, self.images = options, images
        self.counts, self.latencies = counts, latencies
        self.waiting = collections.OrderedDict()  # frame number -> (first sent at, file)
        self.number = 0
        self.socket = None
        self.connected = asyncio.Event()

    async def connect_again_and_again(self):
        wait = SHORTEST_WAIT
        headers = {}
        if self.options.api_key:
            headers["Authorization"] = f"Bearer {self.options.api_key}"
        while True:
            try:
                socket = await plain_websocket.connect(self.options.url, headers)
                self.counts["connections"] += 1
                wait = SHORTEST_WAIT
                await self.begin(socket)
                async for message in socket:
                    self.receive(json.loads(message))
            except OSError:
                self.counts["connections_lost_or_refused"] += 1
            finally:
                self.connected.clear()
                if self.socket is not None:
                    await self.socket.close()
                    self.socket = None
            await asyncio.sleep(wait * random.uniform(0.75, 1.25))
            wait = min(2 * wait, LONGEST_WAIT)

    async def begin(self, socket):
        lost, self.waiting, self.number = self.waiting, collections.OrderedDict(), 0
        self.socket = socket
        await socket.send(json.dumps({"type": "configure", "max_new_tokens": self.options.tokens,
                                      "temperature": 0, "stream": self.options.stream}))
        for first_sent, file in lost.values():
            self.counts["resent"] += 1
            await self.send(first_sent, file)
        self.connected.set()

    async def send(self, first_sent, file):
        self.number += 1
        self.waiting[self.number] = (first_sent, file)
        try:
            await self.socket.send(file)
        except plain_websocket.Closed:
            pass  # it waits, and is sent again

    def receive(self, message):
        kind = message["type"]
        if kind == "token" or message.get("frame_id") not in self.waiting:
            return
        first_sent, _ = self.waiting.pop(message["frame_id"])
        if kind == "description":
            self.counts["described"] += 1
            self.counts["unchanged"] += message.get("unchanged", False)
            self.latencies.append(time.monotonic() - first_sent)
        elif kind == "skipped":
            self.counts["skipped"] += 1
        else:
            self.counts[f"error: {message['code']}"] += 1

    async def film(self, end):
        period = 1 / self.options.rate
        await asyncio.sleep(random.uniform(0, period))
        next_time = time.monotonic()
        while next_time < end:
            await asyncio.sleep(max(0.0, next_time - time.monotonic()))
            next_time += period
            if self.connected.is_set():
                self.counts["frames"] += 1
                await self.send(time.monotonic(), vary(random.choice(self.images)))
            else:
                self.counts["not filmed, no connection"] += 1
        deadline = time.monotonic() + GRACE
        while self.waiting and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        self.counts["unanswered"] += len(self.waiting)


def percentile(values, fraction):
    return values[min(len(values) - 1, int(fraction * len(values)))]


def report(counts, latencies, seconds):
    for name, count in counts.items():
        print(f"{name:28} {count}")
    if latencies:
        latencies = sorted(latencies)
        named = [(f"p{100 * f:g}", percentile(latencies, f)) for f in (0.5, 0.9, 0.99)]
        named.append(("max", latencies[-1]))
        print(f"{'latency, ms':28} " + "  ".join(f"{n} {1000 * v:.0f}" for n, v in named))
        print(f"{'descriptions a second':28} {len(latencies) / seconds:.1f}")


async def run(options):
    images = [p.read_bytes() for p in sorted(options.images.glob("*.jpg"))]
    if not images:
        sys.exit(f"tools/scripts/load.py: no *.jpg in {options.images}")
    counts = collections.Counter(frames=0, described=0, skipped=0, resent=0)
    latencies = []
    cameras = [Camera(options, images, counts, latencies) for _ in range(options.cameras)]
    connections = [asyncio.create_task(c.connect_again_and_again()) for c in cameras]
    await asyncio.wait_for(asyncio.gather(*(c.connected.wait() for c in cameras)), 30)
    started = time.monotonic()
    await asyncio.gather(*(c.film(started + options.seconds) for c in cameras))
    report(counts, latencies, time.monotonic() - started)
    for task in connections:
        task.cancel()
    await asyncio.gather(*connections, return_exceptions=True)
    return 1 if counts["unanswered"] else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", default="ws://127.0.0.1:5000/ws")
    parser.add_argument("--api-key", default="")
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1.0, help="frames a second of each camera")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--tokens", type=int, default=64, help="longest answer")
    parser.add_argument("--stream", action="store_true", help="ask for tokens as they are made")
    parser.add_argument("--images", type=pathlib.Path, default=DEMO_IMAGES, help="folder with *.jpg")
    sys.exit(asyncio.run(run(parser.parse_args())))


if __name__ == "__main__":
    main()
