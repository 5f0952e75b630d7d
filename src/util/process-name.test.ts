import { spawn } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { describeProcess } from './process-name.ts'

test('a process that has a terminal’s commands and a line end for its name is named without them', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ltxd-process-name-'))
  const program = join(dir, 'a\x1b[31m\nFAKE')
  copyFileSync('/bin/sleep', program)
  const child = spawn(program, ['60'])
  try {
    await new Promise((resolve) => child.once('spawn', resolve))
    expect(describeProcess(child.pid ?? 0)).toBe(`a\\x1b[31m\\x0aFAKE (${child.pid})`)
  } finally {
    child.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  }
})
