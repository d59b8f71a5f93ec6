"""A worker that knows only signals. Its one task is a file, which the test removes to end the task. SIGQUIT lets it finish
the task and exit. A second SIGQUIT cuts the task off, as in much software that people run. The story is in a file, a word for
each start, signal and end."""

import os
import signal
import sys
import time

FOLDER = os.environ["STATE_DIRECTORY"]
draining = False


def tell(word):
    with open(os.path.join(FOLDER, "story"), "a") as story:
        story.write(word + "\n")


def quit(*_):
    global draining
    tell("quit")
    if draining:
        tell("cut")
        sys.exit(1)
    draining = True


signal.signal(signal.SIGQUIT, quit)
tell("start")
while not draining or os.path.exists(os.path.join(FOLDER, "task")):
    time.sleep(0.02)
tell("end")
