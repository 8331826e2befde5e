"""The page that is there while the app is still being imported: says so, takes the first message, and becomes the app as soon as that answers.

Importing Gradio takes seconds. This module needs the standard library alone. What is sent here stands in the address as `?q=`, which the app answers like any link.
"""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

from genrec.settings import STARTING

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>GenRec</title><link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; font-family: system-ui, sans-serif; }
body { max-width: 40rem; margin: 15vh auto 0; padding: 0 1rem; line-height: 1.5; }
form { display: flex; gap: .5rem; }
input { flex: 1; min-width: 0; } input, button { font: inherit; padding: .6rem .8rem; }
</style></head><body>
<h1>GenRec</h1>
<p id="tagline">Say what you like. A language model writes you a recommendation.</p>
<form><input name="q" id="box" maxlength="2000" required autofocus autocomplete="off" aria-label="Your message" placeholder="A mood, an evening, a film you loved …"><button>Send</button></form>
<p id="note" role="status">Starting; a few seconds. You can write already.</p>
<noscript><meta http-equiv="refresh" content="3"></noscript>
<script>
const isChinese = /^zh/i.test(navigator.language);
const says = isChinese
  ? {note: '正在启动，还要几秒。现在就可以写。', kept: '正在启动，还要几秒。你的话已收到，随后回答。', ready: '好了，请点“发送”。', tagline: '说说你喜欢什么，语言模型为你写一段推荐。', hint: '一种心情、一个晚上、一部你喜欢的电影……', send: '发送', label: '你的话'}
  : {note: 'Starting; a few seconds. You can write already.', kept: 'Starting; a few seconds. Your message is kept and answered then.', ready: 'Ready: press Send.', tagline: 'Say what you like. A language model writes you a recommendation.', hint: 'A mood, an evening, a film you loved …', send: 'Send', label: 'Your message'};
const find = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search).get('q') || '';
const box = find('box'), note = find('note');
if (isChinese) document.documentElement.lang = 'zh';
find('tagline').textContent = says.tagline; box.placeholder = says.hint; box.ariaLabel = says.label; document.querySelector('button').textContent = says.send;
box.value = asked;
note.textContent = asked ? says.kept : says.note;
async function look() {
  try {
    const answer = await fetch(location.pathname, {method: 'HEAD', cache: 'no-store'});
    if (!answer.headers.has('MARK')) {
      if (box.value === asked) { location.reload(); return; }
      note.textContent = says.ready;  // whoever is writing is not interrupted
      return;
    }
  } catch { /* the one server has ended and the other not begun */ }
  setTimeout(look, 300);
}
look();
</script></body></html>
""".replace("MARK", STARTING).encode()


class _Answer(BaseHTTPRequestHandler):
    timeout = 10  # seconds for a request to arrive

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/":
            self._send(200, "text/html; charset=utf-8", _PAGE)
        else:
            self._send(503, "application/json", b'{"status": "warming"}')

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._send(503, "application/json", b'{"status": "warming"}')

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Retry-After", "1"),
            (STARTING, "1"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: an address holds what a visitor wrote."""


class WaitingPage(ThreadingHTTPServer):
    """Serves from a thread of its own until it is closed."""

    def __init__(self, host: str, port: int):
        """
        Raises:
            OSError: the address cannot be served.
        """
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host.strip("[]"), port), _Answer)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, name="waiting", daemon=True).start()

    def server_bind(self) -> None:
        """Without the look-up of the host's name that HTTPServer makes, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_port = self.server_address[1]

    def close(self) -> None:
        """Gives the port free."""
        self.shutdown()
        self.server_close()
