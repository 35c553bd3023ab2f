"""A network camera, to be killed in the middle of a picture: `python -m tests.faults.mjpeg CLIP PORT`.

It is in the middle of one nearly all the time: each is sent in two halves, with a frame period between them.
"""

from __future__ import annotations

import sys
import time
from typing import BinaryIO

from tests.mjpeg import jpegs_of, served

PERIOD_S = 1 / 30


def _send(stream: BinaryIO, head: bytes, data: bytes) -> bool:
    stream.write(head + data[: len(data) // 2])
    time.sleep(PERIOD_S)
    stream.write(data[len(data) // 2 :] + b"\r\n")
    return True


if __name__ == "__main__":
    served(jpegs_of(sys.argv[1]), _send, port=int(sys.argv[2])).serve_forever()
