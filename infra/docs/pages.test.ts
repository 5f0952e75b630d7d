import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { anchorsOf, linksOf, proseLines } from './markdown.ts'
import { answersOf } from './reading.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const MAX_WIDTH = 120

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')

const pages = [
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
].sort()
const below = pages.filter((page) => page.startsWith('docs/'))

describe('links', () => {
  test.each(pages)('every relative link of %s leads to a file and a heading that exist', (page) => {
    const problems = linksOf(read(page)).flatMap(({ line, target }) => {
      if (/^[a-z]+:/.test(target)) return []
      const [path = '', anchor] = target.split('#')
      const file = path === '' ? page : relative(ROOT, resolve(ROOT, dirname(page), decodeURI(path)))
      const at = `${page}:${line}: ${target}`
      if (file.startsWith('..') || !existsSync(join(ROOT, file))) return [`${at}: no such file`]
      if (anchor === undefined) return []
      const hasAnchor = statSync(join(ROOT, file)).isFile() && anchorsOf(read(file)).has(anchor)
      return hasAnchor ? [] : [`${at}: no such heading`]
    })
    expect(problems).toEqual([])
  })

  test.each(pages)('%s links to no source file, because the package has none', (page) => {
    const targets = linksOf(read(page)).map(({ target }) => target.split('#')[0] ?? '')
    expect(targets.filter((path) => !/^$|^[a-z]+:|\.md$|LICENSE$|\/$/.test(path))).toEqual([])
  })

  test('docs/README.md or the index of decisions links to every page below docs/', () => {
    const linked = new Set(
      ['docs/README.md', 'docs/decisions/README.md'].flatMap((page) =>
        linksOf(read(page)).map(({ target }) => join(dirname(page), target.split('#')[0] ?? '')),
      ),
    )
    expect(below.filter((page) => page !== 'docs/README.md' && !linked.has(page))).toEqual([])
  })
})

describe('form', () => {
  test('README.md has at most 150 lines', () => {
    expect(read('README.md').trimEnd().split('\n').length).toBeLessThanOrEqual(150)
  })

  test.each(['README.md', 'ARCHITECTURE.md'])('no line of %s is wider than the code', (page) => {
    const lines = read(page).split('\n')
    expect(lines.filter((line) => line.length > MAX_WIDTH)).toEqual([])
  })

  test.each(below)('no line of prose of %s is wider than the code', (page) => {
    const lines = proseLines(read(page)).filter((line) => !line.startsWith('|'))
    expect(lines.filter((line) => line.length > MAX_WIDTH)).toEqual([])
  })

  test.each(pages.filter((page) => !page.startsWith('docs/decisions/')))(
    '%s cites no number of a design outside the project',
    (page) => {
      expect(proseLines(read(page)).filter((line) => /\bD\d+b?\b/.test(line))).toEqual([])
    },
  )
})

test('every source file that ARCHITECTURE.md names exists', () => {
  const tree = ['src', 'workers', 'test', 'infra'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((path) => `${folder}/${path}`),
  )
  const named = [...read('ARCHITECTURE.md').matchAll(/`([\w./-]+\.[tj]s)`/g)].map(([, path = '']) => path)
  const isThere = (path: string) => tree.some((each) => each === path || each.endsWith(`/${path}`))
  expect(named.length).toBeGreaterThan(100)
  expect(named.filter((path) => !isThere(path))).toEqual([])
})

test('every message in the table of symptoms is in the code', () => {
  const symptoms = read('docs/operations.md').split('## By symptom')[1] ?? ''
  const quoted = [...symptoms.matchAll(/^\| `([^`]+ [^`]+)` \|/gm)].map(([, message = '']) => message)
  const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
    .map((path) => read(`src/${path}`))
  expect(quoted.length).toBeGreaterThan(0)
  expect(quoted.filter((message) => !sources.some((source) => source.includes(message)))).toEqual([])
})

describe('docs/reading.md', () => {
  const answers = answersOf(read('docs/reading.md'))

  test('answers twenty questions, each once', () => {
    expect(new Set(answers.map(({ question }) => question)).size).toBe(20)
    expect(answers).toHaveLength(20)
  })

  test.each(answers)('$question $name in $file', ({ file, name }) => {
    expect(read(file)).toMatch(new RegExp(`\\b${name}\\b`))
  })
})
