import fs from 'node:fs'
import { expect, test } from 'vitest'
import { InProcessNode } from '../../test/harness/in-process/node-in-process.ts'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { logDirectory } from '../log/store.ts'

const CHOICES = { create: false, exclusive: false, readOnly: false }

/** A node that starts on a copy of `rig`'s directory, as after a crash. */
const crashed = (rig: Rig) => new Rig({}, rig.dir)
const count = (rig: Rig) => rig.engine.open('a.db').value('SELECT count(*) FROM t')

test('a plain database with a WAL is imported as SQLite would read it', () => {
  using source = new Rig()
  const connection = source.open('wal', 30)
  connection.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  connection.exec(insert(31, 60))
  using rig = new Rig()
  for (const name of ['a.db', 'a.db-wal']) fs.copyFileSync(`${source.node.root}/${name}`, `${rig.node.root}/${name}`)
  using again = crashed(rig)
  expect(again.txid()).toBe(1)
  expect(count(again)).toBe(60)
  again.consistent()
})

test('a copy that a crash interrupted is not imported, so that it can be copied again', () => {
  using whole = new Rig()
  whole.open('delete', 30).close()
  const bytes = whole.backing('a.db')
  for (const length of [100, 1024, bytes.length - 1]) {
    using rig = new Rig()
    fs.writeFileSync(`${rig.node.root}/b.db`, bytes.subarray(0, length))
    using again = crashed(rig)
    expect(again.node.recovered.get('b.db')).toBeUndefined()
    expect(again.node.complaints()).toEqual([expect.stringContaining('shorter than its header says')])
    expect(again.backing('b.db')).toEqual(bytes.subarray(0, length))
    const file = again.node.mount.open('b.db', CHOICES)
    file.truncate(0)
    file.write(bytes, 0)
    file.close()
    expect(again.consistent('b.db').bytes()).toEqual(bytes)
  }
})

test('a file shorter than its header says is not imported when it is renamed', () => {
  using rig = new Rig()
  rig.open('delete', 30).close()
  fs.writeFileSync(`${rig.node.root}/b.db`, rig.backing('a.db').subarray(0, 1024))
  rig.node.mount.rename('b.db', 'c.db')
  expect(rig.node.volume.tracked('c.db')).toBeUndefined()
  rig.node.mount.rename('c.db', 'a.db')
  expect(rig.node.volume.tracked('a.db')).toBeUndefined()
})

test('a file that matches no checksum is not changed and not served, and the reason is given', () => {
  using rig = new Rig()
  rig.open('delete', 80).close()
  rig.node.maintain('a.db')
  const bytes = rig.backing('a.db')
  bytes[1500] = (bytes[1500] as number) ^ 1
  fs.writeFileSync(`${rig.node.root}/a.db`, bytes)
  using again = crashed(rig)
  expect(again.node.database('a.db').rejection).toMatch(/checksum .*first differing page: 2.*ltxd restore/s)
  expect(() => again.node.mount.open('a.db', CHOICES)).toThrow(expect.objectContaining({ code: 'EIO' }) as Error)
  expect(again.backing('a.db').equals(bytes)).toBe(true)
  const restarted = new InProcessNode({ dataDir: again.dir })
  expect(restarted.database('a.db').rejection).toBeDefined()
  restarted.close()
})

test('a database that is not served can be removed', () => {
  using rig = new Rig()
  rig.open('delete', 80).close()
  rig.node.maintain('a.db')
  fs.writeFileSync(`${rig.node.root}/a.db`, Buffer.alloc(4096, 1))
  using again = crashed(rig)
  expect(again.node.database('a.db').rejection).toBeDefined()
  again.node.mount.unlink('a.db')
  expect(fs.existsSync(`${again.node.root}/a.db`)).toBe(false)
})

test('one damaged database does not stop the others from being served', () => {
  using rig = new Rig()
  rig.open('delete', 30, 'bad.db').close()
  rig.open('delete', 30, 'good.db').close()
  const log = segmentOf(rig, 'bad.db')
  const bytes = fs.readFileSync(log)
  rig.node.maintain('bad.db')
  bytes[200] = (bytes[200] as number) ^ 1
  fs.writeFileSync(log, bytes)
  using again = crashed(rig)
  expect(again.node.database('bad.db').rejection).toMatch(/damaged at byte/)
  expect(again.engine.open('good.db').value('SELECT count(*) FROM t')).toBe(30)
})

function segmentOf({ dir }: { dir: string }, name: string): string {
  const logDir = logDirectory(dir, name)
  return `${logDir}/${fs.readdirSync(logDir).find((file) => file.endsWith('.ltxlog'))}`
}
