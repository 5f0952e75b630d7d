import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { lockForReading, openDataDirectory } from './directory.ts'

/** A data directory that another user made, or may write to: what is in it may be anything. */

let parent: string
let dir: string
let outside: string

beforeEach(() => {
  parent = fs.mkdtempSync(join(tmpdir(), 'ltxd-foreign-'))
  dir = join(parent, 'data')
  outside = join(parent, 'outside')
  fs.mkdirSync(outside)
  fs.writeFileSync(join(outside, 'file'), 'theirs')
  openDataDirectory(dir).close()
})

afterEach(() => fs.rmSync(parent, { recursive: true }))

const NAMES = ['lock', 'node.json', 'nodes.json', 'node.json.tmp', 'files', 'log']
const KINDS: Readonly<Record<string, (path: string) => void>> = {
  'a link to a file': (path) => fs.symlinkSync(join(outside, 'file'), path),
  'a link to nothing': (path) => fs.symlinkSync(join(outside, 'made'), path),
  'a link to a directory': (path) => fs.symlinkSync(outside, path),
  'a pipe': (path) => execFileSync('mkfifo', [path]),
  'a device': (path) => fs.symlinkSync('/dev/zero', path),
}

function snapshot(): unknown {
  const entries = fs.readdirSync(outside).map((name) => {
    const { mode, uid, size } = fs.statSync(join(outside, name))
    return [name, mode, uid, size]
  })
  return [fs.statSync(outside).mode, entries]
}

describe.each(NAMES)('in the place of %s', (name) => {
  test.each(Object.keys(KINDS))('%s leads nowhere and keeps nobody waiting', (kind) => {
    const path = join(dir, name)
    fs.rmSync(path, { recursive: true, force: true })
    KINDS[kind]!(path)
    const before = snapshot()
    for (const open of [() => openDataDirectory(dir).close(), () => lockForReading(dir).unlock()]) {
      try {
        open()
      } catch (error) {
        expect(error).toMatchObject({
          code: expect.stringMatching(/^(DATA_|NAME_IS_LINK|NOT_REGULAR|NO_DATA)/) as string,
        })
        expect((error as Error).message).toContain(dir)
      }
      expect(snapshot()).toEqual(before)
    }
  })
})
