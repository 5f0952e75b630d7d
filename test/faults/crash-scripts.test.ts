import fs from 'node:fs'
import { afterAll, expect, test } from 'vitest'
import { nodeFiles } from '../../src/util/files.ts'
import { Application, describeState } from '../harness/in-process/application.ts'
import { crashPointFiles, leaveCrashed } from '../harness/in-process/crash-point-files.ts'
import { cuts } from '../harness/in-process/cuts.ts'
import { temporaryDirectory } from '../harness/in-process/node-in-process.ts'
import type { Claims } from '../harness/in-process/verdict.ts'
import { recoverAll } from '../harness/in-process/verdict.ts'
import type { Script } from './scripts.ts'
import { SCRIPTS } from './scripts.ts'

interface Left {
  readonly dir: string
  readonly what: string
  readonly claims: Claims
}

/**
 * A crash before every change that the data plane makes to a file or directory, in the middle of it where `cuts` says,
 * and at the end of each step. Each crash is recovered in a copy, and must leave the state before the step or after it.
 */
function everyCrashPoint({ steps }: Script): number {
  using temporary = temporaryDirectory()
  const dataDir = `${temporary.dir}/node`
  let points = 0
  let left: Left[] = []
  const leave = (what: string, torn?: Parameters<typeof leaveCrashed>[2]['torn']) => {
    const dir = `${temporary.dir}/left-${++points}`
    leaveCrashed(dataDir, dir, { what, ...(torn && { torn }) })
    left.push({ dir, what, claims: application.published() })
  }
  const files = crashPointFiles(nodeFiles, ({ what, torn }) => leave(what, torn), cuts)
  const application = new Application(dataDir, files)
  const judge = (when: string, allowed: readonly string[]) => {
    for (const [i, { dir, what, claims }] of left.entries()) {
      try {
        const wholeReadBytes = i % 2 === 0 ? 0 : Infinity
        expect(allowed).toContain(describeState(recoverAll(dir, claims, { wholeReadBytes })))
      } catch (error) {
        throw new Error(`crash before or in "${what}", ${when}`, { cause: error })
      }
      fs.rmSync(dir, { recursive: true })
    }
    left = []
  }
  let before = ''
  for (const [i, step] of steps.entries()) {
    step(application)
    const during = left
    left = []
    leave('nothing')
    const after = application.state()
    const reading = left
    left = during
    judge(`during step ${i}`, [before, after])
    left = reading
    judge(`after step ${i}`, [after])
    before = after
  }
  application.close()
  application.node.close()
  return points
}

const counts = new Map<string, number>()
for (const [name, script] of Object.entries(SCRIPTS)) {
  test(`I1 to I3: a crash at any point of "${name}" leaves the last acknowledged commit or the next`, () => {
    const points = everyCrashPoint(script)
    counts.set(name, points)
    expect(points).toBeGreaterThan(30)
  })
}

afterAll(() => {
  const total = Array.from(counts.values()).reduce((sum, points) => sum + points, 0)
  const each = Array.from(counts, ([name, points]) => `${name}: ${points}`)
  console.log(`${total} crash points, each recovered: ${each.join('; ')}`)
})
