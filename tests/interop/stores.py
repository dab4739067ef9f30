"""What the legs of the object stores share: checks, a tapline with an environment of its own, and a door that can be shut in front of a store."""

import http.client
import http.server
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent.parent
TAPLINE = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "target/debug/tapline")
TAPE = ROOT / "tapes/demo.tape.jsonl"
DEMO = [TAPLINE, "__demo-server"]
# Of tapline's: a file beside the tape says how many of these have gone.
PART = 8 << 20
failed = 0


def check(what, holds, why=""):
    global failed
    failed += not holds
    print(f"{'ok  ' if holds else 'FAIL'}  {what}{'' if holds else f': {why}'}", flush=True)


def done():
    print(f"{failed} failed")
    sys.exit(failed > 0)


def environment(home):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("TAPLINE_", "AWS_", "GOOGLE_", "AZUR", "STORAGE_"))}
    return env | {"HOME": home, "XDG_DATA_HOME": home, "TMPDIR": home, "TAPLINE_NO_CONTROL": "1", "TAPLINE_NO_DATABASE": "1"}


def run(env, *args):
    return subprocess.run([TAPLINE, *map(str, args)], env=env, capture_output=True, text=True, timeout=120)


def large(path):
    """A tape of more than four parts."""
    head, line = TAPE.read_text().split("\n", 1)[0], '{"seq":%d,"at":%d,"dir":"c2s","via":"stdio","msg":{"jsonrpc":"2.0","method":"x","params":{"a":"%s"}}}'
    path.write_text(head + "\n" + "\n".join(line % (n, n, "y" * 1000) for n in range(1, 40_000)) + "\n")
    return -(-path.stat().st_size // PART)


class Door(http.server.BaseHTTPRequestHandler):
    """In front of a store: counts the parts that pass, lets none through after so many, and nobody with another token than is asked for.
    `late`: whoever looks first is told that nothing is there, as it was before another wrote."""

    protocol_version = "HTTP/1.1"
    store, parts, most, token, late = None, 0, None, None, False

    def relay(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if Door.token and self.headers.get("authorization") != Door.token:
            return self.refuse(401)
        if Door.late and self.command == "HEAD":
            Door.late = False
            return self.refuse(404)
        if re.search(r"partNumber=|comp=block(&|$)", self.path):
            Door.parts += 1
            if Door.most is not None and Door.parts > Door.most:
                return self.refuse(403)
        link = http.client.HTTPConnection(urlsplit(Door.store).netloc)
        # As it came, since it is signed.
        link.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() != "connection":
                link.putheader(name, value)
        link.endheaders(body)
        answer = link.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "connection", "keep-alive", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.send_header("content-length", str(answer.headers.get("content-length", len(content)) if self.command == "HEAD" else len(content)))
        self.end_headers()
        self.wfile.write(content)
        link.close()

    def refuse(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = relay

    def log_message(self, *_):
        pass


def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def broken_off(env, door, tape, to, content):
    """An upload of several parts that breaks off, and goes on; `door`: the environment in which the store is behind a door."""
    parts = large(tape)
    Door.parts, Door.most = 0, 2
    broken = run(env | door, "tape", "upload", tape, "--to", to)
    kept = Path(f"{tape}.upload")
    check("an upload that breaks off is said", broken.returncode == 1 and "403" in broken.stderr and kept.exists(), broken)
    Door.parts, Door.most = 0, None
    again = run(env | door, "tape", "upload", tape, "--to", to)
    check("goes on with the part that failed", again.returncode == 0 and Door.parts == parts - 2, (again, Door.parts, parts))
    check("and is whole", content() == tape.read_bytes())
    check("with nothing left beside the tape", not kept.exists())


def forgotten(env, door, tape, to, part, content):
    """An upload that the store has given up meanwhile; `part`: what it calls a part that it does not have."""
    Door.parts, Door.most = 0, 2
    run(env | door, "tape", "upload", tape, "--to", to)
    kept = Path(f"{tape}.upload")
    kept.write_text(re.sub(r'"parts":\[.*\]', f'"parts":["{part}","{part}"]', kept.read_text()))
    Door.parts, Door.most = 0, None
    again = run(env | door, "tape", "upload", tape, "--to", to)
    check("one that the store has forgotten begins anew", again.returncode == 0 and content() == tape.read_bytes() and not kept.exists(), again)


def kept_or_replaced(env, to, content, put):
    """What is there under the name stays, unless it is said that it goes; `to`: a prefix, `put`: has something there."""
    put(b"somebody's")
    refused = run(env, "tape", "upload", TAPE, "--to", to)
    one_line("what is there already is not replaced", refused, "is there already", "--overwrite")
    check("and stays as it is", refused.returncode == 1 and content() == b"somebody's", refused)
    replaced = run(env, "tape", "upload", TAPE, "--to", to, "--overwrite")
    check("and is replaced with `--overwrite`", replaced.returncode == 0 and content() == TAPE.read_bytes(), replaced)


def came_late(env, door, tape, to, content, put):
    """Another has written under the name between looking and writing there; `tape`: a small one or a large one."""
    put(b"somebody's")
    Door.late, Door.most = True, None
    refused = run(env | door, "tape", "upload", tape, "--to", to)
    one_line(f"{tape.name}: the store refuses what another was faster to write", refused, "is there already", "--overwrite")
    check("and that stays as it is", refused.returncode == 1 and not Door.late and content() == b"somebody's", refused)


def one_line(what, ran, *words):
    """A failure that is told in one line, with all of these words."""
    lines = ran.stderr.strip().splitlines()
    holds = ran.returncode in (1, 2) and len(lines) == 1 and all(word in lines[0] for word in words)
    check(what, holds and "<" not in ran.stderr and len(ran.stderr) < 400, ran)
