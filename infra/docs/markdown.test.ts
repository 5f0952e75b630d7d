import { expect, test } from 'vitest'
import { anchorsOf, linksOf, proseLines, wrap } from './markdown.ts'

test('anchors are those of GitHub', () => {
  const page = '# A `b.c`: d, e!\n## Same\n## Same\n```\n# not one\n```\n### fuse.other-files\n'
  expect([...anchorsOf(page)]).toEqual(['a-bc-d-e', 'same', 'same-1', 'fuseother-files'])
})

test('links in code do not count', () => {
  expect(linksOf('[a](b.md) `[c](d.md)`\n```\n[e](f.md)\n```\n![g](h.png)')).toEqual([
    { line: 1, target: 'b.md' },
    { line: 5, target: 'h.png' },
  ])
})

test('a code block ends with its opening mark', () => {
  expect(proseLines('a\n````\n```\nb\n````\nc')).toEqual(['a', '', '', '', '', 'c'])
})

test('text is wrapped at spaces, and a word that is too long has its own line', () => {
  const word = 'x'.repeat(130)
  expect(wrap(`a b ${word} c`)).toBe(`a b\n${word}\nc`)
})
