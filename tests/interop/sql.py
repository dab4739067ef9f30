"""The queries of assets/sql over 1,000 generated tapes, with the real DuckDB: what they say is what was put in.

    tests/interop/run sql [TAPES [TAPLINE]]
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

SQL = Path(__file__).parent.parent.parent / "assets" / "sql"
COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
WEEK = 7 * 86_400_000_000
MONDAY = 1_795_392_000_000_000  # 2026-11-23


def tape(number):
    """Two calls of `quick`, one of `slow` that is slower each week, a failure with version 2, and every tenth hangs."""
    version = "2.0.0" if number % 2 else "1.0.0"
    week = number % 4
    lines = [
        {"tapline": 1, "version": "0.1.0", "session": f"01a2097c-74ca-7690-a877-{number:012x}", "upstream": "x", "via": "stdio", "started": MONDAY - week * WEEK},
        {"mark": "peer", "at": 1, "protocol": "2025-11-25", "client": {"name": "c", "version": "1"}, "server": {"name": "s", "version": version}},
    ]
    seq = 0

    def call(method, name, took, **reply):
        nonlocal seq
        params = {"name": name, "arguments": {}} if name else {}
        subject = {"method": method, **({"name": name} if name else {})}
        lines.append({"seq": seq + 1, "at": seq * 1000, "dir": "c2s", "via": "stdio", "kind": "request", **subject, "id": seq, "msg": {"jsonrpc": "2.0", "id": seq, "method": method, "params": params}})
        if reply:
            kind = "error" if "error" in reply else "result"
            lines.append({"seq": seq + 2, "at": seq * 1000 + took, "dir": "s2c", "via": "stdio", "kind": kind, **subject, "id": seq, "re": seq + 1, "dt": took, "msg": {"jsonrpc": "2.0", "id": seq, **reply}})
        seq += 2

    call("tools/list", None, 500, result={"tools": [{"name": "quick", "description": "q" * 400}, {"name": "slow"}]})
    text = lambda length: {"content": [{"type": "text", "text": "x" * length}]}
    call("tools/call", "quick", 1_000, result=text(40))
    call("tools/call", "quick", 1_000, result=text(40))
    call("tools/call", "slow", 100_000 * (4 - week), result=text(4000))
    if version == "2.0.0":
        call("tools/call", "quick", 1_000, error={"code": -32603, "message": "no"})
    if number % 10 == 0:
        call("tools/call", "slow", 0)
    else:
        lines.append({"mark": "end", "at": 1, "reason": "quit"})
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)


def run(database, name):
    return database.execute((SQL / f"{name}.sql").read_text()).fetchall()


with tempfile.TemporaryDirectory() as place:
    for number in range(COUNT):
        (Path(place) / f"{number}.tape.jsonl").write_text(tape(number))
    # A torn one does no harm.
    with (Path(place) / "0.tape.jsonl").open("a") as torn:
        torn.write('{"seq":99,"at":')
    database = duckdb.connect()
    database.execute(f"SET VARIABLE tapes = '{place}/*.tape.jsonl*'")
    database.execute((SQL / "tapes.sql").read_text())
    assert database.execute("SELECT count(*) FROM sessions").fetchone() == (COUNT,)

    slowest = run(database, "slowest-tools-by-week")
    assert [(str(week), tool, p95) for week, _, tool, _, _, p95 in slowest if tool == "slow"] == [
        ("2026-11-23", "slow", 400.0), ("2026-11-16", "slow", 300.0), ("2026-11-09", "slow", 200.0), ("2026-11-02", "slow", 100.0),
    ], slowest
    errors = run(database, "error-codes-by-server-version")
    assert errors == [("s", "2.0.0", "error -32603", "quick", COUNT // 2, COUNT // 2)], errors
    costs = {tool: (calls, tokens, definition) for _, tool, calls, tokens, _, _, definition in run(database, "token-cost-by-tool")}
    assert costs["slow"][0] == COUNT and costs["slow"][1] > 1000 * COUNT and costs["quick"][2] > 100, costs
    hung = run(database, "sessions-that-hung")
    assert len(hung) == COUNT // 10 and all(row[4:6] == ("tools/call", "slow") and row[7] is None for row in hung), hung[:3]

    # Tapes that tapline itself packed are read as they are.
    if len(sys.argv) > 2:
        # Whichever taplines run beside this, none records these tapes.
        environment = {**os.environ, "TAPLINE_RUNTIME_DIR": f"{place}/none"}
        names = [path.name for path in Path(place).glob("*.tape.jsonl")]
        subprocess.run([os.path.abspath(sys.argv[2]), "tape", "pack", *names], check=True, stdout=subprocess.DEVNULL, cwd=place, env=environment)
        assert database.execute("SELECT count(*) FROM sessions").fetchone() == (COUNT,)
        assert run(database, "error-codes-by-server-version") == errors
print(f"sql: 4 queries over {COUNT} tapes with DuckDB {duckdb.__version__}")
