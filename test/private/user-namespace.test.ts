/**
 * In a user namespace that does not have root, as in a rootless sandbox, root's files appear as an unmapped user's. So
 * do those of every other user whom the namespace does not have.
 */

import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { IS_ROOT } from '../conformance/served.ts'
import { NOBODY } from './nobody.ts'

const [SETPRIV, ...AS_NOBODY] = NOBODY
const INSIDE = [...AS_NOBODY, 'unshare', '--user', '--map-root-user']
const canUnshare = IS_ROOT && spawnSync(SETPRIV, [...INSIDE, 'true'], { timeout: 20_000 }).status === 0
const SOURCES = join(import.meta.dirname, '../../src/util')
const UID = 65_534
/** Not in the namespace, as root is not. */
const UNMAPPED = 65_533
/** Below directories that nobody but root may write to. */
const ABOVE = '/run'
let dir = ''

beforeEach(() => {
  dir = fs.realpathSync(fs.mkdtempSync(join(ABOVE, 'ltxd-namespace-')))
  fs.chmodSync(dir, 0o755)
  for (const name of ['target', 'open', 'theirs', 'code']) fs.mkdirSync(join(dir, name))
  fs.chmodSync(join(dir, 'open'), 0o777)
  for (const name of ['target', 'theirs']) fs.chownSync(join(dir, name), UID, UID)
  compile('named-directory.ts')
  fs.writeFileSync(join(dir, 'code', 'package.json'), '{"type":"module"}')
})
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

/** What a user who may not read the sources can run. */
function compile(name: string): void {
  const to = join(dir, 'code', name.replace(/ts$/, 'js'))
  if (fs.existsSync(to)) return
  const source = fs.readFileSync(join(SOURCES, name), 'utf8')
  const options = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 }
  const { outputText } = ts.transpileModule(source, { compilerOptions: { ...options, verbatimModuleSyntax: true } })
  fs.writeFileSync(to, outputText.replace(/(from '\.\/.*)\.ts'/g, "$1.js'"))
  for (const [, next] of outputText.matchAll(/from '\.\/(.*\.ts)'/g)) compile(next ?? '')
}

/** Where the directory is found, by root of the namespace. */
function find(path: string): string {
  const script = `
    const { findDirectory, pathOf } = await import('${join(dir, 'code', 'named-directory.js')}')
    try {
      console.log(pathOf(findDirectory(${JSON.stringify(path)})))
    } catch (error) {
      console.log(error.message)
    }`
  const command = [process.execPath, '--input-type=module', '-e', script]
  return execFileSync(SETPRIV, [...INSIDE, ...command], { encoding: 'utf8', timeout: 60_000, cwd: '/' }).trim()
}

test.runIf(canUnshare)('a link of root’s is followed there, except where this user may write', () => {
  for (const place of [dir, join(dir, 'open'), join(dir, 'theirs')]) {
    fs.symlinkSync(join(dir, 'target'), join(place, 'link'))
  }
  expect(find(join(dir, 'link'))).toBe(join(dir, 'target'))
  for (const place of ['open', 'theirs']) {
    expect(find(join(dir, place, 'link'))).toMatch(/is a symbolic link of the user with id \d+, .*it leads to .*target/)
  }
})

/** A directory of mode 1777, as /tmp is. */
function sticky(): string {
  const path = join(dir, 'sticky')
  fs.mkdirSync(path)
  fs.chmodSync(path, 0o1777)
  return path
}

/** A directory of a user's, and a link of the same user's in it. */
function linkOf(uid: number, path: string): string {
  fs.mkdirSync(path)
  const link = join(path, 'link')
  fs.symlinkSync(join(dir, 'target'), link)
  for (const each of [path, link]) fs.lchownSync(each, uid, uid)
  return link
}

test.runIf(canUnshare)('a link in a directory that any user can have made, who is not in the namespace, is not', () => {
  for (const place of [join(dir, 'open'), sticky()]) {
    for (const uid of [UNMAPPED, 0]) {
      expect(find(linkOf(uid, join(place, String(uid))))).toMatch(/is a symbolic link of the user with id 65534, /)
    }
  }
})

test.runIf(canUnshare)('nor is a link of this user’s that such a user can have moved there', () => {
  const place = sticky()
  expect(find(linkOf(UID, join(place, 'own')))).toBe(join(dir, 'target'))
  linkOf(UNMAPPED, join(place, 'theirs'))
  expect(find(linkOf(UID, join(place, 'theirs/own')))).toMatch(/is a symbolic link at a place to which another user/)
})
