// One call of a toolkit's package, or of the object that its class `request.of` makes, in a process of its own (see toolkit.mjs). Reads the request from $CALL, writes the answer to
// descriptor 3 and leaves standard output to the package.
import { writeSync } from 'node:fs'

const ANSWER = 3
const request = JSON.parse(process.env.CALL)
const module = await import(request.package)
const target = request.of ? new module[request.of]() : module
const start = performance.now()
const result = await target[request.call](...request.arguments)
const elapsedMs = performance.now() - start
writeSync(ANSWER, JSON.stringify({ result: result ?? null, elapsedMs }))
process.exit(0)
