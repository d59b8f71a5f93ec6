import asyncio
import os

import arq
import arq.connections

from task import log


async def work(_, number):
    log(f"started {number}")
    while os.path.exists("/srv/work/hold"):
        await asyncio.sleep(0.05)
    log(f"finished {number}")


class WorkerSettings:
    functions = [work]
    max_jobs = 2
    job_timeout = 86400
    # Finish running jobs at SIGTERM, in up to this many seconds. 0, the default, cancels them.
    job_completion_wait = 86400


class Impatient:
    functions = [work]
    max_jobs = 2


def enqueue(number):
    async def send():
        redis = await arq.create_pool(arq.connections.RedisSettings())
        await redis.enqueue_job("work", number)

    asyncio.run(send())
