"""A task of the workers in Python. It ends when the test removes a file. As a program, this queues as many tasks as its
argument says."""

import os
import sys
import time


def log(line):
    with open("/srv/work/log", "a") as file:
        file.write(line + "\n")


def run(number):
    log(f"started {number}")
    while os.path.exists("/srv/work/hold"):
        time.sleep(0.05)
    log(f"finished {number}")


if __name__ == "__main__":
    import tasks

    for number in range(int(sys.argv[1])):
        tasks.enqueue(number)
