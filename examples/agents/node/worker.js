// A worker that callers send tasks to over HTTP. It loses none when its instance is terminated.
//
// A task is a batch of events for a webhook: {"id": "a", "url": "http://…", "items": [1, 2, 3]}. Each item is one POST.
// The worker responds when the task is done. Put your own work into `deliver` and `work`, and keep the rest.
'use strict'

const { once } = require('node:events')
const http = require('node:http')
const { json } = require('node:stream/consumers')
const { finished } = require('node:stream/promises')
const { Drain, answer, serve } = require('./drain.js')

const setting = (name, standard) => Number(process.env[name] ?? standard)

const PORT = setting('PORT', 8000)
const AGENT_PORT = setting('AGENT_PORT', 8080)
// The time limit for delivering an item.
const DELIVERY_SECONDS = setting('DELIVERY_SECONDS', 10)
// How long before the deadline the worker stops starting items.
const CHECKPOINT_SECONDS = setting('CHECKPOINT_SECONDS', 15)
// The longest drain on SIGTERM; systemd's TimeoutStopSec must be longer.
const STOP_SECONDS = setting('STOP_SECONDS', 60)
const STOP_SIGNALS = ['SIGTERM', 'SIGINT']

const drain = new Drain()

/** One step of a task. A caller may repeat it after a crash, so the receiver gets a key to recognize it. */
async function deliver(url, item, key) {
  const response = await fetch(url, {
    method: 'POST',
    body: JSON.stringify(item),
    headers: { 'Content-Type': 'application/json', 'Idempotency-Key': key },
    signal: AbortSignal.timeout(DELIVERY_SECONDS * 1000),
  })
  if (!response.ok) throw new Error(`${url} responded with ${response.status}`)
}

/** Delivers the items that are not delivered yet. Stops early if there is not enough time. */
async function work(task, progress) {
  for (progress.delivered = task.delivered ?? 0; progress.delivered < task.items.length; progress.delivered++) {
    if (drain.secondsLeft < CHECKPOINT_SECONDS) return 'tasks_given_back'
    await deliver(task.url, task.items[progress.delivered], `${task.id}/${progress.delivered}`)
  }
  return 'tasks_done'
}

const STATUSES = { tasks_done: 200, tasks_given_back: 503, tasks_failed: 500 }

/** Handles one task to its end. Responds how many items are delivered, so that the caller can send the rest elsewhere. */
async function handle(request, response) {
  const release = drain.hold()
  if (!release) return answer(response, 503, { delivered: 0 }, { Connection: 'close' })
  const progress = { delivered: 0 }
  let outcome = 'tasks_failed'
  try {
    outcome = await work(await json(request), progress)
  } catch (error) {
    console.error(`a task failed: ${error.message}`)
  }
  answer(response, STATUSES[outcome], progress)
  await finished(response).catch(() => {}) // the caller may be gone
  release(outcome) // last, because it may end the drain
}

/** For the load balancer: it sends no new tasks during a drain. */
function health(response) {
  const isServing = drain.state === 'serving'
  answer(response, isServing ? 200 : 503, { healthy: isServing })
}

const server = http.createServer((request, response) => {
  if (request.method === 'POST' && request.url === '/tasks') return handle(request, response)
  if (request.method === 'GET' && request.url === '/health') return health(response)
  answer(response, 404, { error: 'use POST /tasks or GET /health' })
})

async function main() {
  server.listen(PORT)
  await once(server, 'listening')
  console.error(`taking tasks on port ${server.address().port}`)
  console.error(`listening on http://127.0.0.1:${await serve(drain, AGENT_PORT)}`)
  await new Promise(resolve => STOP_SIGNALS.forEach(name => process.on(name, resolve)))
  console.error(`stopping within ${STOP_SECONDS} s`)
  await drain.stop(STOP_SECONDS)
  process.exit()
}

main()
