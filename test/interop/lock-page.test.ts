/** A sparse database of more than a gigabyte: superfly/ltx 0.5.3 encodes it, and ltxd reads the same pages. */
import { execFile } from 'node:child_process'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { encode, frames } from '../../src/ltx/file.ts'
import { foldChecksum, pageChecksum } from '../../src/ltx/format/checksum.ts'
import { type Checksum, lockPgno, toTXID } from '../../src/ltx/format/types.ts'
import { compact } from '../../src/ltx/merge/compactor.ts'
import { header, pageOf } from '../../src/ltx/testing.ts'

const run = promisify(execFile)
const tool = findTool('ltx')
if (tool === undefined && process.env.CI === 'true') throw new Error('the reference tool ltx 0.5.3 is not installed')

const PAGE_SIZE = 65536
const LOCK = lockPgno(PAGE_SIZE)
const COMMIT = LOCK + 2

describe.skipIf(tool === undefined)('a database beyond its lock page', () => {
  let dir: string
  const written = new Map<number, Uint8Array>()
  beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'ltxd-'))))
  afterAll(() => rm(dir, { recursive: true }))

  /**
   * Pages at both ends and around the lock page. The lock page has content that must not be read; the rest are holes.
   */
  async function sparseDatabase(path: string): Promise<void> {
    const db = new Database(path)
    db.pragma(`page_size = ${PAGE_SIZE}`)
    db.exec('CREATE TABLE t (v)')
    db.close()
    const file = await open(path, 'r+')
    const pages = Buffer.alloc(2 * PAGE_SIZE)
    await file.read(pages, 0, pages.length, 0)
    pages.writeUInt32BE(COMMIT, 28)
    written.set(1, new Uint8Array(pages.subarray(0, PAGE_SIZE)))
    written.set(2, new Uint8Array(pages.subarray(PAGE_SIZE)))
    for (const pgno of [LOCK - 1, LOCK + 1, COMMIT]) written.set(pgno, pageOf(PAGE_SIZE, pgno))
    await file.truncate(COMMIT * PAGE_SIZE)
    for (const [pgno, page] of [...written, [LOCK, pageOf(PAGE_SIZE, LOCK)] as const]) {
      await file.write(page, 0, PAGE_SIZE, (pgno - 1) * PAGE_SIZE)
    }
    await file.close()
  }

  /**
   * Asserts that the file has every page in order with its data. Returns the database's checksum, which a decoder
   * verifies.
   */
  async function expectPages(path: string, pages: ReadonlyMap<number, Uint8Array>): Promise<Checksum> {
    const zeroes = new Uint8Array(PAGE_SIZE)
    let expected = 1
    const reading = frames(createReadStream(path, { highWaterMark: 1 << 20 }))
    for (;;) {
      const { done, value } = await reading.next()
      if (done === true) {
        expect(expected).toBe(COMMIT + 1)
        return value.trailer.postApplyChecksum as Checksum
      }
      const { pgno } = value
      if (pgno !== expected) throw new Error(`page ${pgno} stands where page ${expected} should`)
      expected = pgno + 1 === LOCK ? LOCK + 1 : pgno + 1
      const page = value.page()
      if (Buffer.compare(page, pages.get(pgno) ?? zeroes) !== 0) throw new Error(`page ${pgno} has other content`)
    }
  }

  test('as the reference wrote it can be read, compacted with a change beside the lock page, and verified', async () => {
    const [database, snapshot, change, merged] = ['a.db', '1.ltx', '2.ltx', '3.ltx'].map((name) => join(dir, name))
    await sparseDatabase(database!)
    await run(tool!, ['encode-db', '-o', snapshot!, database!], { timeout: 100_000 })
    const before = await expectPages(snapshot!, written)

    const page = pageOf(PAGE_SIZE, 77)
    const old = written.get(LOCK + 1)!
    const after = [old, page].reduce((sum, data) => foldChecksum(sum, pageChecksum(LOCK + 1, data)), before)
    const fields = { pageSize: PAGE_SIZE, commit: COMMIT, minTXID: toTXID(2), preApplyChecksum: before }
    await writeFile(change!, encode(header(fields), [[LOCK + 1, page]], after))
    const inputs = [snapshot!, change!].map((name) => ({ name, open: () => createReadStream(name) }))
    await pipeline(Readable.from(compact(inputs)), createWriteStream(merged!))
    expect(await expectPages(merged!, new Map([...written, [LOCK + 1, page]]))).toBe(after)
    await run(tool!, ['verify', merged!], { timeout: 100_000 })
  }, 300_000)
})
