// Decides requests as IAM would. Usage: node decide.cjs FOLDER. The packages of package.json are installed in FOLDER.
// Reads a JSON list of simulations from standard input. For each, prints "Allowed", "ExplicitlyDenied" or
// "ImplicitlyDenied". Exits 1 at an invalid one: an unknown action, or a resource or a condition key that the action
// does not have.
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
