// Decides requests as IAM would: reads a list of simulations as JSON from standard input, and writes for each
// "Allowed", "ExplicitlyDenied" or "ImplicitlyDenied". A simulation that makes no sense (an action that does not exist,
// a resource that the action does not have) ends it.
import { text } from 'node:stream/consumers'
import { runSimulation } from '@cloud-copilot/iam-simulate'

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
