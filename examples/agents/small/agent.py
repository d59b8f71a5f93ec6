import http.server, json, threading, time

draining = threading.Event()
in_flight = 0

def work():
    global in_flight
    while True:
        in_flight = 1          # set first, so "drained" is never read while a task begins
        if draining.is_set():
            break
        time.sleep(5)          # a task
        in_flight = 0
    in_flight = 0

class Drain(http.server.BaseHTTPRequestHandler):
    def answer(self):
        state = "serving" if not draining.is_set() else "draining" if in_flight else "drained"
        body = json.dumps({"state": state, "in_flight": in_flight}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        print("draining by", order["deadline"], "because", order["notice"])
        draining.set()
        self.answer()

    def do_GET(self):
        self.answer()

threading.Thread(target=work).start()
http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Drain).serve_forever()
