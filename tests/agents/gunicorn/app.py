import os
import time


def application(_, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"started\n"
    while os.path.exists("/srv/work/hold"):
        time.sleep(0.05)
    yield b"finished\n"
