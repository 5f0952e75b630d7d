/**
 * Runs both decoders on the same files, and random access on the files that ltxd accepts, up to a number of files or a
 * time.
 */
import { Script } from 'node:vm'
import { Chance } from './chance.ts'
import { DIFFERENCES, explain } from './differences.ts'
import { allocatedBy, chunked, examine, examineByIndex, memoryBound, type Verdict } from './examine.ts'
import { mutants } from './mutants.ts'
import type { Answer, Reference } from './reference/process.ts'
import { withoutHugeSizes } from './walk.ts'

export interface CampaignOptions {
  readonly seed: number
  readonly files: number
  /** Polled now and then. The campaign ends early if it returns true. */
  readonly enough?: () => boolean
  readonly progress?: (state: CampaignResult) => void
  readonly found?: (finding: Finding) => void
}

/** A file on which the decoders disagree without a listed reason, or that breaks a bound of ltxd. */
export interface Finding {
  readonly problem: string
  readonly file: Uint8Array
}

type Report = (problem: string, file: Uint8Array) => void

export interface CampaignResult {
  files: number
  accepted: number
  rejected: number
  /** The number of files by listed difference. */
  readonly differences: Map<string, number>
  /** The number of files that ltxd rejected, by the field in the error. */
  readonly fields: Map<string, number>
  readonly findings: Finding[]
  /** The highest allocation of a decoder, as a share of its bound. */
  largestPartOfBound: number
  slowestMs: number
}

const BATCH = 500
/** A file takes microseconds. One that takes this long hangs. */
const BATCH_LIMIT_MS = 60_000
const MAX_FINDINGS = 20

export async function campaign(reference: Reference, options: CampaignOptions): Promise<CampaignResult> {
  const files = mutants(new Chance(options.seed))
  /** Of where chunks end. */
  const chance = new Chance(~options.seed)
  const result: CampaignResult = {
    files: 0,
    accepted: 0,
    rejected: 0,
    differences: new Map(DIFFERENCES.map(({ name }) => [name, 0])),
    fields: new Map(),
    findings: [],
    largestPartOfBound: 0,
    slowestMs: 0,
  }
  const report: Report = (problem, file) => {
    result.findings.push({ problem, file })
    options.found?.({ problem, file })
  }
  const enough = () => options.enough?.() === true || result.findings.length >= MAX_FINDINGS
  let asked = 0
  // Send the next batch to the reference before judging this one, so that both decoders work at once.
  const ask = () => {
    const batch = Array.from({ length: Math.min(BATCH, options.files - asked) }, () => files.next().value)
    asked += batch.length
    return { batch, answers: Promise.allSettled(batch.map((file) => reference.verify(withoutHugeSizes(file)))) }
  }
  for (let next = ask(); next.batch.length > 0 && !enough();) {
    const { batch, answers } = next
    const verdicts = examineAll(chance, batch, result, report)
    next = ask()
    for (const [n, answer] of (await answers).entries()) {
      const file = batch[n]!
      if (answer.status === 'rejected') {
        report(String(answer.reason), file)
        return result
      }
      const problem = judge(file, answer.value, verdicts[n]!, result)
      if (problem === undefined) continue
      report(problem, file)
    }
    result.files += batch.length
    options.progress?.(result)
  }
  return result
}

/** Decodes each file with ltxd, within its bounds of memory and time. */
function examineAll(chance: Chance, batch: readonly Uint8Array[], result: CampaignResult, report: Report): Verdict[] {
  const verdicts: Verdict[] = []
  const all = () => {
    for (const file of batch) {
      const chunks = [...chunked(chance, file)]
      const start = performance.now()
      const { result: verdict, bytes } = allocatedBy(() => examine(chunks, verdicts.length % 2 === 1))
      result.slowestMs = Math.max(result.slowestMs, performance.now() - start)
      const part = bytes / memoryBound(pageSize(file))
      result.largestPartOfBound = Math.max(result.largestPartOfBound, part)
      if (part > 1) report(`allocates ${bytes} bytes`, file)
      verdicts.push(verdict)
      const problem = judgeByIndex(verdict, examineByIndex(file))
      if (problem !== undefined) report(problem, file)
    }
  }
  try {
    withinLimit(all)
  } catch (error) {
    report(`hangs: ${String(error)}`, batch[verdicts.length]!)
    while (verdicts.length < batch.length) verdicts.push({ outcome: 'crashed', error })
  }
  return verdicts
}

/** Only a vm.Script can be stopped from outside while it computes. */
function withinLimit(work: () => void): void {
  const shared = globalThis as { ltxdFuzzWork?: () => void }
  shared.ltxdFuzzWork = work
  try {
    new Script('globalThis.ltxdFuzzWork()').runInThisContext({ timeout: BATCH_LIMIT_MS })
  } finally {
    delete shared.ltxdFuzzWork
  }
}

/** The finding in this pair of answers, if any. */
export function judge(file: Uint8Array, answer: Answer, verdict: Verdict, result?: CampaignResult): string | undefined {
  if (verdict.outcome === 'crashed') return `ltxd crashes: ${String(verdict.error)}`
  if (answer.outcome === 'panicked' || answer.outcome === 'late')
    return `superfly/ltx ${answer.outcome}: ${answer.reason}`
  if (verdict.outcome === 'accepted') {
    if (result !== undefined) result.accepted++
    if (answer.outcome !== 'accepted') return `ltxd accepts what superfly/ltx rejects: ${answer.reason}`
    return answer.body.equals(verdict.digest) ? undefined : 'both accept, and read other things'
  }
  const { error } = verdict
  if (result !== undefined) count(result, error.field ?? '')
  if (answer.outcome === 'rejected') return undefined
  const difference = explain(file, error)
  if (difference === undefined) return `ltxd rejects what superfly/ltx accepts: ${error.message}`
  const { differences } = result ?? {}
  differences?.set(difference.name, (differences.get(difference.name) ?? 0) + 1)
  return undefined
}

/** The finding if random access and decoding disagree, if any. */
function judgeByIndex(decoded: Verdict, byIndex: Verdict): string | undefined {
  if (byIndex.outcome === 'crashed') return `random access crashes: ${String(byIndex.error)}`
  if (decoded.outcome !== 'accepted') return undefined
  if (byIndex.outcome === 'rejected') return `random access rejects what is decoded: ${byIndex.error.message}`
  return byIndex.digest.equals(decoded.digest) ? undefined : 'random access reads other things than decoding'
}

function count(result: CampaignResult, field: string): void {
  result.rejected++
  result.fields.set(field, (result.fields.get(field) ?? 0) + 1)
}

function pageSize(file: Uint8Array): number {
  return file.length < 12 ? 512 : Math.min(65536, new DataView(file.buffer, file.byteOffset).getUint32(8))
}
