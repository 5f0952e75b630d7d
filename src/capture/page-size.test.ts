import fs from 'node:fs'
import { describe, expect, test } from 'vitest'
import { InProcessNode } from '../../test/harness/in-process/node-in-process.ts'
import { Rig } from '../../test/harness/in-process/rig.ts'
import { recoverAndCheck } from '../../test/harness/in-process/verdict.ts'
import { inspectLog } from '../log/open.ts'
import { logDirectory } from '../log/store.ts'
import { formatPosition, type TXID } from '../ltx/format/types.ts'
import { frameSize, WAL_HEADER_SIZE } from '../sqlite/wal.ts'
import { FrameChain, marshalWalHeader } from '../sqlite/wal-write.ts'
import { nodeFiles } from '../util/files.ts'
import { SOLE } from './authority.ts'
import type { Expectation } from './expected.ts'

/** A page size that changes on a replica where a program has the database open in WAL mode: apply/live-database.ts. */

const OLD = 1024

class Replica {
  leads = true
  readonly deadlineNs = 1n
  readonly mayCommit = () => true
  readonly mayAcknowledge = () => true
  readonly isClient = () => true
}

/** A replica in WAL mode whose file has everything, and the database with pages of `size` bytes that it becomes. */
function replicaOf(size: number) {
  const role = new Replica()
  const rig = new Rig({
    authority: {
      ...SOLE,
      ...role,
      get leads() {
        return role.leads
      },
    },
  })
  rig.open('wal', 60).close()
  using twin = new Rig()
  const source = twin.open('delete', 60)
  source.exec(`PRAGMA page_size = ${size}; VACUUM; PRAGMA journal_mode = wal`)
  source.close()
  const image = twin.backing('a.db')
  const { checksum } = twin.node.position('a.db')
  role.leads = false
  const txid = (rig.node.position('a.db').txid + 1n) as TXID
  const commit = image.length / size
  const expectation: Expectation = { position: { txid, checksum }, commit, pageSize: size, timestampMs: 1, nodeId: 1n }
  const announce = () => rig.node.volume.announced({ op: 'expect', database: 'a.db', expectation })
  return { rig, role, image, commit, announce, position: expectation.position }
}

/** A WAL with these pages, in the order of their numbers, as one transaction. */
function walOf(image: Buffer, size: number, commit: number): Uint8Array {
  const { bytes, header } = marshalWalHeader({
    ...{ pageSize: size, checkpointSequence: 1, salt1: 7, salt2: 8, bigEndianChecksums: false },
  })
  const pages = image.length / size
  const wal = new Uint8Array(WAL_HEADER_SIZE + pages * frameSize(size))
  wal.set(bytes)
  const chain = new FrameChain(header, header.checksum1, header.checksum2)
  let at = WAL_HEADER_SIZE
  for (let pgno = 1; pgno <= pages; pgno++) {
    const page = image.subarray((pgno - 1) * size, pgno * size)
    at = chain.append(new DataView(wal.buffer), at, pgno, pgno === pages ? commit : 0, page)
  }
  return wal
}

const FILE = { create: true, exclusive: false, readOnly: false }

describe.each([512, 4096])('a WAL that begins with all pages, of %i bytes,', (size) => {
  test('is one transaction of the log, wherever a crash stops the client or the node', () => {
    const { rig, image, commit, announce, position } = replicaOf(size)
    using _ = rig
    const before = rig.node.position('a.db').txid
    const file = rig.node.mount.open('a.db', FILE)
    const wal = rig.node.mount.open('a.db-wal', FILE)
    const seen = new Set<bigint>()
    const crash = () => {
      const dir = `${rig.dir}-crash`
      fs.cpSync(rig.dir, dir, { recursive: true })
      try {
        seen.add(recoverAndCheck(dir, 'a.db').txid)
        const again = new InProcessNode({ dataDir: dir })
        expect(again.recovered.get('a.db')?.rejection).toBeUndefined()
        again.close()
      } finally {
        fs.rmSync(dir, { recursive: true })
      }
    }
    rig.node.mount.after = crash
    announce()
    const bytes = walOf(image, size, commit)
    // In pieces, as larger ones come.
    for (let at = 0; at < bytes.length; at += 3000) wal.write(bytes.subarray(at, at + 3000), at)
    expect(rig.node.position('a.db')).toEqual(position)
    expect(rig.node.database('a.db')).toMatchObject({ pageSize: size, walMode: true })
    const { header } = inspectLog(nodeFiles, logDirectory(rig.dir, 'a.db')).entries.at(-1) ?? {}
    expect(header).toMatchObject({ pageSize: size, commit })
    wal.sync()
    for (let at = 0; at < image.length; at += 8 * size) file.write(image.subarray(at, at + 8 * size), at)
    file.truncate(image.length)
    expect(rig.node.database('a.db').backfilled).toEqual(position)
    expect([...seen]).toEqual([before, position.txid])
    expect(rig.backing('a.db').equals(image)).toBe(true)
  })

  test('is captured after a crash that lost its record of the log', () => {
    const { rig, image, commit, announce, position } = replicaOf(size)
    using _ = rig
    announce()
    rig.node.mount.open('a.db-wal', FILE).write(walOf(image, size, commit), 0)
    const last = inspectLog(nodeFiles, logDirectory(rig.dir, 'a.db')).entries.at(-1)
    const dir = `${rig.dir}-crash`
    fs.cpSync(rig.dir, dir, { recursive: true })
    const segment = last?.segment.replace(rig.dir, dir)
    fs.truncateSync(segment ?? '', (last?.offset ?? 0) - 24)
    expect(recoverAndCheck(dir, 'a.db').txid).toBe(position.txid)
    const again = new InProcessNode({ dataDir: dir })
    expect(again.position('a.db')).toEqual(position)
    again.close()
    fs.rmSync(dir, { recursive: true })
  })

  test('is rejected on a primary, unannounced, and with a page missing', () => {
    const { rig, role, image, commit, announce } = replicaOf(size)
    using _ = rig
    const before = formatPosition(rig.node.position('a.db'))
    const wal = rig.node.mount.open('a.db-wal', FILE)
    const bytes = walOf(image, size, commit)
    expect(() => wal.write(bytes, 0)).toThrow(`the WAL has page size ${size}, expected the database's ${OLD}`)
    role.leads = true
    expect(() => wal.write(bytes, 0)).toThrow('page size')
    role.leads = false
    announce()
    const short = walOf(image.subarray(0, image.length - size), size, commit)
    expect(() => wal.write(short, 0)).toThrow()
    expect(formatPosition(rig.node.position('a.db'))).toBe(before)
    expect(rig.node.database('a.db').pageSize).toBe(OLD)
  })
})
