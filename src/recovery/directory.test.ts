import fs from 'node:fs'
import { expect, test } from 'vitest'
import { Rig } from '../../test/harness/in-process/rig.ts'
import { DatabaseFilter } from '../capture/database-filter.ts'
import { openDataDirectory } from '../data/directory.ts'
import { logDirectory } from '../log/store.ts'
import { planDirectory, recoverDirectory } from './directory.ts'
import { crashed, lastTXID, planned, recovered } from './testing.ts'

test('a dry run reads the log whose replacement a crash interrupted', () => {
  using rig = new Rig()
  rig.open('delete', 100).close()
  using left = crashed(rig)
  const log = logDirectory(left.dir, 'a.db')
  fs.renameSync(log, `${log}.next`)
  expect(planned(left.dir)).toMatch(/^log: at /)
  expect(recovered(left.dir).position?.txid).toBe(lastTXID(rig))
})

test('a data directory in use, and a directory that is none, are rejected and left unchanged', () => {
  using rig = new Rig()
  rig.open('delete', 10).close()
  const node = openDataDirectory(rig.dir)
  for (const recover of [() => planDirectory(rig.dir, []), () => recoverDirectory(rig.dir, [], 1e6, () => {})]) {
    expect(recover).toThrow(expect.objectContaining({ code: 'DATA_IN_USE' }) as Error)
  }
  node.close()
  expect(planDirectory(rig.dir, []).map(({ name }) => name)).toEqual(['a.db'])
  expect(() => planDirectory(rig.dir, ['b.db'])).toThrow(/has no database "b.db".*it has a.db/)
  for (const recover of [planDirectory, (dir: string) => recoverDirectory(dir, [], 1e6, () => {})]) {
    expect(() => recover(`${rig.dir}/elsewhere`, [])).toThrow(expect.objectContaining({ code: 'NO_DATA' }) as Error)
  }
  expect(fs.existsSync(`${rig.dir}/elsewhere`)).toBe(false)
})

test('a file that matches no pattern is not recovered', () => {
  using rig = new Rig()
  rig.open('delete').close()
  fs.copyFileSync(`${rig.node.root}/a.db`, `${rig.node.root}/notes.txt`)
  const filter = new DatabaseFilter({ databases: ['*.db'], otherFiles: 'serve' })
  rig.node.leave()
  expect(planDirectory(rig.dir, [], filter).map(({ name }) => name)).toEqual(['a.db'])
  expect(recoverDirectory(rig.dir, [], 1e6, () => {}, filter).map(({ name }) => name)).toEqual(['a.db'])
  expect(planDirectory(rig.dir, []).map(({ name }) => name)).toEqual(['a.db', 'notes.txt'])
})
