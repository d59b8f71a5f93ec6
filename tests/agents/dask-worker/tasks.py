import distributed

import task

client = distributed.Client("tcp://127.0.0.1:8786")


def enqueue(number):
    distributed.fire_and_forget(client.submit(task.run, number, pure=False))
