// Decides requests as IAM would: node decide.cjs FOLDER, where FOLDER has what package.json asks for. Reads a list of
// simulations as JSON from standard input, and writes for each "Allowed", "ExplicitlyDenied" or "ImplicitlyDenied".
// One that makes no sense (an action that does not exist, a resource or a condition key that the action does not
// have) ends it.
const { text } = require('node:stream/consumers')
const { createRequire } = require('node:module')
const { runSimulation } = createRequire(`${process.argv[2]}/`)('@cloud-copilot/iam-simulate')

async function main() {
  const decisions = []
  for (const simulation of JSON.parse(await text(process.stdin))) {
    const { errors, overallResult, result } = await runSimulation(simulation, { simulationMode: 'Strict' })
    const ignored = result?.ignoredContextKeys ?? []
    if (errors || ignored.length > 0) {
      console.error(JSON.stringify({ request: simulation.request, errors, ignored }, null, 2))
      process.exit(1)
    }
    decisions.push(overallResult)
  }
  console.log(JSON.stringify(decisions))
}

main()
