// The agent protocol of drainhook: counts a program's work in flight, and serves its state over HTTP.
//
// Copy this file; it needs only Node.js (18 or newer). docs/agent-protocol.md says what drainhook does with each response.
'use strict'

const { EventEmitter, once } = require('node:events')
const http = require('node:http')
const { setImmediate } = require('node:timers/promises')

const WAIT_SECONDS_MAX = 60
const BODY_BYTES_MAX = 64 * 1024
const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i // RFC 3339

/** Whether work may be taken, and how much is in flight. */
class Drain extends EventEmitter {
  #draining = false
  #deadline = Infinity // Unix milliseconds
  #stopping = false
  #stopBy = Infinity
  #inFlight = 0
  #gauges = {}

  constructor() {
    super()
    this.setMaxListeners(0) // one for each held response
  }

  /** "serving", "draining" or "drained". */
  get state() {
    if (!this.#draining && !this.#stopping) return 'serving'
    return this.#inFlight > 0 ? 'draining' : 'drained'
  }

  get isStopping() {
    return this.#stopping
  }

  /** The status document. */
  get status() {
    return { state: this.state, in_flight: this.#inFlight, gauges: this.#gauges }
  }

  /** Seconds until the deadline; infinite without one. */
  get secondsLeft() {
    return (Math.min(this.#deadline, this.#stopBy) - Date.now()) / 1000
  }

  /**
   * Counts a piece of work as in flight. Returns null during a drain: refuse the work. Otherwise, returns a function. Call
   * it once when nothing is left to do, with the name of the gauge that counts the work, such as "tasks_done".
   */
  hold() {
    if (this.state !== 'serving') return null
    this.#inFlight += 1
    return outcome => {
      this.#inFlight -= 1
      this.#gauges[outcome] = (this.#gauges[outcome] ?? 0) + 1
      this.emit('change')
    }
  }

  /** Stops taking work. If called again, replaces the deadline. */
  begin(deadline) {
    this.#draining = true
    this.#deadline = deadline
    this.emit('change')
  }

  /** Takes work again, unless the process is stopping. */
  withdraw() {
    this.#draining = false
    this.#deadline = Infinity
    this.emit('change')
  }

  /** Drains for good. Resolves once no work is in flight and held responses are written. */
  async stop(seconds) {
    this.#stopping = true
    this.#stopBy = Date.now() + seconds * 1000
    this.emit('change')
    await this.whileDraining()
    await setImmediate()
  }

  /** Waits until the drain is over or the signal aborts. Resolves at once without a drain. */
  async whileDraining(signal) {
    while (this.state === 'draining' && !signal?.aborted) {
      await once(this, 'change', { signal }).catch(() => {})
    }
  }
}

async function postDrain(drain, request) {
  const body = await read(request)
  if (body === null) return [413, { error: `the body has more than ${BODY_BYTES_MAX} bytes` }, { Connection: 'close' }]
  try {
    drain.begin(readDeadline(body))
  } catch (error) {
    return [400, { error: error.message }]
  }
  console.error(`asked to drain: ${body}`)
  return [202, drain.status]
}

async function getDrain(drain, request) {
  const wait = /(?:^|,)\s*wait=(\d+)/.exec(request.headers.prefer ?? '')
  if (!wait || drain.state !== 'draining') return [200, drain.status]
  const seconds = Math.min(Number(wait[1]), WAIT_SECONDS_MAX)
  await drain.whileDraining(AbortSignal.timeout(seconds * 1000))
  return [200, drain.status, { 'Preference-Applied': `wait=${seconds}` }]
}

function deleteDrain(drain) {
  drain.withdraw()
  return drain.isStopping ? [503, { error: 'this process is stopping' }] : [200, drain.status]
}

function getHealth() {
  return [200, { healthy: true }]
}

const ROUTES = {
  '/drain': { POST: postDrain, GET: getDrain, DELETE: deleteDrain },
  '/health': { GET: getHealth },
}

async function respond(drain, request) {
  const path = request.url.split('?')[0]
  if (!Object.hasOwn(ROUTES, path)) return [404, { error: `unknown path ${path}` }]
  const methods = ROUTES[path]
  if (!Object.hasOwn(methods, request.method)) {
    return [405, { error: `${request.method} is not allowed` }, { Allow: Object.keys(methods).join(', ') }]
  }
  return methods[request.method](drain, request)
}

/** The body as text, or null if it is too long. Reads all of it, because the client may read the answer only then. */
async function read(request) {
  const chunks = []
  let length = 0
  for await (const chunk of request) {
    length += chunk.length
    if (length <= BODY_BYTES_MAX) chunks.push(chunk)
  }
  return length > BODY_BYTES_MAX ? null : Buffer.concat(chunks).toString()
}

/** The deadline of a drain request in Unix milliseconds; infinite if it has none. */
function readDeadline(body) {
  const order = JSON.parse(body || '{}')
  if (order === null || typeof order !== 'object' || Array.isArray(order)) throw new Error('expected a JSON object')
  const text = order.deadline ?? null
  if (text === null) return Infinity
  const deadline = TIMESTAMP.test(text) ? Date.parse(text) : NaN
  if (Number.isNaN(deadline)) throw new Error(`the deadline is ${text}; expected a timestamp (RFC 3339) or null`)
  return deadline
}

/** Answers with a JSON document. */
function answer(response, status, document, headers = {}) {
  const body = JSON.stringify(document)
  response.writeHead(status, { ...headers, 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) })
  response.end(body)
}

/** Serves the agent protocol on loopback. Resolves to the port; port 0 picks a free one. */
async function serve(drain, port) {
  // Without noDelay, the last response may wait for an acknowledgment.
  const server = http.createServer({ noDelay: true }, async (request, response) => {
    try {
      answer(response, ...(await respond(drain, request)))
    } catch (error) {
      console.error(`cannot read a request: ${error.message}`)
      response.destroy()
    }
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return server.address().port
}

module.exports = { Drain, serve, answer }
