/**
 * Which file a snapshot is written to. A plain directory ends no descriptor when a file's owner or mode changes, and
 * ltxd does not either. But a snapshot can be of another file of the same name, of which such a descriptor shows
 * nothing there.
 */

import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { finish } from '../../apply/steps.ts'
import { compacted, Source } from '../../apply/testing.ts'
import { bytesInMemory, bytesOfFile } from '../../apply/transaction.ts'
import { formatPosition } from '../../ltx/format/types.ts'
import { filesBeneath } from '../../util/files-beneath.ts'
import type { Owner } from '../../util/owner.ts'
import { ClientDatabase } from './database.ts'

const OTHER = 65534
const SECRET = 'only-for-the-new-owner'
const ROOTS: Owner = { uid: 0, gid: 0, mode: 0o600 }

function setUp(first: Owner) {
  const dir = fs.mkdtempSync(join(tmpdir(), 'ltxd-new-file-'))
  const source = new Source(join(dir, 'source'))
  for (const sql of ['CREATE TABLE t (x)', 'INSERT INTO t VALUES (1)', `INSERT INTO t VALUES ('${SECRET}')`])
    source.commit(sql)
  const announced: string[] = []
  const database = new ClientDatabase(
    'a.db',
    filesBeneath(dir),
    (...all) => announced.push(...all.map(({ op }) => op)),
    () => undefined,
  )
  const own = (file: Owner) => database.own({ file, folders: [] }, true)
  finish(database.open([]))
  own(first)
  const apply = (at: number) => {
    const ltx = source.states[at]?.ltx ?? new Uint8Array(0)
    finish(database.apply(bytesInMemory(ltx), ltx))
  }
  for (const at of [0, 1]) apply(at)
  const path = join(dir, 'a.db')
  const held = fs.openSync(path, 'r+')
  onTestFinished(() => {
    fs.closeSync(held)
    database.close()
    source.close()
    fs.rmSync(dir, { recursive: true })
  })
  const snapshot = async (change = (bytes: Uint8Array) => bytes) => {
    const file = join(dir, 'snapshot.ltx')
    fs.writeFileSync(file, change(await compacted(source.states)))
    const position = formatPosition(source.states[2]!.position)
    const order = { type: 'advance', database: 'a.db', file, whole: true, position, timestampMs: 0 } as const
    return finish(database.advance(bytesOfFile(file), order))
  }
  const showsSecret = (file: string | number) => fs.readFileSync(file).includes(SECRET)
  const isSame = () => fs.fstatSync(held).ino === fs.statSync(path).ino
  return { path, held, own, apply, snapshot, showsSecret, isSame, announced }
}

test.runIf(process.geteuid?.() === 0).each<[string, Owner, Owner]>([
  ['another user', { uid: OTHER, gid: 0, mode: 0o600 }, ROOTS],
  ['everybody', { ...ROOTS, mode: 0o644 }, ROOTS],
  ['another group', { ...ROOTS, gid: OTHER, mode: 0o640 }, { ...ROOTS, mode: 0o640 }],
])('a file that %s could open shows nothing of a snapshot, once it is for fewer', async (_who, former, now) => {
  const { path, held, own, snapshot, showsSecret, isSame, announced } = setUp(former)
  own(now)
  announced.length = 0
  await expect(snapshot((bytes) => bytes.subarray(0, -1))).rejects.toThrow()
  expect(isSame(), 'a snapshot that is damaged replaces nothing').toBe(true)
  expect(announced).toEqual([])
  await snapshot()
  expect(announced).toEqual(['discard', 'reset', 'expect'])
  expect({ held: showsSecret(held), named: showsSecret(path) }).toEqual({ held: false, named: true })
  expect(fs.statSync(path)).toMatchObject({ uid: now.uid, gid: now.gid, mode: 0o100000 | now.mode })
  await snapshot()
  expect(isSame()).toBe(false)
  fs.writeSync(held, 'overwritten', 0)
  expect(fs.readFileSync(path).subarray(0, 6).toString()).toBe('SQLite')
})

test.runIf(process.geteuid?.() === 0)(
  'a change of owner and mode alone ends no descriptor, as in a plain directory',
  () => {
    const { held, own, apply, showsSecret, isSame } = setUp({ uid: OTHER, gid: OTHER, mode: 0o644 })
    own(ROOTS)
    apply(2)
    expect({ isSame: isSame(), held: showsSecret(held) }).toEqual({ isSame: true, held: true })
  },
)

test.runIf(process.geteuid?.() === 0).each<[string, Owner, Owner]>([
  ['the same users', { uid: OTHER, gid: OTHER, mode: 0o640 }, { uid: OTHER, gid: OTHER, mode: 0o640 }],
  ['more users', ROOTS, { uid: OTHER, gid: OTHER, mode: 0o644 }],
])('a snapshot of a file for %s is seen by those who have it open', async (_who, former, now) => {
  const { held, own, snapshot, showsSecret } = setUp(former)
  own(now)
  await snapshot()
  expect(showsSecret(held)).toBe(true)
})
