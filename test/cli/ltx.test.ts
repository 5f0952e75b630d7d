import { spawn } from 'node:child_process'
import { copyFile, mkdir, stat, truncate, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { LTXD_CLI } from '../harness/ltxd-node.ts'
import { until } from '../harness/wait.ts'
import { dir, names, path, record, run } from './ltx-command.ts'
import { program } from './run.ts'

describe('a file that is no LTX file', () => {
  const commands = [
    ['list'],
    ['dump'],
    ['verify'],
    ['hexdump'],
    ['compact', '-o', 'out.ltx'],
    ['apply', '-o', 'out.db'],
  ]

  test.each(commands)('is an error of `ltx %s` that names it and the reason', async (...command) => {
    const { files } = await record()
    await writeFile(path('letter.txt'), 'Dear reader, '.repeat(30))
    await writeFile(path('empty.ltx'), '')
    await mkdir(path('directory.ltx'))
    await copyFile(files[0]!, path('cut.ltx'))
    await truncate(path('cut.ltx'), (await stat(files[0]!)).size - 10)
    const before = await names()
    const messages = async (file: string) => {
      const { code, stdout, stderr } = await run(...command, file)
      expect(code, stderr).toBe(1)
      expect(stderr).not.toMatch(/unexpected|^ {4}at /m)
      return stdout + stderr
    }
    expect(await messages('letter.txt')).toMatch(
      /letter\.txt: .*(not an LTX file: it does not start with "LTX1" \(at byte 0\)|page index size: )/,
    )
    expect(await messages('empty.ltx')).toMatch(/empty\.ltx: header: .*\(at byte 0\)/)
    expect(await messages('cut.ltx')).toMatch(/cut\.ltx: (trailer|page index size): .* \(at byte \d+\)/)
    expect(await messages('missing.ltx')).toMatch(/missing\.ltx: there is no such file: expected an LTX file/)
    if (command[0] !== 'list')
      expect(await messages('directory.ltx')).toMatch(/directory\.ltx: is a directory: expected an LTX file/)
    expect(await names()).toEqual(before)
  })
})

describe('a pipe that its reader closes early', () => {
  test.each([
    ['dump', '--data'],
    ['dump', '--json', '--data'],
    ['hexdump', '--all', '--data'],
    ['hexdump', '--json', '--all', '--data'],
  ])('ends `ltx %s %s` without a word', async (...command) => {
    const { files } = await record()
    const script = `"$0" "$@" | head -n 1 >/dev/null; echo "\${PIPESTATUS[0]}"`
    const args = [LTXD_CLI, 'ltx', ...command, files[0]!]
    expect(await program('bash', ['-c', script, process.execPath, ...args])).toEqual({
      code: 0,
      stdout: '0\n',
      stderr: '',
    })
  })
})

test('an interrupted command leaves no file behind', async () => {
  // A sparse gigabyte is made in a moment, and takes long enough to read to be interrupted.
  const { images } = await record(65536)
  const first = Buffer.from(images[0]!.subarray(0, 65536))
  first.writeUInt32BE(65536, 28)
  await writeFile(path('large.db'), first)
  await truncate(path('large.db'), 65536 * 65536)
  const before = await names()
  const child = spawn(process.execPath, [LTXD_CLI, 'ltx', 'encode-db', 'large.db', '-o', 'out.ltx'], { cwd: dir })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  // Once its first bytes are written, the command is in the middle of its work.
  await until('its first bytes', 60_000, async () => {
    const temporary = (await names()).find((name) => !before.includes(name))
    return temporary !== undefined && (await stat(path(temporary))).size > 0
  })
  child.kill('SIGINT')
  expect({ code: await ended, stderr }).toEqual({
    code: 1,
    stderr: 'ltxd: interrupted by SIGINT: unfinished files have been removed\n',
  })
  expect(await names()).toEqual(before)
}, 60_000)
