/** Merges any number of LTX files through temporary files, with a bounded number open at once. */

import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { IndexSpill } from '../ltx/codec/frame-list.ts'
import { openSpillFile } from '../ltx/codec/spill-file.ts'
import { compact } from '../ltx/merge/compactor.ts'
import type { MergeInput } from '../ltx/merge/merge-input.ts'
import { openUnnamed } from '../util/unnamed-file.ts'

const MAX_INPUTS = 128
const READ_CHUNK_BYTES = 256 * 1024

export interface TemporaryDirectory {
  readonly path: string
  /** Removes the directory and its contents. */
  remove(): Promise<void>
}

export async function makeTemporaryDirectory(parent: string): Promise<TemporaryDirectory> {
  await mkdir(parent, { recursive: true, mode: 0o700 })
  // Not recursive: whatever has the name already is somebody else's.
  const path = join(parent, `ltxd-tmp-${randomBytes(12).toString('hex')}`)
  await mkdir(path, { mode: 0o700 })
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

/** For the page index of a file that is written without a temporary directory of its own. */
export function spillToTemporaryFile(): IndexSpill {
  return openSpillFile(openUnnamed(tmpdir()))
}

/** Collects inputs in TXID order. Whenever a tier is full, merges its inputs into one file of the next tier. */
export class InputFold {
  readonly #directory: string
  readonly #maxInputs: number
  /** Each tier holds files merged from the tiers before it, so its inputs are older than theirs. */
  #tiers: MergeInput[][] = [[]]
  #count = 0

  constructor(directory: string, maxInputs: number = MAX_INPUTS) {
    this.#directory = directory
    this.#maxInputs = Math.max(2, maxInputs)
  }

  /** For the page index of a file merged from the inputs, in the same directory. */
  readonly spill = (): IndexSpill => openSpillFile(openUnnamed(this.#directory))

  /** In TXID order, few enough to be read side by side. */
  get inputs(): readonly MergeInput[] {
    return this.#tiers.toReversed().flat()
  }

  async add(input: MergeInput, signal?: AbortSignal): Promise<void> {
    let next = input
    for (let tier = 0; ; tier++) {
      const inputs = (this.#tiers[tier] ??= [])
      inputs.push(next)
      if (inputs.length < this.#maxInputs) return
      next = await this.#merge(inputs, signal)
      this.#tiers[tier] = []
    }
  }

  /** Forgets what was collected so far. */
  clear(): void {
    this.#tiers = [[]]
  }

  async #merge(inputs: readonly MergeInput[], signal: AbortSignal | undefined): Promise<MergeInput> {
    const path = join(this.#directory, `${this.#count++}.ltx`)
    const handle = await open(path, 'wx', 0o600)
    try {
      const merged = compact(inputs, { noChecksum: true, spill: this.spill, ...(signal && { signal }) })
      for await (const chunk of merged) await handle.appendFile(chunk)
    } finally {
      await handle.close()
    }
    return { name: path, open: () => createReadStream(path, { highWaterMark: READ_CHUNK_BYTES }) }
  }
}
