import celery

import task

app = celery.Celery(broker="redis://127.0.0.1/0")


@app.task
def work(number):
    task.run(number)


def enqueue(number):
    work.delay(number)
