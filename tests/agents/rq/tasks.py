import redis
import rq

import task

queue = rq.Queue("work", connection=redis.Redis())


def enqueue(number):
    queue.enqueue(task.run, number)
