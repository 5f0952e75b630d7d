import fs from 'node:fs'
import { parseArgs } from 'node:util'
import { digestOfFile } from '../../harness/digest.ts'
import { Random } from '../../harness/random.ts'
import type { Counts } from './episode.ts'
import { Episode } from './episode.ts'
import { combinationOf, COMBINATIONS } from './matrix.ts'
import { Session } from './session.ts'

/**
 * The applications of the lockstep test: two processes run the same random SQL on databases on the mount and in a plain
 * directory. After each step both must answer alike, and the replayed log must have exactly the committed pages. Now
 * and then the mount and the file behind it are compared too. Prints a line of JSON at the end, and exits with 1 at the
 * first difference.
 *
 *     lockstep-client --mount DIR --plain DIR --data DIR --seed N --seconds N
 */

const { values } = parseArgs({
  options: {
    mount: { type: 'string', default: '' },
    plain: { type: 'string', default: '' },
    data: { type: 'string', default: '' },
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '10' },
  },
})
const { mount, plain, data } = values
const deadline = performance.now() + Number(values.seconds) * 1000
const FEWEST_STEPS = 5
const MOST_STEPS = 60
/** So many databases stay, to be checked after the node has stopped. */
const KEEP_EVERY = 10

const counts: Counts = { steps: 0, transactions: 0, comparisons: 0 }
const kept: { name: string; digest: string }[] = []
const sessions = [new Session(), new Session()] as const

let episodes = 0
for (; performance.now() < deadline; episodes++) {
  const seed = Number(values.seed) + episodes
  const random = new Random(seed)
  const combination = combinationOf(seed)
  try {
    const episode = new Episode(random, combination, { mount, plain, data }, sessions, counts)
    const left = await episode.play(random.integer(FEWEST_STEPS, MOST_STEPS), deadline)
    for (const { name, paths, txid } of left) {
      counts.transactions += Number(txid)
      if (episodes % KEEP_EVERY === 0) kept.push({ name, digest: digestOfFile(paths[1]) })
      else for (const path of paths) fs.rmSync(path, { force: true })
    }
  } catch (error) {
    console.error(`LTXD_SEED=${seed} fails (${JSON.stringify(combination)}), after ${counts.steps} steps in all`)
    throw error
  }
}
for (const session of sessions) session.end()
console.log(JSON.stringify({ ...counts, episodes, combinations: Math.min(episodes, COMBINATIONS), kept }))
