import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SEED } from '../../test/harness/effort.ts'
import { Random } from '../../test/harness/random.ts'
import { decodeName, encodeName, listEntries, listNames, nameBytes, native, writeName } from './path-bytes.ts'

const bytes = (latin1: string) => Buffer.from(latin1, 'latin1')

describe('a name', () => {
  it.each([
    ['a.db', 'a.db'],
    ['\xc3\xa9', 'é'],
    ['\xf0\x9f\x97\x84', '\u{1f5c4}'],
    ['\xef\xbf\xbd', '\ufffd'],
    ['a\xff', 'a\udcff'],
    ['\xef\xbf\xbd\x80', '\ufffd\udc80'],
    ['\xc3', '\udcc3'],
    ['\xc3-wal', '\udcc3-wal'],
    ['\xed\xa0\x80', '\udced\udca0\udc80'], // A surrogate, encoded as a character
    ['\xc0\xaf', '\udcc0\udcaf'], // An overlong slash
    ['\xf0\x9f\x97', '\udcf0\udc9f\udc97'],
    ['\xf0\x9f\x97\x84\x84', '\u{1f5c4}\udc84'],
    ['', ''],
  ])('of the bytes %j is the string %j, and that its bytes', (latin1, name) => {
    expect(decodeName(bytes(latin1))).toBe(name)
    expect(encodeName(name)).toEqual(bytes(latin1))
    expect(nameBytes(name)).toBe(latin1.length)
    const into = Buffer.alloc(20)
    expect(writeName(into, name, 3)).toBe(latin1.length)
    expect(into.subarray(3, 3 + latin1.length)).toEqual(bytes(latin1))
    expect(decodeName(Buffer.concat([bytes('x/'), bytes(latin1), bytes('\0')]), 2, 2 + latin1.length)).toBe(name)
  })

  it(`of any bytes survives, and no two names are one string (LTXD_SEED=${SEED})`, () => {
    const random = new Random(SEED)
    const names = Array.from({ length: 3000 }, () =>
      Buffer.from(
        Array.from({ length: random.integer(0, 6) }, () => random.integer(0, 3) * 64 + random.integer(0, 63)),
      ),
    )
    for (const name of names) expect(encodeName(decodeName(name))).toEqual(name)
    const distinct = new Set(names.map((name) => name.toString('latin1')))
    expect(new Set(names.map((name) => decodeName(name))).size).toBe(distinct.size)
  })

  it('that is valid goes to Node as it is', () => {
    expect(native('/a/\u{1f5c4}\ufffd')).toBe('/a/\u{1f5c4}\ufffd')
    expect(native('/a\udcff/b')).toEqual(bytes('/a\xff/b'))
  })
})

describe('a directory', () => {
  let directory: string
  beforeAll(() => (directory = mkdtempSync(join(tmpdir(), 'ltxd-names-'))))
  afterAll(() => rmSync(directory, { recursive: true }))

  it('shows each name as it is', () => {
    writeFileSync(`${directory}/plain`, '')
    expect(listNames(directory)).toEqual(['plain'])
    writeFileSync(native(`${directory}/a\udcff`), '')
    mkdirSync(native(`${directory}/\udc80`))
    writeFileSync(native(`${directory}/\udc80/\ufffd`), '')
    expect(listNames(directory).sort()).toEqual(['a\udcff', 'plain', '\udc80'].sort())
    expect(listNames(`${directory}/\udc80`)).toEqual(['\ufffd'])
    expect(listEntries(directory).filter((entry) => entry.isDirectory)).toEqual([
      { name: '\udc80', isFile: false, isDirectory: true },
    ])
    expect(readdirSync(directory, 'buffer').length).toBe(3)
  })
})
