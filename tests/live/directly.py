"""An ASGI application that writes to its socket directly, and says so, for test_live_line.py."""

from typing import Any

from notifications.stream.line import Frame, direct

SIZES = (5, 125, 126, 65_535, 65_536)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    put = direct(send)
    for size in SIZES:
        # One letter of two bytes, so that what is counted is bytes.
        text = "ü" + "x" * (size - 2)
        if put is None or not put(Frame(text)):
            text = f"the long way, {size}"
            await send({"type": "websocket.send", "text": text})
    while (await receive())["type"] == "websocket.receive":
        pass
