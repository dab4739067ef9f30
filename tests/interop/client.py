"""A client of the Python SDK. Writes all that its application could see as lines of JSON, for `driver.mjs` to compare.

    client.py auto|legacy stdio COMMAND...
    client.py auto|legacy http|sse URL
"""

import json
import sys
import warnings
from pathlib import Path

import anyio
import mcp_types as types
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.shared.exceptions import MCPError

warnings.simplefilter("ignore")
MODE, TRANSPORT, *TARGET = sys.argv[1:]
CALLS = json.loads((Path(__file__).parent / "calls.json").read_text())

asked: list = []
aside: dict[str, list] = {}


def plain(value):
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return value


def write(what, **value):
    sys.stdout.write(json.dumps({"what": what, **{key: plain(it) for key, it in value.items()}}) + "\n")
    sys.stdout.flush()


async def sample(_, params):
    asked.append({"method": "sampling/createMessage", "params": plain(params)})
    return types.CreateMessageResult.model_validate(CALLS["answers"]["sampling"])


async def elicit(_, params):
    asked.append({"method": "elicitation/create", "params": plain(params)})
    return types.ElicitResult.model_validate(CALLS["answers"]["elicitation"])


async def roots(_):
    asked.append({"method": "roots/list", "params": None})
    return types.ListRootsResult.model_validate(CALLS["answers"]["roots"])


async def hear(message):
    if isinstance(message, Exception):
        aside.setdefault("error", []).append(f"{type(message).__name__}: {message}")
    else:
        message = plain(message)
        if message["method"] != "notifications/progress":
            key = f"{message['method']} {message.get('params', {}).get('logger', '')}"
            aside.setdefault(key, []).append(message.get("params"))


def heard():
    return sum(len(values) for values in aside.values())


async def outcome(what, work):
    asked.clear()
    progress = []

    async def on_progress(done, total, message):
        progress.append([done, total, message])

    try:
        with anyio.fail_after(15):
            result = await work(on_progress)
        write(what, asked=list(asked), progress=progress, result=result)
        return result
    except MCPError as error:
        write(what, asked=list(asked), progress=progress, error=plain(error.error))
    except Exception as error:
        write(what, asked=list(asked), progress=progress, error=f"{type(error).__name__}: {error}")


async def until(is_true, patience=1.5):
    with anyio.move_on_after(patience):
        while not await is_true():
            await anyio.sleep(0.02)


def target():
    if TRANSPORT == "stdio":
        return StdioServerParameters(command=TARGET[0], args=TARGET[1:])
    return sse_client(TARGET[0]) if TRANSPORT == "sse" else TARGET[0]


async def cancelled(client, name, arguments):
    with anyio.move_on_after(0.4):
        return await client.call_tool(name, arguments)
    return "cancelled"


async def listen(client, uri, tools):
    async with client.listen(tools_list_changed=True, resource_subscriptions=[uri]) as subscription:
        write("listening", honored=subscription.honored)
        await touch(client, uri, tools)


async def touch(client, uri, tools):
    for name in (name for name in CALLS["subscribed"] if name in tools):
        before = heard()
        await outcome(f"tools/call {name}", lambda progress: client.call_tool(name, {"uri": uri}, progress_callback=progress))

        async def more():
            return heard() > before

        await until(more)


async def talk(client):
    era = "legacy" if client.protocol_version < "2026" else "modern"
    write(
        "connected",
        era=era,
        version=client.protocol_version,
        server=client.server_info,
        capabilities=client.server_capabilities,
        instructions=client.instructions,
    )

    async def was_asked():
        return bool(asked)

    await until(was_asked, 0.7)
    await anyio.sleep(0.1)
    write("asked at the start", asked=list(asked))
    if era == "legacy":
        await outcome("ping", lambda _: client.send_ping())
        await outcome("logging/setLevel", lambda _: client.set_logging_level("debug"))
    # Whether this is heard is a race of the client's: its listening stream against what makes the server say it.
    aside.pop("notifications/tools/list_changed ", None)

    offered = client.server_capabilities
    tools = await outcome("tools/list", lambda _: client.list_tools())
    tools = [tool.name for tool in tools.tools] if tools else []
    if offered.prompts:
        prompts = await outcome("prompts/list", lambda _: client.list_prompts())
        for prompt in prompts.prompts:
            await outcome(
                f"prompts/get {prompt.name}", lambda _: client.get_prompt(prompt.name, CALLS["prompts"].get(prompt.name, {}))
            )
    if offered.resources:
        await outcome("resources/list", lambda _: client.list_resources())
        await outcome("resources/templates/list", lambda _: client.list_resource_templates())
        for uri in CALLS["resources"][client.server_info.name]:
            await outcome(f"resources/read {uri}", lambda _: client.read_resource(uri))
    if offered.completions:
        ref = types.PromptReference(name="completable-prompt")
        await outcome("completion/complete", lambda _: client.complete(ref, {"name": "department", "value": "E"}))

    for name in (name for name in tools if name not in CALLS["later"]):
        await outcome(
            f"tools/call {name}",
            lambda progress: client.call_tool(name, CALLS["arguments"].get(name, {}), progress_callback=progress),
        )

    uri = CALLS["resources"][client.server_info.name][0]
    if era == "modern":
        await outcome("listen", lambda _: listen(client, uri, tools))
    else:
        if offered.resources and offered.resources.subscribe:
            await outcome("resources/subscribe", lambda _: client.subscribe_resource(uri))
        await touch(client, uri, tools)
    after = await client.list_tools()
    write("tools/list afterwards", tools=[tool.name for tool in after.tools])

    for name in (name for name in CALLS["cancelled"] if name in tools):
        await outcome(f"cancelled {name}", lambda _: cancelled(client, name, CALLS["cancelled"][name]))
    if "cancelled" in tools:
        count = None

        async def any_cancelled():
            nonlocal count
            count = (await client.call_tool("cancelled", {})).content[0].text
            return count != "0"

        await until(any_cancelled)
        write("cancelled calls that the server knows of", count=count)

    await outcome("tools/call no such tool", lambda _: client.call_tool("no such tool", {}))
    if offered.resources:
        await outcome("resources/read test://missing", lambda _: client.read_resource("test://missing"))

    await anyio.sleep(0.15)
    for key in sorted(aside):
        write("heard", key=key, values=aside[key])


async def main():
    client = Client(
        target(),
        mode=MODE,
        client_info=types.Implementation(name="interop", version="1.0.0"),
        sampling_callback=sample,
        elicitation_callback=elicit,
        list_roots_callback=roots,
        message_handler=hear,
        log_level="debug",
        # A list that is read twice is asked for twice.
        cache=None,
    )
    async with client:
        await talk(client)
    write("closed")


anyio.run(main)
