import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { effort, HANG_MS, SEED } from '../harness/effort.ts'
import { Random } from '../harness/random.ts'
import { losses } from './acknowledgements.ts'
import { divergedTransactions } from './diverged.ts'
import { WrittenCluster } from './written-cluster.ts'

/** FAILOVERS: the number of rounds. NODES: the size of the cluster. LTXD_SEED replays a run. */
const FAILOVERS = effort(2, 20, 'FAILOVERS')
const NODES = effort(2, 3, 'NODES')
const MAX_LOAD_MS = 400

test(
  `after kill -9 of the leader another leads; it follows (FAILOVERS=${FAILOVERS} NODES=${NODES} LTXD_SEED=${SEED})`,
  { timeout: HANG_MS + FAILOVERS * 60_000 },
  async () => {
    const random = new Random(SEED)
    const written = await WrittenCluster.start({ nodes: NODES, ttl: '3s' })
    let lostBefore = 0
    try {
      const { cluster } = written
      for (let round = 1; round <= FAILOVERS; round++) {
        written.resume()
        const leader = await cluster.primary()
        await written.writesOn(leader, process.hrtime.bigint())
        await sleep(random.next() * MAX_LOAD_MS)
        const killedAt = process.hrtime.bigint()
        await leader.node.kill()
        const next = await cluster.primary({ not: leader })
        const firstWrite = await written.writesOn(next, killedAt)
        await leader.restart()
        await leader.node.mounted()
        const present = await written.quiet()
        const { losses: lost, findings } = losses(written.acknowledgements(), present)
        expect(findings).toEqual([])
        for (const { database, numbers } of lost) {
          const kept = divergedTransactions(cluster.members, database)
          expect(kept, `${database} lost ${numbers.length}`).toBeGreaterThanOrEqual(numbers.length)
        }
        const count = lost.reduce((sum, { numbers }) => sum + numbers.length, 0)
        const tookMs = Number(firstWrite - killedAt) / 1e6
        console.log(
          `kill -9 ${round} of ${FAILOVERS}: next write elsewhere after ${tookMs.toFixed(0)} ms; ` +
            `${count - lostBefore} acknowledged commits were not streamed and are under diverged/`,
        )
        lostBefore = count
      }
    } catch (error) {
      throw written.explain(error)
    } finally {
      await written.stop()
    }
  },
)
