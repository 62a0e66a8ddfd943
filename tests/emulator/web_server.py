"""User data of an instance that serves HTTP on port 80: a server that does what a test asks of it."""

from __future__ import annotations

import base64
import sys

SERVE = """
import http.server, json, os, socket, socketserver, time
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads, request_queue_size = True, 128
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *arguments): pass
    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length)
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        if self.path.startswith("/sleep"): time.sleep(1)
        if self.headers.get("Upgrade") == "echo":
            self.send_response(101)
            self.send_header("Upgrade", "echo")
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            while data := self.rfile.read1(): self.wfile.write(data.upper())
            return
        if self.path.startswith("/reach/"): return self.reach(*self.path.split("/")[2:])
        if self.path == "/drop": return setattr(self, "close_connection", True)
        body = os.environ["HOSTNAME"].encode()
        if self.path == "/echo": body = content
        if self.path == "/headers": body = json.dumps(self.headers.items()).encode()
        self.send_response(int(self.path[8:]) if self.path.startswith("/status/") else 200)
        if self.path == "/login": self.send_header("Set-Cookie", "SESSION=" + os.environ["HOSTNAME"] + "; path=/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)
    def reach(self, address, port):
        try:
            with socket.create_connection((address, int(port)), 20) as made:
                made.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
                said = b"yes" if made.recv(100).startswith(b"HTTP/1.1 200") else b"closed"
        except OSError as error:
            said = str(error).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
    do_GET = do_HEAD = do_POST = do_DELETE = answer
Server(os.environ["INSTANCE_PORTS"] + "/80", Handler).serve_forever()
"""
WEB = f"""#!/bin/bash
cat > "$INSTANCE_ROOT/tmp/serve.py" <<'END'{SERVE}END
cat > "$INSTANCE_ROOT/etc/systemd/system/web.service" <<'END'
[Service]
ExecStart=/bin/sh -c 'rm -f "$INSTANCE_PORTS/80"; exec {sys.executable} "$INSTANCE_ROOT/tmp/serve.py"'
[Install]
WantedBy=multi-user.target
END
systemctl enable --now web
"""


def user_data() -> str:
    """As a server is created with it."""
    return base64.b64encode(WEB.encode()).decode()
