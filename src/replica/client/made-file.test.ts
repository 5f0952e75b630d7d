import fs from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../../test/harness/in-process/node-in-process.ts'
import { filesBeneath } from '../../util/files-beneath.ts'
import { makeDatabaseFile } from './made-file.ts'

const IS_ROOT = process.geteuid?.() === 0

test.runIf(IS_ROOT).each([
  ['that its group may read, and is another', 65_534, 0o640, false],
  ['of the database’s group', 1, 0o640, true],
  ['that no group may read', 65_534, 0o600, true],
])('the empty file %s of the owner gets the database or not', (_, gid, mode, isKept) => {
  using temporary = temporaryDirectory()
  const path = join(temporary.dir, 'x.db')
  fs.writeFileSync(path, '')
  fs.chownSync(path, 0, gid)
  fs.chmodSync(path, mode)
  const { ino } = fs.statSync(path)
  const held = fs.openSync(path, 'r')
  const wish = { file: { uid: 0, gid: 1, mode: 0o640 } } as Parameters<typeof makeDatabaseFile>[2]
  const { fd } = makeDatabaseFile(filesBeneath(temporary.dir), path, wish)
  const made = fs.fstatSync(fd)
  for (const each of [fd, held]) fs.closeSync(each)
  expect([made.ino === ino, made.gid, made.mode & 0o777]).toEqual([isKept, 1, 0o640])
})
