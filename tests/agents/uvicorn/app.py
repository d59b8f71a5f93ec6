import asyncio
import os


async def application(scope, _, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"started\n", "more_body": True})
    while os.path.exists("/srv/work/hold"):
        await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": b"finished\n"})
