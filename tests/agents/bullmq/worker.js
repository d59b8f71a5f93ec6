const { appendFileSync, existsSync } = require('node:fs')
const { setTimeout } = require('node:timers/promises')
const { Worker } = require('bullmq')

const connection = { host: '127.0.0.1', maxRetriesPerRequest: null }
const log = line => appendFileSync('/srv/work/log', line + '\n')

async function work(job) {
  log(`started ${job.data}`)
  while (existsSync('/srv/work/hold')) await setTimeout(50)
  log(`finished ${job.data}`)
}

const worker = new Worker('work', work, { connection, concurrency: 2 })

// Without this handler, SIGTERM ends the process at once.
process.on('SIGTERM', async () => {
  console.log('closing')
  await worker.close()
  process.exit()
})
