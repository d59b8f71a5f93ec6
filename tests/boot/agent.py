"""An agent whose one task is a file. The test removes the file to end the task. Like a task in a queue, the file
outlives the process, so a restarted agent continues with it."""

import http.server
import json
import os

TASK = os.path.join(os.environ["STATE_DIRECTORY"], "task")
draining = False


class Drain(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self):
        in_flight = int(os.path.exists(TASK))
        state = "serving" if not draining else "draining" if in_flight else "drained"
        body = json.dumps({"state": state, "in_flight": in_flight}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        global draining
        draining = True
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer()

    def do_GET(self):
        self.answer()


http.server.HTTPServer(("127.0.0.1", 8080), Drain).serve_forever()
