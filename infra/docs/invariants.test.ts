import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { invariantsOf } from './invariants.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const table = invariantsOf(read('docs/invariants.md'))

test('the invariants are numbered from I1 on', () => {
  expect(table.length).toBeGreaterThanOrEqual(12)
  expect(table.map(({ number }) => number)).toEqual(table.map((_, i) => `I${i + 1}`))
})

describe.each(table)('$number', ({ asserted, tests }) => {
  test.each(asserted)('is asserted by $name in $file', ({ file, name }) => {
    expect(file).toMatch(/^(src|workers)\/(?!.*\.test\.ts$)/)
    const named = new RegExp(`(?<![\\w])${name}(?![\\w])`)
    expect(named.test(read(file)), `${file} has no ${name}: if it was renamed, rename it in docs/invariants.md`).toBe(
      true,
    )
  })

  test.each(tests)('$file tries to break it: $name', ({ file, name }) => {
    expect(file).toMatch(/\.test\.ts$/)
    const named = new RegExp(`\\b(?:test|it|describe)\\b[^'"\`]*(?:\\[[^\\]]*\\]|[^'"\`])*$`)
    const source = read(file)
    const at = [`'${name}`, `"${name}`, `\`${name}`].map((text) => source.indexOf(text)).find((found) => found >= 0)
    expect(
      at,
      `${file} has no test whose name begins so: if it was renamed, rename it in docs/invariants.md`,
    ).toBeDefined()
    expect(named.test(source.slice(Math.max(0, (at ?? 0) - 400), at)), `${name} is the name of a test`).toBe(true)
  })
})

test('code and tests cite only invariants of the table', () => {
  const known = new Set(table.map(({ number }) => number))
  const files = ['src', 'workers', 'test'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
  )
  const cited = files
    .filter((path) => path.endsWith('.ts'))
    .flatMap((path) => Array.from(read(path).matchAll(/\bI[0-9]+\b(?=[:;,.) ])/g), ([number]) => ({ path, number })))
  expect(cited.length).toBeGreaterThan(50)
  expect(cited.filter(({ number }) => !known.has(number))).toEqual([])
})

test('a row of another form is an error', () => {
  const head = '| # | promise | asserted | tests |\n|---|---|---|---|\n'
  expect(() => invariantsOf(`${head}| I1 | p | \`a.ts\`: \`b\` |`)).toThrow('four cells')
  expect(() => invariantsOf(`${head}| I1 | p | a.ts | \`a.test.ts\`: \`b\` |`)).toThrow('found a.ts')
})
