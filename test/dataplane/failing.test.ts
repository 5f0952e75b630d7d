import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { programFile } from '../harness/programs.ts'

const run = promisify(execFile)

test('a data plane that failed says why when it is stopped, and leaves no thread behind', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'ltxd-dataplane-'))
  try {
    const { stdout } = await run(process.execPath, [programFile('failing-data-plane'), directory], { timeout: 60_000 })
    expect(stdout).toBe('EISDIR\n')
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
