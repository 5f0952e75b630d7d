import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { openDataDirectory } from './directory.ts'
import { nextGeneration } from './mount-generation.ts'

it('each mount of a data directory has a generation of its own, also after a restart and beside a damaged file', async () => {
  const root = await mkdtemp(join(tmpdir(), 'ltxd-generation-'))
  onTestFinished(() => rm(root, { recursive: true }))
  const seen = new Set<number>()
  for (let i = 0; i < 5; i++) {
    const data = openDataDirectory(join(root, 'data'))
    seen.add(nextGeneration(data))
    seen.add(nextGeneration(data))
    data.close()
  }
  expect(seen.size).toBe(10)
  const data = openDataDirectory(join(root, 'data'))
  await writeFile(join(root, 'data', 'mounts.json'), '{"format":1,"generation":-3}')
  expect(seen.has(nextGeneration(data))).toBe(false)
  data.close()
})
