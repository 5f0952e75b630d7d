/**
 * Runs scripts of package.json at the same time: `node --import tsx infra/at-once.ts types lint …`. Prints the output
 * of each when it ends. After all have ended, the exit code is 1 if one failed.
 */

import { spawn } from 'node:child_process'

interface Outcome {
  readonly script: string
  readonly failed: boolean
  readonly output: string
  readonly tookMs: number
}

function run(script: string): Promise<Outcome> {
  return new Promise((resolve) => {
    const startMs = performance.now()
    const child = spawn('npm', ['run', '--silent', script], { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (output += text))
    }
    const end = (failed: boolean) => resolve({ script, failed, output, tookMs: performance.now() - startMs })
    child.once('error', (error) => {
      output += `${error.message}\n`
      end(true)
    })
    child.once('close', (code) => end(code !== 0))
  })
}

const outcomes = await Promise.all(
  process.argv.slice(2).map(async (script) => {
    const outcome = await run(script)
    console.log(`${script}: ${outcome.failed ? 'failed' : 'passed'} (${Math.round(outcome.tookMs / 1000)} s)`)
    if (outcome.output !== '') console.log(outcome.output.trimEnd())
    return outcome
  }),
)
if (outcomes.some(({ failed }) => failed)) process.exitCode = 1
