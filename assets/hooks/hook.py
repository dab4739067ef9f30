"""A hook in Python: `do = { hook = { command = ["python3", "hook.py"] } }`. One JSON-RPC request a line in, one reply a line out."""
import json, sys

for line in sys.stdin:
    request = json.loads(line)
    payload, result = request["params"]["payload"] or {}, {}
    if payload.get("name") == "delete":
        result = {"valid": False, "messages": [{"message": "nothing is deleted here"}]}
    elif "arguments" in payload:
        payload["arguments"]["seen_by"] = "python"
        result = {"modified": True, "payload": payload}
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)
