import { randomInt } from 'node:crypto'
import { z } from 'zod'
import { GENERATIONS } from '../fuse/protocol/inodes.ts'
import { readState, StateDamagedError, writeState } from '../util/state-file.ts'
import type { DataDirectory } from './directory.ts'

const FORMAT = 1
const schema = z.strictObject({
  generation: z
    .int()
    .min(0)
    .max(GENERATIONS - 1),
})

/**
 * The generation of the next mount of a data directory, which no earlier mount of it had (but for GENERATIONS mounts
 * ago). The first one is random, because another data directory may have been mounted at the same place before.
 */
export function nextGeneration({ dir, files }: Pick<DataDirectory, 'dir' | 'files'>): number {
  const path = `${dir}/mounts.json`
  const last = lastGeneration(files, path)
  const generation = last === undefined ? randomInt(GENERATIONS) : (last + 1) % GENERATIONS
  writeState(files, path, FORMAT, { generation })
  return generation
}

/** undefined for a new directory, and for a file that is damaged: a random number is as good as the next one. */
function lastGeneration(files: DataDirectory['files'], path: string): number | undefined {
  try {
    return readState(files, path, { schema, format: FORMAT })?.generation
  } catch (error) {
    if (error instanceof StateDamagedError) return undefined
    throw error
  }
}
