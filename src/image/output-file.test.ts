import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'

/** Prints the error of each step on a file that may have no more than 4 KiB. */
const PROGRAM = `
  import { OutputFile } from './src/image/output-file.ts'
  const output = await OutputFile.create(process.argv[1])
  const steps = [() => output.write(Buffer.alloc(512), 0, 512, 1 << 20), () => output.truncate(1 << 20)]
  for (const step of steps) await step().catch((error) => console.log(error.code + ' ' + error.message))
  await output.discard()
`

test('a file that grows too large is an error that names it, and leaves nothing', () => {
  using temporary = temporaryDirectory()
  const path = `${temporary.dir}/large.db`
  const limited = 'ulimit -f 4; exec "$0" "$@"'
  const node = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', PROGRAM, path]
  const printed = execFileSync('bash', ['-c', limited, ...node], { encoding: 'utf8', timeout: 60_000 })
  expect(printed.trim().split('\n')).toEqual([
    `OUTPUT_UNWRITABLE cannot write ${path}: EFBIG: file too large, write`,
    `OUTPUT_UNWRITABLE cannot write ${path}: EFBIG: file too large, ftruncate`,
  ])
  expect(readdirSync(temporary.dir)).toEqual([])
})
