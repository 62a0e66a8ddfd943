"""A worker that speaks only what the original's spoke, written again from the formats: kombu, one PUT, and no more.

No lease, no heartbeat, no secret, a queue declared as the original declared it, a c of its own at random, an RGB PNG.
It is a program: QUEUE_URL in the environment, and SOCKET, the path at which the API listens.
"""

import base64
import hashlib
import io
import json
import os
import random
import time
from typing import Any

import httpx
import kombu
from kombu.mixins import ConsumerMixin
from PIL import Image

EXCHANGE = kombu.Exchange("tasks", type="direct")
QUEUE = kombu.Queue("normal", EXCHANGE, routing_key="normal")
HEADERS = {"Content-type": "application/json", "Accept": "text/plain"}


class Worker(ConsumerMixin):
    def __init__(self, connection: kombu.Connection, api: httpx.Client) -> None:
        self.connection = connection
        self.api = api

    def get_consumers(self, Consumer: Any, channel: Any) -> list[Any]:
        return [Consumer(queues=QUEUE, accept=["json"], callbacks=[self.process])]

    def process(self, task: dict[str, Any], message: Any) -> None:
        print("processing task", task["uuid"], flush=True)
        started = time.time()
        image = picture(task)
        result = {
            "uuid": task["uuid"],
            "duration": time.time() - started,
            "image": base64.b64encode(image).decode(),
            "checksum": hashlib.sha256(image).hexdigest(),
            "size": len(image),
            "generated_by": "original-worker",
        }
        answer = self.api.put(f"/v1/fractal/{task['uuid']}", content=json.dumps(result), headers=HEADERS)
        print("answer", answer.status_code, flush=True)
        message.ack()


def escapes(z: complex, c: complex, iterations: int) -> int:
    for i in range(iterations):
        if abs(z) > 2.0:
            return i
        z = z * z + c
    return iterations - 1


def picture(task: dict[str, Any]) -> bytes:
    xa, xb, ya, yb = (task[name] for name in ("xa", "xb", "ya", "yb"))
    while True:
        c = complex(random.uniform(xa, xb), random.uniform(ya, yb))
        if 10 < escapes(c, c, task["iterations"]) < 100:
            break
    image = Image.new("RGB", (task["width"], task["height"]))
    for y in range(task["height"]):
        zy = y * (yb - ya) / (task["height"] - 1) + ya
        for x in range(task["width"]):
            zx = x * (xb - xa) / (task["width"] - 1) + xa
            i = escapes(complex(zx, zy), c, task["iterations"])
            image.putpixel((x, y), (i % 8 * 32, i % 16 * 16, i % 32 * 8))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


if __name__ == "__main__":
    transport = httpx.HTTPTransport(uds=os.environ["SOCKET"])
    with (
        kombu.Connection(os.environ["QUEUE_URL"]) as connection,
        httpx.Client(transport=transport, base_url="http://api") as api,
    ):
        Worker(connection, api).run()
