import fs from 'node:fs'
import { expect, test } from 'vitest'
import { InProcessNode } from '../../test/harness/in-process/node-in-process.ts'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { logDirectory } from '../log/store.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import { formatPosition } from '../ltx/format/types.ts'
import { nodeFiles } from '../util/files.ts'
import { Proof } from './proof.ts'

const PAGE = 1024

/**
 * A node restarted after a crash on a database too large to be read whole, with one byte flipped in each of `damaged`.
 */
function crashedLarge(rig: Rig, ...damaged: number[]): Rig {
  rig.node.maintain('a.db')
  const bytes = rig.backing('a.db')
  for (const pgno of damaged) bytes[(pgno - 1) * PAGE + 500] = (bytes[(pgno - 1) * PAGE + 500] as number) ^ 1
  fs.writeFileSync(`${rig.node.root}/a.db`, bytes)
  return new Rig({ wholeReadBytes: 0 }, rig.dir)
}

const opened = (rig: Rig) => rig.node.mount.open('a.db', { create: false, exclusive: false, readOnly: false })
const page = () => new Uint8Array(PAGE)
const eio = expect.objectContaining({ code: 'EIO' }) as Error

test('after a crash a large database is not read whole, but verified page by page as it is read', () => {
  using rig = new Rig()
  rig.open('delete', 300).close()
  using again = crashedLarge(rig)
  const { trust } = again.node.database('a.db')
  expect(trust.proof?.next(1)).toBe(1)
  const file = opened(again)
  file.read(page(), 3 * PAGE)
  expect([3, 4, 5].map((pgno) => trust.proof?.has(pgno))).toEqual([false, true, false])
  file.read(new Uint8Array(10), 7 * PAGE - 5)
  expect([7, 8, 9].map((pgno) => trust.proof?.has(pgno))).toEqual([true, true, false])
  file.close()
  const connection = again.engine.open('a.db')
  expect(connection.value('SELECT count(*) FROM t')).toBe(300)
  connection.exec("UPDATE t SET b = 'new'")
  connection.exec('VACUUM')
  expect(trust.proof?.next(1)).toBeUndefined()
  expect(again.node.complaints()).toEqual([])
  again.consistent()
})

test('I3: a damaged page is never served: its first read ends serving the database and logs why', () => {
  using rig = new Rig()
  rig.open('delete', 300).close()
  using again = crashedLarge(rig, 9)
  const file = opened(again)
  expect(file.read(page(), 7 * PAGE)).toBe(PAGE)
  expect(() => file.read(page(), 8 * PAGE)).toThrow(eio)
  expect(again.node.database('a.db').rejection).toMatch(/page 9 .*ltxd restore/)
  expect(again.node.complaints()).toEqual([expect.stringMatching(/database not served: page 9/)])
  expect(() => file.read(page(), 7 * PAGE)).toThrow(eio)
  expect(() => opened(again)).toThrow(eio)
  using restarted = new Rig({ wholeReadBytes: 0 }, again.dir)
  expect(restarted.node.database('a.db').rejection).toMatch(/first differing page: 9/)
})

test('a damaged page is not overwritten', () => {
  using rig = new Rig()
  rig.open('wal', 300).close()
  using again = crashedLarge(rig, 5)
  expect(() => opened(again).write(page(), 4 * PAGE)).toThrow(eio)
  expect(again.node.database('a.db').rejection).toMatch(/page 5/)
})

test('damage found by the control plane ends all commits, also those that touch no damaged page', () => {
  using rig = new Rig()
  rig.open('wal', 300)
  using again = crashedLarge(rig)
  const connection = again.engine.open('a.db')
  connection.exec(insert(301, 310))
  const before = formatPosition(again.node.position('a.db'))
  new Proof(again.node.database('a.db').trust.proof?.buffer as SharedArrayBuffer).setDamaged(77)
  expect(() => connection.exec(insert(311, 320))).toThrow()
  expect(formatPosition(again.node.position('a.db'))).toBe(before)
  expect(again.node.database('a.db').rejection).toMatch(/page 77/)
})

test('a database with unverified pages is renamed only if all of them are correct', () => {
  using rig = new Rig()
  rig.open('delete', 300).close()
  using sound = crashedLarge(rig)
  sound.node.mount.rename('a.db', 'b.db')
  expect(sound.engine.open('b.db').value('SELECT count(*) FROM t')).toBe(300)
  using wrong = crashedLarge(rig, 11)
  expect(() => wrong.node.mount.rename('a.db', 'b.db')).toThrow(eio)
  expect(fs.existsSync(`${wrong.node.root}/a.db`)).toBe(true)
})

test('a clean stop is recorded only once every page is verified', () => {
  using rig = new Rig()
  rig.open('delete', 300).close()
  using again = crashedLarge(rig)
  const clean = `${logDirectory(again.dir, 'a.db')}/clean.json`
  again.engine.open('a.db').exec('UPDATE t SET b = 1 WHERE a = 1')
  again.node.leave()
  expect(fs.existsSync(clean)).toBe(false)
  using proven = crashedLarge(rig)
  proven.engine.open('a.db').exec('UPDATE t SET b = 1 WHERE a = 1')
  proven.node.database('a.db').trust.proof?.end()
  proven.node.leave()
  expect(fs.existsSync(`${logDirectory(proven.dir, 'a.db')}/clean.json`)).toBe(true)
})

test('a dropped database needs no verification', () => {
  using rig = new Rig()
  rig.open('delete', 300).close()
  using again = crashedLarge(rig, 4)
  const { proof } = again.node.database('a.db').trust
  again.node.mount.unlink('a.db')
  expect(proof?.ended).toBe(true)
  again.open('delete', 20).close()
  again.consistent()
})

test('a proof tracks the unverified pages, in every thread', () => {
  const pages = Array.from({ length: 200 }, (_, i) => new Uint8Array(512).fill(i))
  const proof = Proof.of(
    BigUint64Array.from(pages, (bytes, i) => pageChecksum(i + 1, bytes)),
    512,
  )
  const other = new Proof(proof.buffer)
  expect(other).toMatchObject({ pageSize: 512, sizePages: 200 })
  for (let pgno = 1; pgno <= 150; pgno++) expect(proof.holds(pgno, pages[pgno - 1] as Uint8Array)).toBe(true)
  expect(other.next(1)).toBe(151)
  expect(other.holds(151, pages[0] as Uint8Array)).toBe(false)
  expect(other.holds(150, pages[0] as Uint8Array), 'page 150 was correct once').toBe(true)
  other.cut(160)
  expect(proof.next(155)).toBe(155)
  for (let pgno = 151; pgno <= 160; pgno++) proof.holds(pgno, pages[pgno - 1] as Uint8Array)
  expect(proof.next(1)).toBeUndefined()
  expect([proof.has(201), proof.damaged, proof.ended]).toEqual([true, undefined, false])
})

test('a start after a clean stop reads no database whole and writes nothing', () => {
  using rig = new Rig()
  rig.open('wal', 300).close()
  rig.node.leave()
  const stamps = () =>
    (fs.readdirSync(rig.dir, { recursive: true }) as string[]).map((name) => {
      const { mtimeNs, ctimeNs, ino } = fs.statSync(`${rig.dir}/${name}`, { bigint: true })
      return [name, mtimeNs, ctimeNs, ino]
    })
  const before = stamps()
  let bytesRead = 0
  const read: typeof nodeFiles.read = (...of) => {
    const n = nodeFiles.read(...of)
    if (fs.readlinkSync(`/proc/self/fd/${of[0]}`).endsWith('/a.db')) bytesRead += n
    return n
  }
  const again = new InProcessNode({ dataDir: rig.dir, files: { ...nodeFiles, read } })
  expect(stamps()).toEqual(before)
  expect(bytesRead).toBeLessThan(1000)
  again.leave()
  expect(stamps(), 'nor does the stop of a node on which nothing was opened').toEqual(before)
})

test('a file that was changed after a clean stop is read at the start', () => {
  using rig = new Rig()
  rig.open('wal', 300).close()
  rig.node.leave()
  const fd = fs.openSync(`${rig.node.root}/a.db`, 'r+')
  fs.writeSync(fd, 'x', 1500)
  fs.closeSync(fd)
  const again = new InProcessNode({ dataDir: rig.dir })
  expect(again.database('a.db').rejection).toMatch(/first differing page: 2/)
  again.close()
})

test('saved page checksums are at most an eighth of the log’s writes, and recent enough for recovery to use', () => {
  const written = { 'pages.bin': 0, ltxlog: 0 }
  const write: typeof nodeFiles.write = (...of) => {
    const path = fs.readlinkSync(`/proc/self/fd/${of[0]}`)
    if (path.endsWith('pages.bin.tmp')) written['pages.bin'] += of[3]
    if (path.endsWith('.ltxlog')) written.ltxlog += of[3]
    nodeFiles.write(...of)
  }
  using rig = new Rig({ files: { ...nodeFiles, write }, segmentSizeBytes: 2_000 })
  const connection = rig.open('delete', 3000)
  for (let a = 1; a <= 200; a++) connection.exec(`UPDATE t SET b = 'x' || b WHERE a = ${a * 10}`)
  expect(written['pages.bin']).toBeGreaterThan(0)
  expect(written['pages.bin']).toBeLessThan(written.ltxlog / 8 + 10_000)
  connection.close()
  const { trust } = crashedLarge(rig).node.database('a.db')
  expect(trust.proof?.next(1)).toBe(1)
})
