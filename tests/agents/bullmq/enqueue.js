const { Queue } = require('bullmq')

async function enqueue(count) {
  const queue = new Queue('work', { connection: { host: '127.0.0.1' } })
  for (let number = 0; number < count; number++) await queue.add('work', number)
  await queue.close()
}

enqueue(Number(process.argv[2]))
