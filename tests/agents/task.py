"""A task of the workers in Python. It ends when the test removes a file."""

import os
import time


def log(line):
    with open("/srv/work/log", "a") as file:
        file.write(line + "\n")


def run(number):
    log(f"started {number}")
    while os.path.exists("/srv/work/hold"):
        time.sleep(0.05)
    log(f"finished {number}")
