import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { BUDGET_S, type Project, PROJECTS } from '../../test/projects.ts'

const ROOT = join(import.meta.dirname, '../..')
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')

const page = read('docs/testing.md')
const rows = page.split('\n').filter((line) => line.startsWith('| `'))

/** Test files that have a long form, and the variables that they read. */
const forms = ['src', 'test', 'workers']
  .flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`),
  )
  .filter((file) => file.endsWith('.test.ts') && /\b(effort|form)\(/.test(read(file)))
  .map((file) => ({ file, variables: [...read(file).matchAll(/\beffort\([^)]*'(\w+)'\)/g)].map(([, name]) => name) }))

describe('docs/testing.md', () => {
  test.each(Object.entries<Project>(PROJECTS))('has the budget of %s', (name, { workers, budgetS }) => {
    expect(page).toContain(`| \`${name}\` | ${workers} | ${budgetS} s |`)
  })

  test('has the total budget', () => {
    expect(page).toContain(`${BUDGET_S.toLocaleString('en-US')} s in total`)
  })

  test.each(forms)('describes the short and the long form of $file', ({ file, variables }) => {
    const row = rows.find((line) => line.startsWith(`| \`${file}\` |`))
    expect(row, `a row for ${file}`).toBeDefined()
    expect(variables.filter((name) => !row?.includes(`\`${name}\``))).toEqual([])
  })

  test('has no row for a test without a long form', () => {
    const listed = rows.map((line) => line.split('`')[1]).filter((name) => name?.endsWith('.test.ts'))
    expect(listed.sort()).toEqual(forms.map(({ file }) => file).sort())
  })
})
