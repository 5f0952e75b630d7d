import type { Bench } from './bench.ts'
import { Episode } from './episode.ts'
import type { Finding } from './finding.ts'
import { generate } from './generate.ts'
import type { Program } from './program.ts'

export interface CampaignOptions {
  /** Of the first program. */
  readonly seed: number
  readonly episodes: number
  readonly enough?: () => boolean
  readonly progress?: (line: string) => void
  readonly found: (program: Program, finding: Finding) => void | Promise<void>
}

export interface CampaignResult {
  episodes: number
  steps: number
  comparisons: number
  unlike: number
  findings: number
  /** The number of programs that ended early, by the difference. */
  readonly ended: Map<string, number>
  /** The number of steps that the mount rejected, by the reason. */
  readonly rejected: Map<string, number>
  readonly startMs: number
}

const PROGRESS_EVERY_MS = 20_000
/** A killed node recovers the databases of all programs before. */
const EPISODES_OF_NODE = 150

/** Plays one program after the other. */
export async function campaign(bench: Bench, options: CampaignOptions): Promise<CampaignResult> {
  const { seed, episodes } = options
  const startMs = performance.now()
  const result: CampaignResult = {
    episodes: 0,
    steps: 0,
    comparisons: 0,
    unlike: 0,
    findings: 0,
    ended: new Map(),
    rejected: new Map(),
    startMs,
  }
  let next = startMs + PROGRESS_EVERY_MS
  for (let i = 0; i < episodes && options.enough?.() !== true; i++) {
    if (i > 0 && i % EPISODES_OF_NODE === 0) await bench.renew()
    const program = generate(seed + i)
    const { finding, ended, rejected, steps, comparisons, unlike } = await Episode.play(bench, program, `e${i}`)
    result.episodes++
    result.steps += steps
    result.comparisons += comparisons
    result.unlike += unlike
    if (ended !== undefined) count(result.ended, ended.name)
    for (const reason of rejected) count(result.rejected, reason)
    if (finding !== undefined) {
      result.findings++
      await options.found(program, finding)
    }
    if (performance.now() < next) continue
    next += PROGRESS_EVERY_MS
    options.progress?.(summary(result))
  }
  return result
}

export function summary(result: CampaignResult): string {
  const { episodes, steps, comparisons, unlike, findings, ended, rejected, startMs } = result
  const seconds = (performance.now() - startMs) / 1000
  return [
    `${episodes} programs in ${seconds.toFixed(0)} s, ${steps} steps, ${comparisons} comparisons`,
    ` (${unlike} alike in content only), ${findings} findings`,
    ended.size === 0 ? '' : `; ended early: ${list(ended)}`,
    rejected.size === 0 ? '' : `; rejected: ${list(rejected)}`,
  ].join('')
}

function count(of: Map<string, number>, name: string): void {
  of.set(name, (of.get(name) ?? 0) + 1)
}

function list(of: ReadonlyMap<string, number>): string {
  return [...of].map(([name, n]) => `${n} × ${name}`).join(', ')
}
