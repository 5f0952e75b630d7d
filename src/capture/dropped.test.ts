import fs from 'node:fs'
import { expect, test } from 'vitest'
import { failingFiles } from '../../test/harness/in-process/failing-files.ts'
import { replayLog } from '../../test/harness/in-process/log-replay.ts'
import { InProcessNode, temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { SqliteEngine } from '../../test/harness/in-process/sqlite-engine.ts'
import { droppedAt, listDropped, noteDropped } from '../log/dropped.ts'
import { logDirectory } from '../log/store.ts'
import { nodeFiles } from '../util/files.ts'
import { filesBeneath } from '../util/files-beneath.ts'

const logDir = (rig: Rig, name = 'a.db') => logDirectory(rig.dir, name)

function make(rig: Rig, name = 'a.db', mode = 'wal'): void {
  const connection = rig.open(mode, 10, name)
  for (let i = 0; i < 5; i++) connection.exec(insert(100 + i, 100 + i))
  connection.close()
}

/** Drops the database, and frees what it occupies as a node does. */
async function drop(rig: Rig, name = 'a.db') {
  rig.node.mount.unlink(name)
  const position = rig.node.position(name)
  await noteDropped(nodeFiles, logDir(rig, name), position)
  rig.node.volume.release(name, position.txid)
  return position
}

test.each(['wal', 'delete'])(
  'only the position of a dropped database remains; made again, in mode %s, it goes on from there',
  async (mode) => {
    using rig = new Rig({ segmentSizeBytes: 512 })
    for (let life = 0; life < 3; life++) {
      make(rig, 'a.db', mode)
      rig.consistent()
      const at = await drop(rig)
      expect(() => rig.node.database('a.db')).toThrow('no database')
      expect(fs.readdirSync(logDir(rig))).toEqual(['base.json'])
      expect(droppedAt(nodeFiles, logDir(rig))).toEqual(at)
      expect(rig.node.released).toEqual(Array.from({ length: life + 1 }, () => 'a.db'))
    }
    make(rig)
    expect(rig.node.position('a.db').txid).toBeGreaterThan(9n)
    rig.consistent()
  },
)

test('who hears that a name was released finds where it was dropped', async () => {
  using rig = new Rig({ segmentSizeBytes: 512 })
  make(rig)
  const found: unknown[] = []
  rig.node.onReleased = (name) => found.push(droppedAt(nodeFiles, logDir(rig, name)))
  const at = await drop(rig)
  expect(found).toEqual([at])
})

test('a dropped database whose records the disk does not let go stays known, and goes on from its drop', async () => {
  let isBroken = false
  const files = failingFiles(nodeFiles, (operation, path) =>
    isBroken && operation === 'unlink' && path.endsWith('.ltxlog') ? 'EIO' : undefined,
  )
  using rig = new Rig({ segmentSizeBytes: 512, files })
  make(rig)
  isBroken = true
  const at = await drop(rig)
  isBroken = false
  expect(rig.node.released).toEqual([])
  expect(rig.node.position('a.db')).toEqual(at)
  make(rig)
  expect(rig.node.position('a.db').txid).toBeGreaterThan(at.txid)
  rig.consistent()
  rig.node.volume.release('a.db', (await drop(rig)).txid)
  expect(rig.node.released).toEqual(['a.db'])
})

test('a name goes on from its drop after a restart, and a dropped one takes no place', async () => {
  using rig = new Rig()
  make(rig)
  const at = await drop(rig)
  rig.node.leave()
  using again = new Rig({}, rig.dir)
  expect(listDropped(nodeFiles, again.dir)).toEqual(new Map([['a.db', at]]))
  make(again)
  expect(again.node.position('a.db').txid).toBeGreaterThan(at.txid)
  expect(again.node.complaints()).toEqual([])
  again.consistent()
})

test('a crash between any two steps leaves the position of the drop', async () => {
  using rig = new Rig({ segmentSizeBytes: 512 })
  make(rig)
  rig.node.maintain('a.db')
  rig.node.mount.unlink('a.db')
  const at = rig.node.position('a.db')
  const dir = logDir(rig)
  const segments = fs
    .readdirSync(dir)
    .filter((name) => name.endsWith('.ltxlog'))
    .sort()
  expect(segments.length).toBeGreaterThan(3)
  const survives = (step: string) => {
    using temporary = temporaryDirectory()
    fs.cpSync(rig.dir, temporary.dir, { recursive: true })
    using crashed = new Rig({}, temporary.dir)
    make(crashed)
    const { txid } = crashed.node.position('a.db')
    expect(txid, step).toBeGreaterThan(at.txid)
    crashed.node.leave()
    using after = new Rig({}, crashed.dir)
    expect(after.node.position('a.db').txid, step).toBe(txid)
    expect(after.engine.open('a.db').value('SELECT count(*) FROM t'), step).toBe(15)
    expect([...crashed.node.complaints(), ...after.node.complaints()], step).toEqual([])
  }
  survives('before')
  await noteDropped(nodeFiles, dir, at)
  survives('noted')
  for (const name of segments) {
    fs.unlinkSync(`${dir}/${name}`)
    survives(`without ${name}`)
  }
})

test('a database is not released while it is in use, was made again, or its drop is not durable', async () => {
  using rig = new Rig()
  const { volume, mount } = rig.node
  make(rig)
  mount.unlink('a.db')
  const at = rig.node.position('a.db')
  volume.release('a.db', at.txid)
  expect(rig.node.database('a.db').position).toEqual(at)
  await noteDropped(nodeFiles, logDir(rig), at)
  const open = mount.open('a.db', { create: true, exclusive: true, readOnly: false })
  volume.release('a.db', at.txid)
  expect(rig.node.database('a.db').position).toEqual(at)
  open.close()
  mount.unlink('a.db')
  make(rig)
  volume.release('a.db', at.txid)
  expect(rig.node.position('a.db').txid).toBeGreaterThan(at.txid)
  expect(rig.node.released).toEqual([])
  rig.consistent()
})

test('a name whose drop cannot be read is not used again, and the log says why', async () => {
  using rig = new Rig()
  make(rig)
  await drop(rig)
  fs.writeFileSync(`${logDir(rig)}/base.json`, '{}')
  expect(() => make(rig)).toThrow()
  expect(rig.node.complaints().join('\n')).toMatch(/not served.*base\.json/)
})

test.each(['-wal', '-journal'])('a database is removed although a link is in the place of its %s', (suffix) => {
  using temporary = temporaryDirectory()
  const files = filesBeneath(temporary.dir)
  const node = new InProcessNode({ dataDir: temporary.dir, files })
  const connection = new SqliteEngine(node.mount, { seed: 1 }).open('a.db')
  connection.exec('CREATE TABLE t (a)')
  connection.close()
  fs.symlinkSync('elsewhere', `${node.root}/a.db${suffix}`)
  node.mount.unlink('a.db')
  expect(replayLog(temporary.dir, 'a.db').commit).toBe(0)
  node.close()
})
