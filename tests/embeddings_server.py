"""A small server of OpenAI's embeddings protocol on this machine, which a test may let misbehave."""

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


def vector_of(text, dimensions=8):
    """The vector that the server has for a text: float32 (dimensions,)."""
    seed = int.from_bytes(text.encode("utf-8", "surrogatepass")[:64] or b"\0", "big")
    return np.random.default_rng(seed).standard_normal(dimensions).astype(np.float32)


def answer_to(request, change=None):
    """The body that a good server answers a request with, after ``change(body)``."""
    data = [
        {"object": "embedding", "index": index, "embedding": vector_of(text).tolist()}
        for index, text in enumerate(request["input"])
    ]
    tokens = sum(len(text.split()) for text in request["input"])
    body = {"object": "list", "data": data, "model": request["model"], "usage": {"total_tokens": tokens}}
    if change:
        change(body)
    return body


def encoded(vector):
    """A vector as base64 of little-endian float32."""
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()


class Server:
    """What the server was asked, and what it does next.

    Attributes:
        url: The address that ``--model`` names, without the model.
        requests: (headers, body) of each POST.
        replies: What the next requests get, in order: (status, headers, content), or a function of the request's body that gives
            such a triple. Once they are used up, requests are answered well.
        change: A change of each good answer's body.
    """

    def __init__(self, url):
        self.url, self.requests, self.replies, self.change = url, [], [], None

    @property
    def texts(self):
        return [text for _, body in self.requests for text in body["input"]]

    def reply(self, path, headers, body):
        self.requests.append((headers, body))
        if path != "/v1/embeddings":
            return 404, {}, b'{"error": {"message": "unknown route"}}'
        if self.replies:
            reply = self.replies.pop(0)
            return reply(body) if callable(reply) else reply
        return 200, {"Content-Type": "application/json"}, json.dumps(answer_to(body, self.change)).encode()


@contextmanager
def serving(wrap=lambda socket: socket):
    """Run a server on a free port until the block ends. ``wrap`` may put TLS around its socket."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, headers, content = server.reply(self.path, dict(self.headers), body)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            pass

    listening = Quiet(("127.0.0.1", 0), Handler)
    listening.socket = wrap(listening.socket)
    server = Server(f"http://127.0.0.1:{listening.server_address[1]}/v1")
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
