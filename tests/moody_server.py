"""A chat server with moods, over real HTTP: what endpoints do on bad days, in the order that a test says."""

import json
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def completion(text: str, model: str = "moody") -> bytes:
    message = {"role": "assistant", "content": text}
    return json.dumps(
        {
            "id": "1", "object": "chat.completion", "created": 0, "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        }
    ).encode()  # fmt: skip


@dataclass(frozen=True)
class Mood:
    """One answer: status, headers and body, after `delay_s`; `cut` closes the connection in the middle of the body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = completion("yes")
    delay_s: float = 0.0
    cut: bool = False


FINE = Mood()


class MoodyServer:
    """Answers with `moods` in turn, then with the last one for ever. `asked` are the times at which it was called;
    `port` lets a server come back where another one was."""

    def __init__(self, moods: Sequence[Mood] = (FINE,), port: int = 0):
        self.asked: list[float] = []
        self.most_at_once = 0
        outer, now_busy, lock = self, [0], threading.Lock()

        class Speak(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    outer.asked.append(time.monotonic())
                    mood = moods[min(len(outer.asked), len(moods)) - 1]
                    now_busy[0] += 1
                    outer.most_at_once = max(outer.most_at_once, now_busy[0])
                time.sleep(mood.delay_s)
                with lock:
                    now_busy[0] -= 1
                self.send_response(mood.status)
                for name, value in mood.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(mood.body)))
                self.end_headers()
                self.wfile.write(mood.body[:20] if mood.cut else mood.body)
                if mood.cut:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: object) -> None:
                pass  # a client that hangs up is what some tests are about

        self._server = Server(("127.0.0.1", port), Speak)
        self.port = self._server.server_address[1]
        self.address = f"http://127.0.0.1:{self.port}/v1"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
