"""A network camera, to be killed in the middle of a picture: `python -m tests.faults.mjpeg CLIP PORT`.

It is in the middle of one nearly all the time: each is sent in two halves, with a frame period between them.
"""

from __future__ import annotations

import http.server
import itertools
import sys
import time

import cv2

from edge_runtime.cameras import open_camera

PERIOD_S = 1 / 30


def main(clip: str, port: int) -> None:
    pictures = [
        cv2.imencode(".jpg", cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))[1].tobytes()
        for frame in open_camera(clip).frames()
    ]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                for data in itertools.cycle(pictures):
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    self.wfile.write(head.encode() + data[: len(data) // 2])
                    time.sleep(PERIOD_S)
                    self.wfile.write(data[len(data) // 2 :] + b"\r\n")
            except OSError:
                pass

        def log_message(self, *args: object) -> None: ...

    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
