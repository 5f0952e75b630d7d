import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { register } from './ltx.ts'

const golden = fileURLToPath(new URL('../../../test/golden/', import.meta.url))
const snapshot = join(golden, 'block-512-snapshot.ltx')
const change = join(golden, 'block-512-change.ltx')
const shrink = join(golden, 'block-512-shrink.ltx')
const legacy = join(golden, 'frame-512-change.ltx')

let dir: string
let cut: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ltxd-'))
  cut = join(dir, 'cut.ltx')
  writeFileSync(cut, readFileSync(snapshot).subarray(0, 700))
})

afterEach(() => {
  rmSync(dir, { recursive: true })
  vi.restoreAllMocks()
  process.exitCode = undefined
})

async function run(...args: string[]) {
  const out: string[] = []
  const err: string[] = []
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => out.push(String(text)) > 0)
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => err.push(String(text)) > 0)
  const program = new Command('ltxd').enablePositionalOptions().exitOverride()
  register(program)
  process.exitCode = undefined
  await program.parseAsync(['ltx', ...args], { from: 'user' })
  return { out: out.join(''), err: err.join(''), exitCode: process.exitCode }
}

describe('ltx list', () => {
  test('lists files and directories; a broken file does not hide the others, but the exit code is 1', async () => {
    const { out, err, exitCode } = await run('list', snapshot, dir, legacy, join(dir, 'missing'))
    const rows = out.trimEnd().split('\n')
    expect(rows).toHaveLength(3)
    expect(rows[1]).toMatch(/^0{15}1 +0{15}1 +5 +5 +512 +1034 +2023-11-14T22:13:20\.000Z +0{16} +ac74e4fadea0a78a /)
    expect(rows[2]).toContain('frame-512-change.ltx')
    expect(err).toContain('cut.ltx: page index size')
    expect(err).toContain('no such file')
    expect(exitCode).toBe(1)
  })

  test('as JSON has the same fields', async () => {
    const { out, exitCode } = await run('list', '--json', snapshot, cut)
    expect(JSON.parse(out)).toMatchObject([
      { file: snapshot, minTXID: '0000000000000001', pages: 5, commit: 5, pageSize: 512, sizeBytes: 1034 },
      { file: cut, error: { field: 'page index size', offset: 676 } },
    ])
    expect(exitCode).toBe(1)
  })
})

describe('ltx verify', () => {
  test('reports OK for a valid file, and field and offset for a damaged one', async () => {
    const { out, exitCode } = await run('verify', cut, legacy)
    expect(out).toBe(
      `${cut}: page block: the file ends here (at byte 387)\n` +
        `${legacy}: OK, 0000000000000002-0000000000000002, 2 pages\n` +
        `chain: ${legacy} could not be compared with ${cut}: ${cut} is not valid\n`,
    )
    expect(exitCode).toBe(1)
    expect((await run('verify', snapshot)).exitCode).toBeUndefined()
  })

  test('as JSON', async () => {
    const { out } = await run('verify', '--json', cut, snapshot)
    expect(JSON.parse(out)).toMatchObject({
      files: [
        { file: cut, ok: false, error: { field: 'page block', offset: 387 } },
        { file: snapshot, ok: true, postApplyChecksum: 'ac74e4fadea0a78a' },
      ],
      chain: { ok: false, byChecksum: 0, problems: [{ file: snapshot }] },
    })
  })

  test('fails if the files do not continue each other, unless --each is given', async () => {
    const good = await run('verify', snapshot, change, shrink)
    expect(good.out).toContain(
      'chain: OK, the 3 files continue each other, each from the checksum of the one before it\n',
    )
    expect(good.exitCode).toBeUndefined()

    const gap = await run('verify', snapshot, shrink)
    expect(gap.out).toContain(
      `chain: ${shrink} does not continue ${snapshot}: TXIDs 0000000000000003-0000000000000003: `,
    )
    expect(gap.out).toContain('expected to begin at 0000000000000002 or before; the transactions between are missing')
    expect(gap.exitCode).toBe(1)

    const each = await run('verify', '--each', '--json', snapshot, shrink)
    expect(Object.keys(JSON.parse(each.out) as object)).toEqual(['files'])
    expect(each.exitCode).toBeUndefined()
  })
})

describe('ltx dump', () => {
  test('shows header, pages, page index and trailer', async () => {
    const { out } = await run('dump', snapshot)
    expect(out).toMatch(/^page size +512$/m)
    expect(out).toMatch(/^ +2 +136 +251 +241 +0x1 block +88b56ba99768496c$/m)
    expect(out).toMatch(/^page index +5 entries, 22 bytes from byte 988$/m)
    expect(out).toMatch(/^post-apply +ac74e4fadea0a78a$/m)
  })

  test('shows a broken file up to the damage', async () => {
    const { out, err, exitCode } = await run('dump', cut)
    expect(out).toContain('88b56ba99768496c')
    expect(err).toContain('the file ends here')
    expect(exitCode).toBe(1)
  })

  test('as JSON, is a complete document with the pages of a broken file up to the damage', async () => {
    const { out, exitCode } = await run('dump', '--json', cut, join(dir, 'missing'), legacy)
    expect(JSON.parse(out)).toMatchObject([
      {
        file: cut,
        header: { commit: 5 },
        pages: [{ pgno: 1 }, { pgno: 2 }],
        error: { offset: 387, field: 'page block' },
      },
      { file: join(dir, 'missing'), error: { message: 'there is no such file: expected an LTX file' } },
      { file: legacy, pages: [{}, {}], trailer: { fileChecksum: '96d51768de0b8a4f' } },
    ])
    expect(exitCode).toBe(1)
  })

  test('as JSON with --data, has the content of the pages', async () => {
    const { out } = await run('dump', '--json', '--data', legacy)
    const [file] = JSON.parse(out) as [{ pages: { pgno: number; data: string }[] }]
    expect(file.pages.map(({ pgno, data }) => [pgno, data.length])).toEqual([
      [1, 1024],
      [6, 1024],
    ])
  })
})

describe('ltx hexdump', () => {
  test('shows every structure with its bytes and their meaning', async () => {
    const { out, exitCode } = await run('hexdump', snapshot)
    expect(out).toMatch(/^ +16 {2}00 00 00 00 00 00 00 01 +minimum TXID: 0{15}1 \(1\)$/m)
    expect(out).toMatch(/^ +140 {2}00 01 +page flags: 0x1: size and LZ4 block follow$/m)
    expect(out).toMatch(/^ +991 {2}02 88 01 fb 01 +page index: page 2 at byte 136, 251 bytes$/m)
    expect(out).toMatch(/^ +… 225 bytes$/m)
    expect(exitCode).toBeUndefined()
  })

  test('marks an invalid field, and names the byte where it has to stop', async () => {
    const bytes = readFileSync(snapshot)
    bytes[104] = 0x40
    bytes.fill(0xff, 142, 146)
    const broken = join(dir, 'broken.ltx')
    writeFileSync(broken, bytes)
    const { out, err, exitCode } = await run('hexdump', broken)
    expect(out).toMatch(/^ +104 {2}40 01 +page flags: 0x4001: .* <-- wrong: expected 0x0 or 0x1$/m)
    expect(err).toMatch(/broken\.ltx: page data size: 4294967295 bytes are not an LZ4 block of .* \(at byte 142\)\n$/)
    expect(exitCode).toBe(1)
  })

  test('as JSON with --data, has every byte of the file', async () => {
    const { out } = await run('hexdump', '--json', '--data', snapshot)
    const parts = JSON.parse(out) as { hex: string }[]
    expect(Buffer.from(parts.map(({ hex }) => hex).join(''), 'hex').equals(readFileSync(snapshot))).toBe(true)
  })
})
