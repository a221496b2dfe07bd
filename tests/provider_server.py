"""A search provider that answers what it is told to, over real HTTP: documented answers and errors on demand."""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Answer:
    """`body`: an object is sent as JSON, a text as HTML. `delay_s` comes before the answer."""

    body: Any = ""
    status: int = 200
    headers: Mapping[str, str] | None = None
    delay_s: float = 0.0


@dataclass(frozen=True)
class Asked:
    """A request as it came: the query of its address or its form, or its JSON."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: dict[str, str]
    json: Any


class ProviderServer:
    """Gives `answers` in turn, the last one for ever. `asked` are the requests; `address` has no path."""

    def __init__(self, answers: Sequence[Answer]):
        self.asked: list[Asked] = []
        asked, lock, stopped = self.asked, threading.Lock(), threading.Event()
        self._stopped = stopped

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(b"")

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

            def _answer(self, sent: bytes) -> None:
                address = urlsplit(self.path)
                is_json = "json" in self.headers.get("Content-Type", "")
                form = parse_qs(sent.decode()) if sent and not is_json else parse_qs(address.query)
                query = {key: values[0] for key, values in form.items()}
                headers = {key.lower(): value for key, value in self.headers.items()}
                with lock:
                    asked.append(
                        Asked(self.command, address.path, headers, query, json.loads(sent) if is_json else None)
                    )
                    answer = answers[min(len(asked), len(answers)) - 1]
                stopped.wait(answer.delay_s)
                is_text = isinstance(answer.body, str)
                body = answer.body.encode() if is_text else json.dumps(answer.body).encode()
                try:
                    self.send_response(answer.status)
                    self.send_header("Content-Type", "text/html" if is_text else "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    for key, value in (answer.headers or {}).items():
                        self.send_header(key, value)
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # a client that did not wait

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __enter__(self) -> "ProviderServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
