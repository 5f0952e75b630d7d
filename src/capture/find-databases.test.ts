import fs from 'node:fs'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { filesBelow } from './find-databases.ts'

/** Makes folders below `dir` until their path is nearly as long as the kernel takes. */
function deepFolders(dir: string): string {
  let path = dir
  while (path.length + 201 < 4_000) path += `/${'d'.repeat(200)}`
  fs.mkdirSync(path, { recursive: true })
  return path
}

test('folders below each other that are longer than any path keep no database from being found', () => {
  using temporary = temporaryDirectory()
  const root = `${temporary.dir}/files`
  fs.mkdirSync(`${root}/tenants/one`, { recursive: true })
  for (const name of ['a.db', 'tenants/b.db', 'tenants/one/c.db']) fs.writeFileSync(`${root}/${name}`, '')
  const deep = deepFolders(`${root}/A`)
  deepFolders(`${root}/B`)
  fs.renameSync(`${root}/B`, `${deep}/B`)
  try {
    expect(() => fs.readdirSync(root, { recursive: true, withFileTypes: true })).toThrow(/ENAMETOOLONG/)
    expect(filesBelow(root, '').sort()).toEqual(['a.db', 'tenants/b.db', 'tenants/one/c.db'])
    expect(filesBelow(root, 'tenants').sort()).toEqual(['tenants/b.db', 'tenants/one/c.db'])
  } finally {
    // Node.js removes no such path.
    fs.renameSync(`${deep}/B`, `${root}/B`)
  }
})
