"""A chat server that says what it is told to, over real HTTP: for replies that no real model gives on demand."""

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ChatServer:
    """Gives `replies` in turn, the last one for ever, or refuses everything with `status`. `asked` are the chats that
    it was sent, `bodies` the whole requests, `address` is its OpenAI base URL. `counts`: whether it reports tokens.
    `refuses`: a parameter that it answers with 400, `refusal` what it says then. `cut`: how many replies, from the first
    on, the limit of tokens ended."""

    def __init__(
        self,
        replies: Sequence[str],
        status: int = 200,
        counts: bool = True,
        refuses: str = "",
        refusal: str = "refused",
        cut: int = 0,
    ):
        self.asked: list[list[dict[str, str]]] = []
        self.bodies: list[dict[str, Any]] = []
        asked, bodies = self.asked, self.bodies

        class Speak(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked_for = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                bodies.append(asked_for)
                code = 400 if refuses in asked_for else status
                if code == 200:
                    asked.append(asked_for["messages"])
                body = json.dumps(self._reply() if code == 200 else {"error": {"message": refusal}}).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _reply(self) -> dict[str, object]:
                message = {"role": "assistant", "content": replies[min(len(asked), len(replies)) - 1]}
                reason = "length" if len(asked) <= cut else "stop"
                choices = [{"index": 0, "message": message, "finish_reason": reason}]
                usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
                header = {"id": "1", "object": "chat.completion", "created": 0, "model": "scripted"}
                return {**header, "choices": choices, **({"usage": usage} if counts else {})}

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Speak)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
