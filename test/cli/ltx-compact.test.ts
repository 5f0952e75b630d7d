import { readFile, truncate, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { decode, encode } from '../../src/ltx/file.ts'
import { NO_CHECKSUM } from '../../src/ltx/format/header.ts'
import { toTXID } from '../../src/ltx/format/types.ts'
import { header, pageOf } from '../../src/ltx/testing.ts'
import { LTXD_CLI } from '../harness/ltxd-node.ts'
import { dir, failure, isSame, names, ok, path, record, reference, run } from './ltx-command.ts'
import { program } from './run.ts'

describe('ltx compact', () => {
  test('merges files into one with the same effect, also by the reference’s judgement', async () => {
    const { files, images } = await record()
    const text = await ok('compact', '-o', 'all.ltx', ...files)
    expect(text).toMatch(/^compacted 5 files to all\.ltx: 0{15}1-0{15}5, \d+ pages in /)
    await ok('compact', '-o', 'later.ltx', ...files.slice(3))
    expect(await ok('verify', files[2]!, 'later.ltx')).toContain('chain: OK')
    await ok('apply', '-o', 'one.db', 'all.ltx')
    await ok('apply', '-o', 'two.db', ...files.slice(0, 3), 'later.ltx')
    for (const file of ['one.db', 'two.db']) expect(await isSame(path(file), images.at(-1)!)).toBe(true)
    if (reference !== undefined) {
      expect(await program(reference, ['apply', '-db', path('theirs.db'), path('all.ltx')])).toMatchObject({ code: 0 })
      expect(await isSame(path('theirs.db'), images.at(-1)!)).toBe(true)
    }
  })

  test('writes checksums only where all files have them', async () => {
    const [tracked, free] = [await record(), await record(4096, NO_CHECKSUM)]
    const flags = async () => decode(await readFile(path('out.ltx'))).header.flags
    const mixed = [tracked.files[0]!, free.files[1]!]
    expect(failure(await run('compact', '-o', 'out.ltx', ...mixed), 2)).toContain('--drop-checksums')
    await ok('compact', '-o', 'out.ltx', '--drop-checksums', ...mixed)
    expect(await flags()).toBe(NO_CHECKSUM)
    await ok('compact', '--force', '-o', 'out.ltx', ...free.files)
    expect(await flags()).toBe(NO_CHECKSUM)
    await ok('compact', '--force', '-o', 'out.ltx', '--drop-checksums', ...tracked.files)
    expect(await flags()).toBe(NO_CHECKSUM)
  })

  test('merges many more files than a process may have open', async () => {
    const files = Array.from({ length: 1500 }, (_, index) => `${index + 2}.ltx`)
    const pages = new Map<number, Uint8Array>()
    for (const [index, file] of files.entries()) {
      const changed = [1 + (index % 50), 51 + (index % 49)].map((pgno) => [pgno, pageOf(4096, index + pgno)] as const)
      const fields = { flags: NO_CHECKSUM, pageSize: 4096, commit: 100, minTXID: toTXID(index + 2) }
      await writeFile(path(file), encode(header({ ...fields, preApplyChecksum: 0n }), changed, 0n))
      for (const [pgno, page] of changed) pages.set(pgno, page)
    }
    const command = `ulimit -n 320 && exec "$0" "$@"`
    const args = [process.execPath, LTXD_CLI, 'ltx', 'compact', '-o', 'all.ltx', ...files]
    expect(await program('bash', ['-c', command, ...args], { cwd: dir })).toMatchObject({ code: 0, stderr: '' })
    const all = decode(await readFile(path('all.ltx')))
    expect(all.header.maxTXID).toBe(toTXID(1501))
    expect(all.pages).toEqual(new Map([...pages].sort(([a], [b]) => a - b)))
  })

  test('writes nothing if a file is damaged, missing, or does not continue the one before it', async () => {
    const { files } = await record()
    await truncate(files[4]!, 300)
    const before = await names()
    const refuse = async (...args: string[]) => failure(await run('compact', '-o', 'out.ltx', ...args))
    expect(await refuse(...files)).toMatch(/-5\.ltx: .*the file ends here.*\(at byte \d+\)\. Nothing was written/)
    expect(await refuse(files[0]!, files[2]!)).toMatch(/-3\.ltx: TXIDs: .* does not continue/)
    expect(await refuse(files[0]!, 'missing.ltx')).toContain('missing.ltx: there is no such file: expected an LTX file')
    expect(await names()).toEqual(before)
  })
})
