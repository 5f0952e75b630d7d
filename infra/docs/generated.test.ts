import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { configurationKeys, configurationPage } from './configuration.ts'
import { GENERATED_PAGES } from './pages.ts'

const ROOT = resolve(import.meta.dirname, '../..')

test.each(Object.entries(GENERATED_PAGES))('%s matches the code (run: npm run docs)', async (path, make) => {
  expect(readFileSync(join(ROOT, path), 'utf8')).toBe(await make())
})

test('every key of ltxd.yml has its heading and a description in the configuration page', () => {
  const blocks = configurationPage()
    .split(/^##+ /m)
    .map((block) => block.split('\n').filter((line) => line !== ''))
  for (const { path, kind } of configurationKeys()) {
    const block = blocks.find(([title]) => title === path)
    expect(block, path).toBeDefined()
    // A key has a line of facts and at least one line of description.
    if (kind !== 'section') expect(block?.length, path).toBeGreaterThan(2)
  }
})
