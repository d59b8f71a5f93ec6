import huey as library

import task

huey = library.RedisHuey()


@huey.task()
def work(number):
    task.run(number)


def enqueue(number):
    work(number)
