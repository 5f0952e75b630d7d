import { execFileSync } from 'node:child_process'
import { chmodSync, lchownSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadConfig } from './load.ts'

const NOBODY = 65_534
const isRoot = process.geteuid?.() === 0

let dir: string
let file: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ltxd-find-'))
  file = join(dir, 'ltxd.yml')
  writeFileSync(file, 'exec: "/bin/true"\n')
})

afterEach(() => rmSync(dir, { recursive: true }))

const found = () => loadConfig({ paths: [join(dir, 'none.yml'), file] }).exec
const named = () => loadConfig({ file }).exec
const COMMANDS = [{ argv: ['/bin/true'] }]

/** What another user puts where ltxd looks for a configuration, whose commands a node starts. */
describe('a configuration that is found, and not named by --config,', () => {
  test('is used where it is one of the own user', () => {
    expect(found()).toEqual(COMMANDS)
    chmodSync(file, 0o664)
    expect(found()).toEqual(COMMANDS)
  })

  test.runIf(isRoot)('is rejected where another user made it, and used when it is named', () => {
    lchownSync(file, NOBODY, NOBODY)
    expect(found).toThrow(/ltxd\.yml: belongs to user 65534.*--config/)
    expect(named()).toEqual(COMMANDS)
  })

  test('is rejected where every user may write to it, and used when it is named', () => {
    chmodSync(file, 0o646)
    expect(found).toThrow(/ltxd\.yml: every user may write to it.*chmod o-w/)
    expect(named()).toEqual(COMMANDS)
  })

  test.runIf(isRoot)('is rejected where another user made a link to it', () => {
    const target = join(dir, 'target.yml')
    writeFileSync(target, 'exec: "/bin/true"\n')
    rmSync(file)
    symlinkSync(target, file)
    expect(found()).toEqual(COMMANDS)
    lchownSync(file, NOBODY, NOBODY)
    expect(found).toThrow(/belongs to user 65534/)
    // Of root's, with content of the user who started it.
    rmSync(file)
    symlinkSync('/proc/self/cmdline', file)
    lchownSync(file, NOBODY, NOBODY)
    expect(found).toThrow(/belongs to user 65534/)
  })

  test('keeps nobody waiting where it is a pipe, or a device', () => {
    rmSync(file)
    execFileSync('mkfifo', [file])
    expect(found).toThrow(/is a pipe, expected a file/)
    rmSync(file)
    symlinkSync('/dev/zero', file)
    expect(found).toThrow(/is a device, expected a file/)
  })
})

test('a named pipe in the place of a configuration is rejected, and not waited for', () => {
  rmSync(file)
  execFileSync('mkfifo', [file])
  expect(named).toThrow(/ltxd\.yml: is a named pipe, expected a file/)
  expect(found).toThrow(/ltxd\.yml: is a pipe, expected a file/)
})
