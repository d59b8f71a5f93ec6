// A websocket server that asks its clients to reconnect when its instance is terminated. It cuts no connection.
//
// It sends each message back. Put your own work into `reply`, and keep the rest.
'use strict'

const { once } = require('node:events')
const http = require('node:http')
const { setTimeout: sleep } = require('node:timers/promises')
const { WebSocketServer } = require('ws')
const { Drain, answer, serve } = require('../node/drain.js')

const setting = (name, standard) => Number(process.env[name] ?? standard)

const PORT = setting('PORT', 8000)
const AGENT_PORT = setting('AGENT_PORT', 8080)
// How many clients the other instances can take per second.
const RECONNECTS_PER_SECOND = setting('RECONNECTS_PER_SECOND', 50)
// How long before the deadline every socket is closed. ws ends a connection 30 s after a close frame without a reply.
const CLOSE_SECONDS = setting('CLOSE_SECONDS', 35)
// How long the work on a message takes.
const REPLY_SECONDS = setting('REPLY_SECONDS', 0)
// The longest drain on SIGTERM; systemd's TimeoutStopSec must be longer.
const STOP_SECONDS = setting('STOP_SECONDS', 60)
const STOP_SIGNALS = ['SIGTERM', 'SIGINT']

// Close codes of RFC 6455
const GOING_AWAY = 1001
const INTERNAL_ERROR = 1011

const drain = new Drain()
const websockets = new WebSocketServer({ noServer: true })
const clients = new Set()

/** The work. */
async function reply(message) {
  await sleep(REPLY_SECONDS * 1000)
  return message
}

/** The client of an open socket. */
class Client {
  isAsked = false
  #answered = Promise.resolve() // once all messages so far are
  #socket

  constructor(socket) {
    const release = drain.hold()
    this.#socket = socket
    clients.add(this)
    socket.on('message', (message, isBinary) => {
      this.#answered = this.#answered.then(() => this.#respond(message, isBinary))
    })
    socket.on('error', error => console.error(`a socket failed: ${error.message}`)) // 'close' follows
    socket.on('close', () => {
      clients.delete(this)
      release('sockets_closed') // last, because it may end the drain
    })
  }

  async #respond(message, isBinary) {
    try {
      this.#socket.send(await reply(message), { binary: isBinary })
    } catch (error) {
      console.error(`cannot reply to a message: ${error.message}`)
      this.#socket.close(INTERNAL_ERROR)
    }
  }

  /** Asks it to reconnect, after the replies to its messages so far. */
  ask() {
    this.isAsked = true
    this.#answered = this.#answered.then(() => this.close())
  }

  /** Sends a close frame at once. The client sends one back, and the socket is closed. */
  close() {
    this.#socket.close(GOING_AWAY, 'reconnect')
  }
}

/** During a drain, asks a share of the clients every second, so that all are asked in time. */
function askSome() {
  if (drain.state !== 'draining') return
  const seconds = drain.secondsLeft - CLOSE_SECONDS
  if (seconds <= 0) return clients.forEach(client => client.close())
  const waiting = [...clients].filter(client => !client.isAsked)
  const share = waiting.slice(0, Math.max(RECONNECTS_PER_SECOND, Math.floor(waiting.length / seconds)))
  share.forEach(client => client.ask())
  if (share.length > 0) console.error(`asked ${share.length} of ${waiting.length} clients to reconnect`)
}

/** For the load balancer: it sends no new clients during a drain. */
function health(request, response) {
  const isServing = drain.state === 'serving'
  answer(response, isServing ? 200 : 503, { healthy: isServing })
}

const server = http.createServer(health)
server.on('upgrade', (request, socket, head) => {
  if (drain.state === 'serving') return websockets.handleUpgrade(request, socket, head, open => new Client(open))
  socket.on('error', () => {}) // the client is gone
  socket.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
})

async function main() {
  server.listen(PORT)
  await once(server, 'listening')
  console.error(`taking clients on port ${server.address().port}`)
  console.error(`listening on http://127.0.0.1:${await serve(drain, AGENT_PORT)}`)
  setInterval(askSome, 1000)
  await new Promise(resolve => STOP_SIGNALS.forEach(name => process.on(name, resolve)))
  console.error(`stopping within ${STOP_SECONDS} s`)
  await drain.stop(STOP_SECONDS)
  process.exit()
}

main()
