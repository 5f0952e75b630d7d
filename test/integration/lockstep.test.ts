import { spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import { digestOfFile } from '../harness/digest.ts'
import { effort, HANG_MS, SEED } from '../harness/effort.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { programFile } from '../harness/programs.ts'
import { COMBINATIONS } from './lockstep/matrix.ts'

/** TORTURE_SECONDS of random SQL. LTXD_SEED replays a run from the database that failed. */
const seconds = effort(40, 600, 'TORTURE_SECONDS')

interface Report {
  readonly kept: readonly { readonly name: string; readonly digest: string }[]
  readonly episodes: number
  readonly combinations: number
  readonly steps: number
  readonly transactions: number
  readonly comparisons: number
}

test(
  `SQLite on the mount equals SQLite on a plain file, and the log has every page (TORTURE_SECONDS=${seconds} LTXD_SEED=${SEED})`,
  { timeout: HANG_MS + seconds * 1000 },
  async () => {
    const base = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'ltxd-lockstep-'))
    const [mount, plain, data] = ['mount', 'plain', 'data'].map((name) => path.join(base, name)) as [
      string,
      string,
      string,
    ]
    fs.mkdirSync(plain)
    const node = LtxdNode.start({ mount, data, logFile: path.join(base, 'log') })
    try {
      await node.mounted()
      const report = await runClient(['--mount', mount, '--plain', plain, '--data', data]).catch((error: unknown) => {
        throw node.explain(error)
      })
      expect((await node.stop()).code).toBe(0)
      for (const { name, digest } of report.kept) {
        expect(digestOfFile(path.join(data, 'files', name)), `${name} in the data directory`).toBe(digest)
      }
      const { episodes, combinations, steps, transactions, comparisons } = report
      console.log(
        `${episodes} databases, ${combinations} of ${COMBINATIONS} combinations, ${steps} steps, ${transactions} transactions, ${comparisons} times page by page`,
      )
      expect(comparisons).toBeGreaterThan(0)
      expect(fs.readFileSync(path.join(base, 'log'), 'utf8')).not.toMatch(
        /I11|never published|rejected|not served|refused/,
      )
      fs.rmSync(base, { recursive: true, force: true })
    } finally {
      await node.destroy()
    }
  },
)

/** Runs the client in a process of its own: a process that waits for its own mount cannot be killed. */
async function runClient(paths: string[]): Promise<Report> {
  const options = ['--seed', String(SEED), '--seconds', String(seconds)]
  const child = spawn(process.execPath, [programFile('lockstep-client'), ...paths, ...options], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: HANG_MS / 2 + seconds * 1000,
    killSignal: 'SIGKILL',
  })
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  if (code !== 0) throw new Error(`the client ended with ${code}\n${errors}`)
  return JSON.parse(output) as Report
}
