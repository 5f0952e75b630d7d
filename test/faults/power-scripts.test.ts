import fs from 'node:fs'
import { afterAll, expect, test } from 'vitest'
import { nodeFiles } from '../../src/util/files.ts'
import { SEED } from '../harness/effort.ts'
import { Application, describeState } from '../harness/in-process/application.ts'
import { crashPointFiles, timelessFiles } from '../harness/in-process/crash-point-files.ts'
import { temporaryDirectory } from '../harness/in-process/node-in-process.ts'
import type { Claims } from '../harness/in-process/verdict.ts'
import { isRejectedWithLog, recoverAll } from '../harness/in-process/verdict.ts'
import { VolatileFiles } from '../harness/in-process/volatile-files.ts'
import { Random } from '../harness/random.ts'
import type { Script } from './scripts.ts'
import { SCRIPTS } from './scripts.ts'

/** LTXD_SEED replays the choice of unsynced sectors and names that survive. */

interface Left {
  readonly dir: string
  readonly what: string
  readonly claims: Claims
  /** Some of the unsynced writes survived. */
  readonly isPartial: boolean
}

/**
 * The power fails before each change that the data plane makes, and before each sync. All unsynced writes are lost, or
 * some of them. The recovered state has every transaction that was reported as durable (I4). If SQLite syncs each
 * commit, it is the state before the step or after it, else any one of the history. Where parts of unsynced copies
 * survived, the log has what the files have.
 */
function everyPowerLoss({ steps, durable, unsafe = false, copies = false }: Script): number {
  using temporary = temporaryDirectory()
  const dataDir = `${temporary.dir}/node`
  for (const name of ['files', 'log']) fs.mkdirSync(`${dataDir}/${name}`, { recursive: true })
  const random = new Random(SEED)
  const volatile = new VolatileFiles(nodeFiles, dataDir)
  let losses = 0
  let left: Left[] = []
  const lose = (what: string) => {
    const dir = `${temporary.dir}/left-${++losses}`
    const isPartial = losses % 2 !== 0
    volatile.losePower(dir, random, isPartial ? random.next() : 0)
    left.push({ dir, what, claims: new Map(application.durable), isPartial })
  }
  const files = crashPointFiles(
    volatile,
    ({ what }) => lose(what),
    () => [],
  )
  const application = new Application(dataDir, syncsToo(files, lose))
  const judge = (when: string, allowed: readonly string[]) => {
    for (const [i, { dir, what, claims, isPartial }] of left.entries()) {
      try {
        const options = { wholeReadBytes: i % 4 < 2 ? 0 : Infinity, files: timelessFiles(nodeFiles) }
        if (unsafe && isRejectedWithLog(dir, claims, options)) continue
        const isTorn = copies && isPartial
        const state = describeState(recoverAll(dir, claims, options, isTorn))
        if (!isTorn) expect(allowed).toContain(state)
      } catch (error) {
        throw new Error(`power lost before "${what}", ${when} (LTXD_SEED=${SEED})`, { cause: error })
      } finally {
        fs.rmSync(dir, { recursive: true })
      }
    }
    left = []
  }
  const history = ['']
  for (const [i, step] of steps.entries()) {
    step(application)
    const during = left
    left = []
    lose('nothing')
    lose('nothing')
    history.push(application.state())
    const after = left
    left = during
    judge(`during step ${i}`, durable ? history.slice(-2) : history)
    left = after
    judge(`after step ${i}`, durable ? history.slice(-1) : history)
  }
  application.close()
  application.node.close()
  return losses
}

/** A sync changes which writes survive, so the power also fails before each. */
function syncsToo(files: ReturnType<typeof crashPointFiles>, lose: (what: string) => void): typeof files {
  return {
    ...files,
    sync(fd) {
      lose('sync')
      files.sync(fd)
    },
    syncDirectory(path) {
      lose(`sync directory ${path}`)
      files.syncDirectory(path)
    },
  }
}

const counts = new Map<string, number>()
for (const [name, script] of Object.entries(SCRIPTS)) {
  test(`I3, I4: a power loss at any operation of "${name}" loses no transaction reported as durable (LTXD_SEED=${SEED})`, () => {
    const losses = everyPowerLoss(script)
    counts.set(name, losses)
    expect(losses).toBeGreaterThan(30)
  })
}

afterAll(() => {
  const total = Array.from(counts.values()).reduce((sum, losses) => sum + losses, 0)
  const each = Array.from(counts, ([name, losses]) => `${name}: ${losses}`)
  console.log(`the power failed ${total} times: ${each.join('; ')}`)
})
