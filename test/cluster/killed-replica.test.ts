import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { ClusterMember } from '../harness/cluster.ts'
import { effort, HANG_MS, SEED } from '../harness/effort.ts'
import { localClients, signalProcess } from '../harness/processes.ts'
import { Random } from '../harness/random.ts'
import { until } from '../harness/wait.ts'
import { losses } from './acknowledgements.ts'
import { WrittenCluster } from './written-cluster.ts'

/** KILLS: the number of kills. LTXD_SEED replays a run. */
const KILLS = effort(2, 20, 'KILLS')
const MAX_LOAD_MS = 300

function log(member: ClusterMember): string {
  return readFileSync(member.node.options.logFile, 'utf8')
}

async function withReplica(kill: (replica: ClusterMember, random: Random) => Promise<void>): Promise<void> {
  const random = new Random(SEED)
  const written = await WrittenCluster.start({ nodes: 2 })
  try {
    const leader = await written.cluster.primary()
    const replica = written.cluster.members.find((member) => member !== leader) ?? leader
    for (let round = 1; round <= KILLS; round++) {
      written.resume()
      await written.writesOn(leader, process.hrtime.bigint())
      await sleep(random.next() * MAX_LOAD_MS)
      await kill(replica, random)
      await written.writesOn(leader, process.hrtime.bigint())
      await written.pause()
      await written.agree()
    }
    const present = await written.quiet()
    expect(losses(written.acknowledgements(), present)).toEqual({ losses: [], findings: [] })
    expect((await written.cluster.primary()).name).toBe(leader.name)
    console.log(`${KILLS} kills, ${written.acknowledgements().length} commits, the same on both nodes`)
  } catch (error) {
    throw written.explain(error)
  } finally {
    await written.stop()
  }
}

test(
  `kill -9 of the local client during a stream: a new one takes over (KILLS=${KILLS} LTXD_SEED=${SEED})`,
  { timeout: HANG_MS + KILLS * 60_000 },
  async () => {
    let snapshots = 0
    await withReplica(async (replica) => {
      const before = log(replica).length
      const pid = await until('a local client', 60_000, () => localClients(replica.node.pid)[0])
      signalProcess(pid, 'SIGKILL')
      await until('another local client', 60_000, () => localClients(replica.node.pid).some((other) => other !== pid))
      snapshots += log(replica).slice(before).split('taking a snapshot').length - 1
    })
    console.log(`snapshots for ${KILLS} kills of the local client: ${snapshots}`)
  },
)

test(
  `kill -9 of a replica during a stream: it continues where its log ends (KILLS=${KILLS} LTXD_SEED=${SEED})`,
  { timeout: HANG_MS + KILLS * 60_000 },
  async () => {
    let logged = ''
    await withReplica(async (replica) => {
      const before = log(replica).length
      await replica.node.kill()
      await replica.restart()
      await replica.node.mounted()
      logged += log(replica).slice(before)
    })
    expect(logged.split('\n').filter((line) => line.includes('taking a snapshot'))).toEqual([])
  },
)
