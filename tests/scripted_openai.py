"""A scripted stand-in for the OpenAI API on loopback: it answers, refuses, hangs, drips and cuts as told.

Also a program, for tests that run the real daemon: `python tests/scripted_openai.py --port 0 --answer "1234 BCD"`
writes its base address on the first line of its output and serves until it is told to end. `GET /requests` there
returns what was asked so far, as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

Way = Literal["whole", "hang", "drip", "cut"]
KEY = "sk-test-0123456789"


@dataclass(frozen=True)
class Step:
    """One scripted answer; *way* says how its bytes come: in one piece, never, one by one, or only the first half."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    way: Way = "whole"
    content_type: str = "application/json"
    delay: float = 0.0


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it, the names of its headers in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


def says(
    content: object, *, probabilities: list[float] | None = None, refusal: str | None = None, finish: str = "stop"
) -> Step:
    """Return a chat completion with this *content*; *probabilities* are the log-probabilities of its characters."""
    message = {"role": "assistant", "content": content, "refusal": refusal}
    choice: dict[str, object] = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    if probabilities is not None:
        tokens: list[dict[str, object]] = [
            {"token": token, "logprob": logprob, "bytes": None, "top_logprobs": []}
            for token, logprob in zip(str(content), probabilities, strict=True)
        ]
        choice["logprobs"] = {"content": tokens, "refusal": None}
    return replies({"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})


def replies(body: object) -> Step:
    """Return any JSON with status 200."""
    return Step(body=json.dumps(body).encode())


def fails(
    status: int, message: str = "no", *, code: str | None = None, param: str | None = None, **headers: str
) -> Step:
    """Return an error in the form of the API; in *headers*, underscores stand for hyphens."""
    error = {"message": message, "type": "error", "param": param, "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Step(status, json.dumps({"error": error}).encode(), named)


class Scripted:
    """The server: *steps* are given in order and the last one for ever; *by_model* goes before them.

    A context manager. Bound to 127.0.0.1. Whatever hangs is let go when it closes, so no thread outlives the test.
    """

    def __init__(self, *steps: Step, by_model: Mapping[str, Step] | None = None, port: int = 0) -> None:
        self.asked: list[Asked] = []
        self.by_model = dict(by_model or {})
        self.catalogue: dict[str, Step] = {}
        self.steps = list(steps) or [says("1234 BCD")]
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._answering())
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def next_step(self, asked: Asked) -> Step:
        """Note the request and return what is to be answered."""
        with self._lock:
            self.asked.append(asked)
            if asked.method == "GET":
                return self.catalogue.get(asked.path.rpartition("/")[2], fails(404, code="model_not_found"))
            if asked.body.get("model") in self.by_model:
                return self.by_model[asked.body["model"]]
            return self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the server is told to close, or for so long; say whether it was told."""
        return self._closing.wait(seconds)

    def _answering(self) -> type[BaseHTTPRequestHandler]:
        """Return the class that `http.server` wants, tied to this script."""
        script = self

        class Answering(BaseHTTPRequestHandler):
            """Answers one request as the script says."""

            def do_GET(self) -> None:
                """Answer a look at a model, or at what was asked so far."""
                if self.path == "/requests":
                    seen = [{"path": asked.path, "model": asked.body.get("model")} for asked in script.asked]
                    _send(self, replies(seen), script)
                else:
                    self.do_POST()

            def do_POST(self) -> None:
                """Answer a question."""
                sent = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, json.loads(sent or b"{}"))
                _send(self, script.next_step(asked), script)

            def log_message(self, *_: object) -> None:
                """Keep the output of the tests free of it."""

        return Answering


def _send(handler: BaseHTTPRequestHandler, step: Step, script: Scripted) -> None:
    """Send one scripted answer; a client that goes away meanwhile is nobody's fault."""
    script.wait(None if step.way == "hang" else step.delay)
    try:
        handler.send_response_only(step.status)  # no Date of its own: the script decides
        handler.send_header("Content-Type", step.content_type)
        handler.send_header("Content-Length", str(len(step.body)))
        for name, value in step.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        for piece in _pieces(step):
            handler.wfile.write(piece)
            if step.way == "drip" and script.wait(0.05):
                break
    except (BrokenPipeError, ConnectionResetError):
        pass


def _pieces(step: Step) -> Iterator[bytes]:
    """Yield the bytes of an answer in the pieces that its way asks for."""
    if step.way == "drip":
        yield from (bytes([byte]) for byte in step.body)
    else:
        yield step.body[: len(step.body) // 2] if step.way == "cut" else step.body


@contextmanager
def make_openai_engine(*steps: Step, **options: object) -> Iterator[Any]:
    """Give an engine whose API is the scripted server, which says a plate unless *steps* say otherwise."""
    from watcher.engines import openai as vision  # noqa: PLC0415 - the program must run without the package

    with Scripted(*steps) as server:
        engine = vision.create({"api_key": KEY, "base_url": server.url, "models": ["gpt-4o-mini"], **options})
        try:
            yield engine
        finally:
            engine.close()


def main() -> None:
    """Serve on loopback until ended, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--answer", default="1234 BCD", help="the text of every answer")
    parser.add_argument("--status", type=int, default=200, help="answer with this error instead")
    parser.add_argument("--code", default=None, help="the code of that error")
    parser.add_argument("--retry-after", default=None, help="a header of that error")
    parser.add_argument("--way", choices=["whole", "hang", "drip", "cut"], default="whole")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    given = parser.parse_args()
    step = says(given.answer) if given.status == 200 else fails(given.status, code=given.code)
    headers = {"Retry-After": given.retry_after} if given.retry_after else {}
    step = Step(step.status, step.body, headers, given.way, delay=given.delay)
    with Scripted(step, port=given.port) as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        server.wait()


if __name__ == "__main__":
    main()
