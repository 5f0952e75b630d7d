import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Cleanup } from '../test/harness/cleanup.ts'
import { mountsBelow } from '../test/harness/mounts.ts'
import { Story } from './story.ts'

/** The surroundings of a demo. */
export interface Stage {
  /** A directory of its own. */
  readonly base: string
  readonly story: Story
  readonly cleanup: Cleanup
}

/**
 * Runs a demo, and leaves nothing behind however it ends; `--keep` preserves the directory. Resolves with the exit
 * code: 0 if every proof held, otherwise 1.
 */
export async function perform(play: (stage: Stage) => Promise<void>): Promise<number> {
  const { values: options } = parseArgs({ options: { keep: { type: 'boolean', default: false } } })
  const story = new Story()
  const cleanup = new Cleanup()
  cleanup.onSignals((signal) => story.failed(`${signal}: stopping, and cleaning up`))
  const base = mkdtempSync(join(realpathSync(tmpdir()), 'ltxd-demo-'))
  if (!options.keep) cleanup.defer(`remove ${base}`, () => removeTree(base))
  let failed = false
  try {
    await play({ base, story, cleanup })
  } catch (error) {
    failed = true
    if (!cleanup.interrupted) story.failed(error instanceof Error ? error.message : String(error))
  }
  await cleanup.run()
  if (cleanup.interrupted) return 1
  const left = options.keep ? `all files are in ${base}` : 'nothing is left on disk'
  const verdict = failed ? story.paint('red', 'FAILED') : 'Every proof held'
  story.title(`${verdict}, ${story.seconds.toFixed(1)} s. Nothing is mounted, nothing is running, ${left}.`)
  return failed ? 1 : 0
}

/** Removes a tree without mounts. Descending into a mount would delete through a node. */
function removeTree(directory: string): void {
  const mounts = mountsBelow(directory)
  if (mounts.length > 0) throw new Error(`still mounted: ${mounts.join(', ')}`)
  rmSync(directory, { recursive: true, force: true })
}
