"""A server of the Python SDK, for both eras.

server.py stdio
server.py http|sse PORT
"""

import json
import logging
import sys
import warnings
from typing import Annotated, Any

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import Elicit, ListRoots, Resolve, Sample
from mcp.shared.exceptions import MCPError
from mcp_types import CreateMessageResult, ListRootsResult, SamplingMessage, TextContent
from pydantic import BaseModel, Field

warnings.simplefilter("ignore")
KIND, *PORT = sys.argv[1:]
URI = "test://letter"

server = MCPServer("interop-py", version="1.2.3", instructions="be kind, é", log_level="ERROR")
cancelled_calls = 0


class Who(BaseModel):
    name: str


def is_modern(ctx: Context) -> bool:
    return (ctx.protocol_version or "") >= "2026"


def well() -> Sample:
    return Sample([SamplingMessage(role="user", content=TextContent(type="text", text="well?"))], max_tokens=16)


def which() -> ListRoots:
    return ListRoots()


def who() -> Elicit[Who]:
    return Elicit("who?", Who)


@server.tool(description="é")
def echo(text: str, big: int, small: float, deep: dict[str, Any]) -> dict[str, Any]:
    return {"text": text, "big": big, "small": small, "deep": deep}


@server.tool()
async def count(ctx: Context) -> str:
    for done in range(1, 4):
        await ctx.report_progress(done, 3, f"step {done}")
        await ctx.log("info", {"progress": done}, logger_name="count")
    return "counted"


@server.tool()
def ask(answer: Annotated[CreateMessageResult, Resolve(well)]) -> str:
    return answer.model_dump_json(exclude_none=True)


@server.tool()
def roots(answer: Annotated[ListRootsResult, Resolve(which)]) -> str:
    return answer.model_dump_json(exclude_none=True)


@server.tool()
def elicit(answer: Annotated[Who, Resolve(who)]) -> str:
    return answer.model_dump_json()


@server.tool()
def fail() -> str:
    raise ToolError("it failed")


@server.tool()
def refuse() -> str:
    raise MCPError(-32602, "no, é", {"reason": [1, "two"]})


@server.tool()
def routed(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
    return json.dumps({"region": region})


@server.tool()
async def slow() -> str:
    global cancelled_calls
    try:
        await anyio.sleep(10)
    except anyio.get_cancelled_exc_class():
        cancelled_calls += 1
        raise
    return "late"


@server.tool()
def cancelled() -> str:
    return str(cancelled_calls)


@server.tool()
async def touch(ctx: Context) -> str:
    if is_modern(ctx):
        await ctx.notify_resource_updated(URI)
    else:
        await ctx.session.send_resource_updated(URI)
    return "touched"


@server.tool()
async def change(ctx: Context) -> str:
    if is_modern(ctx):
        await ctx.notify_tools_changed()
    else:
        await ctx.session.send_tool_list_changed()
    return "changed"


@server.resource(URI, mime_type="text/plain")
def letter() -> str:
    return "dear\r\n\té"


@server.prompt("grüße")
def greet(name: str) -> str:
    return f"grüße, {name}"


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    if KIND == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http" if KIND == "http" else "sse", host="127.0.0.1", port=int(PORT[0]))
