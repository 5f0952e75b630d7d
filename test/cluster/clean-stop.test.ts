import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { effort, HANG_MS, SEED } from '../harness/effort.ts'
import { Random } from '../harness/random.ts'
import { losses } from './acknowledgements.ts'
import { WrittenCluster } from './written-cluster.ts'

/** FAILOVERS: the number of rounds. LTXD_SEED replays a run. */
const FAILOVERS = effort(2, 20, 'FAILOVERS')
const MAX_LOAD_MS = 400

test(
  `SIGTERM of the leader loses no acknowledged commit, and another leads (FAILOVERS=${FAILOVERS} LTXD_SEED=${SEED})`,
  { timeout: HANG_MS + FAILOVERS * 60_000 },
  async () => {
    const random = new Random(SEED)
    const written = await WrittenCluster.start({ nodes: 2 })
    try {
      const { cluster } = written
      for (let round = 1; round <= FAILOVERS; round++) {
        written.resume()
        const leader = await cluster.primary()
        const next = cluster.members.find((member) => member !== leader) ?? leader
        await written.writesOn(leader, process.hrtime.bigint())
        await sleep(random.next() * MAX_LOAD_MS)
        const stoppedAt = process.hrtime.bigint()
        const stopped = leader.node.stop()
        const firstWrite = await written.writesOn(next, stoppedAt)
        expect(await stopped).toEqual({ code: 0, signal: null })
        await leader.restart()
        await leader.node.mounted()
        const present = await written.quiet()
        const { losses: lost, findings } = losses(written.acknowledgements(), present)
        expect(lost).toEqual([])
        expect(findings).toEqual([])
        const tookMs = Number(firstWrite - stoppedAt) / 1e6
        console.log(
          `SIGTERM ${round} of ${FAILOVERS}: next write elsewhere after ${tookMs.toFixed(0)} ms, nothing lost`,
        )
      }
    } catch (error) {
      throw written.explain(error)
    } finally {
      await written.stop()
    }
  },
)
