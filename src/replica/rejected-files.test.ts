import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type DataDirectory, openDataDirectory } from '../data/directory.ts'
import { RejectedFiles } from './rejected-files.ts'

let data: DataDirectory
const { signal } = new AbortController()

beforeEach(() => {
  data = openDataDirectory(fs.mkdtempSync(`${tmpdir()}/ltxd-rejected-`))
  fs.writeFileSync(`${data.root}/a.db`, 'not a database')
})
afterEach(() => {
  data.close()
  fs.rmSync(data.dir, { recursive: true })
})

const saved = () => fs.readdirSync(`${data.dir}/diverged/a.db`)

test('a rejected file is saved once, however often what follows fails', async () => {
  fs.mkdirSync(`${data.root}/a.db-wal`)
  const rejected = new RejectedFiles(data)
  const { file, isNew } = await rejected.save('a.db', 'it is not a SQLite database', signal)
  expect(isNew).toBe(true)
  expect(fs.readFileSync(`${file}/database`, 'utf8')).toBe('not a database')
  for (let attempts = 0; attempts < 5; attempts++) {
    expect(await rejected.save('a.db', 'in other words', signal)).toEqual({ file, isNew: false })
  }
  expect(saved()).toHaveLength(1)
})

test('another file, and one whose copy is gone, is saved anew', async () => {
  const rejected = new RejectedFiles(data)
  const { file } = await rejected.save('a.db', 'rejected', signal)
  fs.appendFileSync(`${data.root}/a.db`, 'more')
  expect((await rejected.save('a.db', 'rejected', signal)).isNew).toBe(true)
  expect(saved()).toHaveLength(2)
  fs.rmSync(`${data.dir}/diverged/a.db`, { recursive: true })
  expect((await rejected.save('a.db', 'rejected', signal)).isNew).toBe(true)
  expect(fs.existsSync(file)).toBe(false)
})
