"""Tapes in an object store: recorded to it, read from it, broken off and gone on with, with the real server of moto.

    cargo build --features object-store
    tests/interop/run store [TAPLINE]
"""

import http.server
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

ROOT = Path(__file__).resolve().parent.parent.parent
TAPLINE = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "target/debug/tapline")
TAPE = ROOT / "tapes/demo.tape.jsonl"
DEMO = [TAPLINE, "__demo-server"]
failed = 0


def check(what, holds, why=""):
    global failed
    failed += not holds
    print(f"{'ok  ' if holds else 'FAIL'}  {what}{'' if holds else f': {why}'}")


class Folder(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Doorkeeper(http.server.BaseHTTPRequestHandler):
    """In front of the store: counts the parts that pass, and lets none through after so many."""

    protocol_version = "HTTP/1.1"
    parts, most = 0, None

    def relay(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if "partNumber=" in self.path:
            Doorkeeper.parts += 1
            if Doorkeeper.most is not None and Doorkeeper.parts > Doorkeeper.most:
                self.send_response(403)
                self.send_header("content-length", "0")
                self.end_headers()
                return
        request = urllib.request.Request(STORE + self.path, data=body or None, method=self.command)
        request.add_header("content-type", self.headers.get("content-type", "application/octet-stream"))
        for name, value in self.headers.items():
            if name.lower() not in ("content-length", "connection"):
                request.add_header(name, value)
        try:
            answer = urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            answer = error
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.send_header("content-length", str(answer.headers.get("content-length", len(content)) if self.command == "HEAD" else len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = relay

    def log_message(self, *_):
        pass


def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


logging.getLogger("werkzeug").setLevel(logging.ERROR)
moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
moto.start()
host, port = moto.get_host_and_port()
STORE = f"http://{host}:{port}"
s3 = boto3.client("s3", endpoint_url=STORE, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s")
s3.create_bucket(Bucket="tapes")


def objects(prefix=""):
    return {it["Key"]: it["Size"] for it in s3.list_objects_v2(Bucket="tapes", Prefix=prefix).get("Contents", [])}


def content(key):
    return s3.get_object(Bucket="tapes", Key=key)["Body"].read()


with tempfile.TemporaryDirectory() as home:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("TAPLINE_", "AWS_"))}
    env |= {"HOME": home, "XDG_DATA_HOME": home, "TMPDIR": home, "TAPLINE_NO_CONTROL": "1", "TAPLINE_NO_DATABASE": "1"}
    env |= {"AWS_ENDPOINT_URL": STORE, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1"}

    def tapline(*args, **more):
        return subprocess.run([TAPLINE, *map(str, args)], env=env | more, capture_output=True, text=True, timeout=120)

    # Sent, and read by each command that reads.
    sent = tapline("tape", "upload", TAPE, "--to", "s3://tapes/team/")
    check("upload sends the bytes of the file", sent.returncode == 0 and content("team/demo.tape.jsonl") == TAPE.read_bytes(), sent)
    url = "s3://tapes/team/demo.tape.jsonl"
    shown = tapline("tape", "show", url)
    check("show", shown.returncode == 0 and "get_forecast" in shown.stdout, shown)
    packed = Path(home) / "packed.tape.jsonl"
    packed.write_bytes(TAPE.read_bytes())
    tapline("tape", "pack", packed)
    tapline("tape", "upload", f"{packed}.zst", "--to", "s3://tapes/team/")
    check("show of a packed one", "get_forecast" in tapline("tape", "show", "s3://tapes/team/packed.tape.jsonl.zst").stdout)
    differs = tapline("tape", "diff", url, TAPE)
    check("diff with a file", differs.returncode == 0, differs)
    found = tapline("search", "~tool get_forecast", "s3://tapes/team/")
    check("search of all below a prefix", found.returncode == 0 and "packed" in found.stdout and "demo" in found.stdout, found)
    none = tapline("search", "~tool get_forecast", "s3://tapes/nothing/")
    check("an empty prefix is said", none.returncode == 2 and "no tape below" in none.stderr, none)
    replayed = tapline("replay", url, "--speed", "max", "--", *DEMO)
    check("replay", replayed.returncode == 0 and "0 failed" in replayed.stdout, replayed)
    asked = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {}})
    first = next(line for line in TAPE.read_text().splitlines() if '"initialize"' in line and '"dir":"c2s"' in line)
    mocked = subprocess.run([TAPLINE, "mock", url, "--stdio"], env=env, input=json.dumps(json.loads(first)["msg"]) + "\n" + asked + "\n", capture_output=True, text=True, timeout=60)
    check("mock", '"id":7' in mocked.stdout and "get_forecast" in mocked.stdout, mocked)
    check("nothing fetched is left behind", not [it for it in Path(home).glob("tapline-*")])
    missing = tapline("tape", "show", "s3://tapes/team/none.tape.jsonl")
    check("a tape that is not there is said", missing.returncode == 2 and "none.tape.jsonl" in missing.stderr, missing)
    noted = tapline("tape", "note", url, "text")
    check("one is not changed where it lies", noted.returncode == 2 and "tape upload" in noted.stderr, noted)
    files = serve(partial(Folder, directory=ROOT / "tapes"))
    over_http = tapline("tape", "show", f"{files}/demo.tape.jsonl")
    check("show over http://", over_http.returncode == 0 and "get_forecast" in over_http.stdout, over_http)

    # Recorded, and sent when it is closed.
    recorded = tapline("replay", TAPE, "--speed", "max", "--record", "s3://tapes/recorded/", "--", *DEMO)
    kept = {it.name: it for it in Path(home).rglob("*.tape.jsonl") if it != packed}
    there = {Path(key).name: key for key in objects("recorded/")}
    check("what is recorded is sent", recorded.returncode == 0 and len(there) == 1 and there.keys() <= kept.keys(), (there, kept, recorded))
    for name, key in there.items():
        check("as the file is", content(key) == kept[name].read_bytes())
        verified = tapline("tape", "verify", f"s3://tapes/{key}")
        check("sealed", verified.returncode == 0 and "sealed" in verified.stdout, verified)
    client = subprocess.run([TAPLINE, "stdio", "--tapes", "s3://tapes/stdio/", "--", *DEMO], env=env, input=json.dumps(json.loads(first)["msg"]) + "\n", capture_output=True, text=True, timeout=60)
    check("a session of a client is sent", len(objects("stdio/")) == 1 and '"result"' in client.stdout, client)

    # A store that cannot be reached costs nothing but a line.
    before = {it for it in Path(home).rglob("*.tape.jsonl")}
    unreached = tapline("replay", TAPE, "--speed", "max", "--record", "s3://tapes/later/", "--", *DEMO, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    new = {it for it in Path(home).rglob("*.tape.jsonl")} - before
    check("a store that is gone fails no replay", unreached.returncode == 0 and "0 failed" in unreached.stdout, unreached)
    check("and is said, with the way to send it", len(new) == 1 and "could not be sent" in unreached.stderr and "tape upload" in unreached.stderr, unreached)
    later = tapline("tape", "upload", *new, "--to", "s3://tapes/later/")
    check("which works", later.returncode == 0 and len(objects("later/")) == 1, later)

    # Broken off, and gone on with.
    large = Path(home) / "large.tape.jsonl"
    head, line = TAPE.read_text().split("\n", 1)[0], '{"seq":%d,"at":%d,"dir":"c2s","via":"stdio","msg":{"jsonrpc":"2.0","method":"x","params":{"a":"%s"}}}'
    large.write_text(head + "\n" + "\n".join(line % (n, n, "y" * 1000) for n in range(1, 40_000)) + "\n")
    door = serve(Doorkeeper)
    Doorkeeper.most = 2
    broken = tapline("tape", "upload", large, "--to", "s3://tapes/large/", AWS_ENDPOINT_URL=door)
    check("an upload that breaks off is said", broken.returncode == 1 and not objects("large/"), broken)
    Doorkeeper.parts, Doorkeeper.most = 0, None
    again = tapline("tape", "upload", large, "--to", "s3://tapes/large/", AWS_ENDPOINT_URL=door)
    parts = -(-large.stat().st_size // (8 << 20))
    check("goes on with the part that failed", again.returncode == 0 and Doorkeeper.parts == parts - 2, (again, Doorkeeper.parts, parts))
    check("and is whole", content("large/large.tape.jsonl") == large.read_bytes())
    check("with nothing left beside the tape", not list(Path(home).glob("*.upload")))

moto.stop()
print(f"{failed} failed")
sys.exit(failed > 0)
