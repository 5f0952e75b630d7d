import fs from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { nodeFiles } from '../util/files.ts'
import { finishRename, noteRename } from './rename-over.ts'

/** A data directory with these files below `files/`, and a note of a rename of `new.db` over `a.db`. */
function interrupted(names: readonly string[]) {
  const temporary = temporaryDirectory()
  onTestFinished(() => temporary[Symbol.dispose]())
  const { dir } = temporary
  const root = `${dir}/files`
  fs.mkdirSync(root)
  for (const name of names) fs.writeFileSync(`${root}/${name}`, name)
  const former = (name: string) => {
    noteRename(nodeFiles, root, { from: 'new.db', to: 'a.db', former: inodeOf(`${root}/${name}`), left: ['a.db-wal'] })
  }
  return { root, note: `${dir}/rename.json`, former }
}

const inodeOf = (path: string) => fs.statSync(path, { throwIfNoEntry: false })?.ino ?? 0

/** Returns the levels of what is logged. */
function finish(root: string): string[] {
  const levels: string[] = []
  finishRename(nodeFiles, root, { log: (level) => void levels.push(level) })
  return levels
}

test('what the former database left goes when its name was taken before the node ended', () => {
  const { root, note, former } = interrupted(['a.db', 'a.db-wal'])
  former('new.db')
  expect(finish(root)).toEqual(['warn'])
  expect(fs.readdirSync(root)).toEqual(['a.db'])
  expect(fs.existsSync(note)).toBe(false)
  expect(finish(root)).toEqual([])
})

test.each([
  ['both files have their names', ['a.db', 'a.db-wal', 'new.db'], 'a.db'],
  ['the former file has its name, and the other was removed since', ['a.db', 'a.db-wal'], 'a.db'],
  ['nothing has the name', ['a.db-wal'], 'a.db'],
])('the side files of a database stay when %s', (_, names, name) => {
  const { root, note, former } = interrupted(names)
  former(name)
  expect(finish(root)).toEqual([])
  expect(fs.readdirSync(root).sort()).toEqual([...names].sort())
  expect(fs.existsSync(note)).toBe(false)
})

test('a damaged note removes nothing and ends no start', () => {
  const { root, note, former } = interrupted(['a.db', 'a.db-wal'])
  former('new.db')
  fs.writeFileSync(note, fs.readFileSync(note, 'utf8').replace('a.db-wal', 'a.db-wap'))
  expect(finish(root)).toEqual(['error'])
  expect(fs.readdirSync(root)).toEqual(['a.db', 'a.db-wal'])
  expect(finish(root)).toEqual([])
})
