"""Tapes in an object store: recorded to it, read from it, broken off and gone on with, with the real server of moto.

    cargo build --features object-store
    tests/interop/run store [TAPLINE]
"""

import http.server
import json
import logging
import subprocess
import tempfile
import urllib.request
from functools import partial
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

from stores import DEMO, ROOT, TAPE, TAPLINE, Door, broken_off, came_late, check, done, environment, forgotten, kept_or_replaced, one_line, run, serve


class Folder(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


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
    env = environment(home) | {"AWS_ENDPOINT_URL": STORE, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1"}

    def tapline(*args, **more):
        return run(env | more, *args)

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
    Door.store = STORE
    tape, door = Path(home) / "large.tape.jsonl", {"AWS_ENDPOINT_URL": serve(Door)}
    broken_off(env, door, tape, "s3://tapes/large/", lambda: content("large/large.tape.jsonl"))
    forgotten(env, door, tape, "s3://tapes/again/", "none", lambda: content("again/large.tape.jsonl"))

    kept_or_replaced(env, "s3://tapes/kept/", lambda: content("kept/demo.tape.jsonl"), lambda body: s3.put_object(Bucket="tapes", Key="kept/demo.tape.jsonl", Body=body))

    for late in (TAPE, tape):
        key = f"late/{late.name}"
        came_late(env, door, late, "s3://tapes/late/", lambda: content(key), lambda body: s3.put_object(Bucket="tapes", Key=key, Body=body))

    # Refused.
    one_line("a bucket that is not there is said", tapline("tape", "upload", TAPE, "--to", "s3://none/"), "NoSuchBucket", "`none`")
    one_line("and when it is listed", tapline("tape", "ls", "s3://none/"), "NoSuchBucket", "`none`")
    one_line("a store that is gone is said", tapline("tape", "show", url, AWS_ENDPOINT_URL="http://127.0.0.1:9"), "http://127.0.0.1:9", "refused")
    # From here on, moto asks who it is.
    urllib.request.urlopen(urllib.request.Request(f"{STORE}/moto-api/reset-auth", data=b"0", headers={"content-type": "text/plain"}))
    one_line("a wrong key is said", tapline("tape", "show", url), "403", "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID")

moto.stop()
done()
