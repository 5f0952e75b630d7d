import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { nodeFiles } from '../util/files.ts'
import { readAddress, writeAddress } from './address-file.ts'

const ADDRESS = { url: 'http://127.0.0.1:4100', pid: 1 }
const NOBODY = 65_534

test('the address that a node wrote is read, and none where there is no node', () => {
  using temporary = temporaryDirectory()
  expect(readAddress(temporary.dir)).toBeUndefined()
  expect(readAddress(join(temporary.dir, 'absent'))).toBeUndefined()
  writeAddress(nodeFiles, temporary.dir, ADDRESS)
  expect(readAddress(temporary.dir)).toEqual(ADDRESS)
})

test('what another user puts there keeps nobody waiting, and is named', () => {
  using temporary = temporaryDirectory()
  const path = join(temporary.dir, 'api.json')
  execFileSync('mkfifo', [path])
  expect(() => readAddress(temporary.dir)).toThrow(`${path} is a named pipe`)
  fs.rmSync(path)
  fs.symlinkSync('/dev/zero', path)
  expect(() => readAddress(temporary.dir)).toThrow(`${path} is a symbolic link`)
  fs.rmSync(path)
  fs.mkdirSync(path)
  expect(() => readAddress(temporary.dir)).toThrow(`${path} is a directory`)
  fs.rmdirSync(path)
  fs.writeFileSync(path, '')
  fs.truncateSync(path, 2 ** 40)
  expect(() => readAddress(temporary.dir)).toThrow(`${path} is not an address file of a node`)
})

test.runIf(process.geteuid?.() === 0)(
  'an address of another user is used only where the operator names its directory',
  () => {
    using temporary = temporaryDirectory()
    writeAddress(nodeFiles, temporary.dir, ADDRESS)
    fs.chownSync(join(temporary.dir, 'api.json'), NOBODY, NOBODY)
    expect(() => readAddress(temporary.dir)).toThrow('api.json belongs to user 65534')
    expect(readAddress(temporary.dir, true)).toEqual(ADDRESS)
  },
)
