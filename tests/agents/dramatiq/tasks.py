import dramatiq
from dramatiq.brokers.redis import RedisBroker

import task

dramatiq.set_broker(RedisBroker())


@dramatiq.actor
def work(number):
    task.run(number)


def enqueue(number):
    work.send(number)
