/**
 * LTX files of ltxd, read by the reference implementation, `ltx` of superfly/ltx 0.5.3, on the PATH or at $LTX_BIN.
 */
import { execFile } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { decode, encode } from '../../src/ltx/file.ts'
import { NO_CHECKSUM } from '../../src/ltx/format/header.ts'
import { type Checksum, EMPTY_CHECKSUM, toTXID } from '../../src/ltx/format/types.ts'
import { compact, type CompactOptions } from '../../src/ltx/merge/compactor.ts'
import { arbitraryFile, arbitraryPage, databaseChecksum, header, PAGE_SIZES, pageOf } from '../../src/ltx/testing.ts'

const run = promisify(execFile)
const tool = process.env.LTX_BIN ?? findTool('ltx')
if (tool === undefined && process.env.CI === 'true') throw new Error('the reference tool ltx 0.5.3 is not installed')

describe.skipIf(tool === undefined)('files of ltxd, read by ltx 0.5.3', () => {
  let dir: string
  let count = 0
  beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'ltxd-'))))
  afterAll(() => rm(dir, { recursive: true }))

  const ltx = (...args: string[]) => run(tool!, args, { timeout: 60_000 })
  const path = (name = `${++count}.ltx`) => join(dir, name)

  async function save(bytes: Uint8Array): Promise<string> {
    const file = path()
    await writeFile(file, bytes)
    return file
  }

  async function compacted(files: readonly string[], options: CompactOptions = {}): Promise<string> {
    const chunks: Uint8Array[] = []
    for await (const chunk of compact(
      files.map((name) => ({ name, open: () => createReadStream(name) })),
      options,
    )) {
      chunks.push(chunk)
    }
    return save(Buffer.concat(chunks))
  }

  test('are verified: every page size, every kind of page', async () => {
    const files: string[] = []
    for (const pageSize of PAGE_SIZES) {
      for (const data of fc.sample(arbitraryPage(pageSize), { numRuns: 25, seed: pageSize })) {
        const pages = [[1, data] as const]
        const fields = { pageSize, minTXID: toTXID(1), maxTXID: toTXID(1), preApplyChecksum: 0n as const }
        files.push(await save(encode(header(fields), pages, databaseChecksum(pages))))
      }
    }
    await ltx('verify', ...files)
  })

  test('are verified: snapshots, changes, deletions, with and without checksums', async () => {
    const files: string[] = []
    for (const file of fc.sample(arbitraryFile(), { numRuns: 300, seed: 53 })) {
      files.push(await save(encode(file.header, file.pages, file.postApply)))
    }
    await ltx('verify', ...files)
  })

  test('are applied: a history yields the recorded database, file by file and compacted', async () => {
    const source = path('source.db')
    const db = new Database(source)
    db.pragma('page_size = 4096')
    db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)')
    const files: string[] = []
    let before = new Map<number, Uint8Array>()
    let checksum: Checksum | 0n = 0n
    const insert = db.prepare('INSERT INTO t (v) VALUES (?)')
    for (let txid = 1; txid <= 12; txid++) {
      db.transaction(() => {
        for (let i = 0; i < 50; i++) insert.run(`row ${txid * i} `.repeat(20))
        if (txid % 4 === 0) db.exec('DELETE FROM t WHERE id % 3 = 0')
      })()
      if (txid === 9) db.exec('VACUUM')
      const image = await readFile(source)
      const pages = new Map<number, Uint8Array>()
      for (let at = 0; at < image.length; at += 4096)
        pages.set(at / 4096 + 1, new Uint8Array(image.subarray(at, at + 4096)))
      const changed = [...pages].filter(([pgno, page]) => Buffer.compare(page, before.get(pgno) ?? Buffer.of()) !== 0)
      const fields = { pageSize: 4096, commit: pages.size, minTXID: toTXID(txid), preApplyChecksum: checksum }
      const bytes = encode(header(fields), changed, databaseChecksum(pages))
      files.push(await save(bytes))
      before = pages
      checksum = databaseChecksum(pages)
    }
    db.close()
    const original = await readFile(source)
    await ltx('verify', ...files)

    const groups = [
      files,
      [await compacted(files)],
      [await compacted(files.slice(0, 5)), await compacted(files.slice(5))],
      [await compacted(files, { noChecksum: true })],
    ]
    for (const group of groups) {
      await ltx('verify', ...group)
      const restored = path(`${++count}.db`)
      await ltx('apply', '-db', restored, ...group)
      expect(Buffer.compare(await readFile(restored), original)).toBe(0)
    }
  })

  test('have the same pages and the same checksum as its own snapshot of a database', async () => {
    const source = path('encode.db')
    const db = new Database(source)
    db.exec('CREATE TABLE t (v BLOB)')
    db.exec(
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 40) INSERT INTO t SELECT randomblob(3000) FROM n',
    )
    db.close()
    const theirs = path()
    await ltx('encode-db', '-o', theirs, source)
    const { header: head, pages, trailer } = decode(await readFile(theirs))
    const image = await readFile(source)
    expect(Buffer.compare(Buffer.concat([...pages.values()]), image)).toBe(0)
    expect(trailer.postApplyChecksum).toBe(databaseChecksum(pages))
    const ours = encode(head, pages, databaseChecksum(pages))
    expect(decode(ours).trailer.postApplyChecksum).toBe(trailer.postApplyChecksum)
    await ltx('verify', await save(ours))
  })

  test('are verified: a deletion, a file without pages, and pages on both sides of the lock page', async () => {
    const page = pageOf(65536, 1)
    const fields = { pageSize: 65536, commit: 16386 }
    const files = [
      encode(header({ commit: 0 }), [], EMPTY_CHECKSUM),
      encode(header({ commit: 7 }), [], EMPTY_CHECKSUM),
      encode(
        header(fields),
        [16384, 16386].map((pgno) => [pgno, page] as const),
        EMPTY_CHECKSUM,
      ),
      encode(header({ ...fields, flags: NO_CHECKSUM, preApplyChecksum: 0n }), [[16386, page]], 0n),
    ]
    await ltx('verify', ...(await Promise.all(files.map(save))))
  })

  test('are verified: a snapshot of more than a gigabyte, without its lock page', async () => {
    const commit = 16386
    const page = new Uint8Array(65536)
    const pages = function* () {
      for (let pgno = 1; pgno <= commit; pgno++) if (pgno !== 16385) yield [pgno, page] as const
    }
    const fields = { pageSize: 65536, commit, minTXID: toTXID(1), preApplyChecksum: 0n as const }
    const file = await save(encode(header(fields), pages(), databaseChecksum(pages())))
    await ltx('verify', await compacted([file]))
  })
})
