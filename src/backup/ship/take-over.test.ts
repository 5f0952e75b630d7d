import { describe, expect, it } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { decode } from '../../ltx/file.ts'
import { toTXID, type TXID } from '../../ltx/format/types.ts'
import { MemoryStore } from '../../objectstore/stores/memory.ts'
import { loadHistory } from '../history/history.ts'
import type { FileRef } from '../history/layout.ts'
import { PlayedDatabase, seeded } from '../testing.ts'
import { compactLevel, snapshotFromBackup } from '../upkeep/compaction.ts'
import { type ApplyFile, executeTakeOver, type FileDetails } from './execute-take-over.ts'
import { gatherTakeOverFacts, planTakeOver, type TakeOver } from './take-over.ts'
import { type UploadState, uploadTransactions } from './upload.ts'

const ZERO: UploadState = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }
const FAR_LATER = 4_000_000_000_000

/** A leader that ships, and a replica that stopped following it at some transaction. */
function setUp() {
  let nowMs = 1_780_000_000_000
  const store = new MemoryStore({ now: () => nowMs })
  const leader = new PlayedDatabase('app.db', seeded(SEED))
  let state = ZERO
  const ship = async (commits: number, term = 3n) => {
    leader.nowMs += 1000
    leader.commit(commits)
    state = await uploadTransactions(store, 'app.db', leader, state, leader.position().txid, { term })
  }
  const replica = (at: number) => {
    const copy = new PlayedDatabase('app.db', seeded(SEED))
    for (const round of rounds) {
      copy.nowMs += 1000
      const count = Math.min(round, at - Number(copy.position().txid))
      if (count > 0) copy.commit(count)
    }
    return copy
  }
  const rounds: number[] = []
  const shipped = async (commits: number, term?: bigint) => {
    rounds.push(commits)
    await ship(commits, term)
  }
  const plan = async (log: PlayedDatabase, localTerm: bigint): Promise<TakeOver> =>
    planTakeOver(await gatherTakeOverFacts(store, log, localTerm))
  const settle = () => (nowMs = FAR_LATER)
  return { store, leader, ship: shipped, replica, plan, settle }
}

describe(`a node about to lead (LTXD_SEED=${SEED})`, () => {
  it('leads from its own position if it has everything that the backup has', async () => {
    const { leader, ship, replica, plan } = setUp()
    expect(await plan(leader, 0n)).toMatchObject({ kind: 'equal', takenOverAt: 0n })
    await ship(5)
    expect(await plan(replica(5), 3n)).toMatchObject({ kind: 'equal', takenOverAt: 5n })
    leader.commit(2)
    expect(await plan(leader, 3n)).toMatchObject({ kind: 'backup-behind', takenOverAt: 7n })
    leader.cutLog(toTXID(7))
    expect(await plan(leader, 3n)).toMatchObject({ kind: 'gap', takenOverAt: 7n })
    expect(await plan(leader, 2n)).toMatchObject({ kind: 'unknown' })
  })

  it('applies, file by file, what a leader shipped and no other node has', async () => {
    const { store, leader, ship, replica } = setUp()
    await ship(4)
    await ship(3)
    await ship(1)
    for (const at of [3, 4, 6, 7]) {
      const facts = await gatherTakeOverFacts(store, replica(at), 3n)
      const plan = planTakeOver(facts)
      expect(plan).toMatchObject({ kind: 'fast-forward', takenOverAt: 8n })
      const applied: (FileRef & FileDetails)[] = []
      const reached = await executeTakeOver(store, facts, plan, async (file, bytes, about) => {
        const { header } = await decoded(bytes)
        expect([header.minTXID, header.maxTXID]).toEqual([file.min, file.max])
        applied.push({ ...file, ...about })
      })
      expect(reached).toBe(8n)
      expect(applied[0]!.min).toBeLessThanOrEqual(at + 1)
      expect(applied[0]!.max).toBeGreaterThan(at)
      for (const { max, postApplyChecksum } of applied) expect(postApplyChecksum).toBe(leader.checksums.get(max))
      for (const { min, preApplyChecksum } of applied.slice(1))
        expect(preApplyChecksum).toBe(leader.checksums.get(toTXID(min - 1n)))
    }
  })

  it('applies other files where one is damaged or missing, and names it where there are none', async () => {
    const { store, leader, ship, replica, settle } = setUp()
    for (const commits of [3, 2, 2, 1]) await ship(commits)
    settle()
    await compactLevel(store, 'app.db', 1, { nowMs: FAR_LATER })
    const { files } = await loadHistory(store, 'app.db')
    const [merged] = files.filter(({ level }) => level === 1)
    const facts = await gatherTakeOverFacts(store, replica(3), 3n)
    const plan = planTakeOver(facts)
    expect(plan).toMatchObject({ kind: 'fast-forward', files: [{ key: merged?.key }] })
    const { metadata } = (await store.head(merged!.key)) ?? {}
    const run = async () => {
      const applied: bigint[] = []
      const avoided: string[] = []
      const apply: ApplyFile = async ({ max }, bytes, { postApplyChecksum }) => {
        for await (const _ of bytes) continue
        expect(postApplyChecksum).toBe(leader.checksums.get(max))
        applied.push(max)
      }
      await executeTakeOver(store, facts, plan, apply, { onAvoided: ({ key }) => avoided.push(key) })
      return { applied, avoided }
    }
    const level0 = files.filter(({ level, max }) => level === 0 && max > 3n)
    const around = { applied: level0.map(({ max }) => max), avoided: [merged?.key] }
    await store.put(merged!.key, new Uint8Array(300), { metadata: metadata ?? {} })
    expect(await run()).toEqual(around)
    await store.delete([merged!.key])
    expect(await run()).toEqual(around)
    const other = files.find(({ level, max }) => level === 0 && max === 7n)!
    await store.put(other.key, new Uint8Array(300), {})
    await expect(run()).rejects.toThrow(`object ${merged!.key} in ${store.url} is damaged: it is listed, but`)
  })

  it('whose position lies inside a file, applies the file only from the leader that it followed', async () => {
    const { ship, replica, plan } = setUp()
    await ship(3)
    await ship(6)
    expect(await plan(replica(6), 3n)).toMatchObject({ kind: 'fast-forward', takenOverAt: 9n })
    expect(await plan(replica(6), 2n)).toMatchObject({ kind: 'diverged', winner: 'backup', takenOverAt: 9n })
    expect(await plan(replica(6), 4n)).toMatchObject({ kind: 'diverged', winner: 'local', takenOverAt: 3n })
  })

  it('whose position lies inside a file, and whose log begins there, as after a snapshot, applies it from that leader too', async () => {
    const { ship, replica, plan } = setUp()
    await ship(3)
    await ship(6)
    const fresh = replica(6)
    fresh.cutLog(toTXID(6))
    expect(await plan(fresh, 3n)).toMatchObject({ kind: 'fast-forward', takenOverAt: 9n })
    expect(await plan(fresh, 2n)).toMatchObject({ kind: 'diverged', winner: 'backup', takenOverAt: 9n })
    expect(await plan(fresh, 4n)).toMatchObject({ kind: 'unknown' })
  })

  it('takes the whole backup where no file continues from its position', async () => {
    const { store, leader, ship, replica, settle } = setUp()
    await ship(4)
    await ship(3)
    settle()
    await snapshotFromBackup(store, 'app.db', { nowMs: FAR_LATER })
    const level0 = (await loadHistory(store, 'app.db')).files.filter(({ level }) => level === 0)
    await store.delete(level0.filter(({ max }) => max > 4n).map(({ key }) => key))
    for (const log of [replica(0), replica(4)]) {
      const facts = await gatherTakeOverFacts(store, log, 3n)
      const plan = planTakeOver(facts)
      expect(plan).toMatchObject({ kind: 'replace', takenOverAt: 7n })
      const reached = await executeTakeOver(store, facts, plan, async (file, bytes, about) => {
        expect(file).toMatchObject({ min: 1n, max: 7n })
        expect(about.postApplyChecksum).toBe(leader.checksums.get(toTXID(7)))
        const { pages } = await decoded(bytes)
        expect(Buffer.concat(pages).equals(leader.image())).toBe(true)
      })
      expect(reached).toBe(7n)
    }
  })

  it('follows the later leader’s history where two differ', async () => {
    const { store, ship, plan, settle } = setUp()
    await ship(4, 3n)
    await ship(2, 4n)
    const other = new PlayedDatabase('app.db', seeded(SEED + 3))
    other.commit(6)
    expect(await plan(other, 3n)).toMatchObject({ kind: 'diverged', winner: 'backup', takenOverAt: 6n })
    expect(await plan(other, 4n)).toMatchObject({ kind: 'diverged', winner: 'backup' })
    expect(await plan(other, 5n)).toMatchObject({ kind: 'diverged', winner: 'local', takenOverAt: 0n })
    settle()
    await compactLevel(store, 'app.db', 1, { nowMs: FAR_LATER })
    expect(await plan(other, 4n)).toMatchObject({ kind: 'diverged', winner: 'backup' })
  })

  it('finds where two histories diverge', async () => {
    const { leader, ship, replica, plan } = setUp()
    await ship(4)
    const fork = replica(4)
    await ship(3)
    // From here on the other database draws other random numbers.
    fork.page()
    fork.commit(5)
    expect(await plan(fork, 4n)).toMatchObject({ kind: 'diverged', winner: 'local', takenOverAt: 4n })
    expect(await plan(fork, 3n)).toMatchObject({ kind: 'diverged', winner: 'backup', takenOverAt: 7n })
    expect(leader.position().txid).toBe(7n)
  })

  it('detects that the database was dropped', async () => {
    const { leader, ship, replica, plan, store } = setUp()
    await ship(4)
    const behind = replica(4)
    leader.drop()
    const from = { ...ZERO, txid: toTXID(4), checksum: leader.checksums.get(toTXID(4)), pageSize: 512, commit: 1 }
    await uploadTransactions(store, 'app.db', leader, from, toTXID(5), { term: 3n })
    expect(await plan(behind, 3n)).toMatchObject({ kind: 'dropped', takenOverAt: 5n })
    expect(await plan(leader, 3n)).toMatchObject({ kind: 'equal' })
  })
})

async function decoded(stream: AsyncIterable<Uint8Array>): Promise<{
  header: { minTXID: TXID; maxTXID: TXID }
  pages: Uint8Array[]
}> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(new Uint8Array(chunk))
  const { header, pages } = decode(Buffer.concat(chunks))
  return { header, pages: [...pages.values()].map((page) => new Uint8Array(page)) }
}
