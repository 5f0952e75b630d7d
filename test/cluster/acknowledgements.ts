import { existsSync, readFileSync } from 'node:fs'

/** An acknowledged commit. Times are in nanoseconds on the clock that all processes share. */
export interface Acknowledgement {
  readonly node: string
  readonly database: string
  readonly n: number
  readonly began: bigint
  readonly ended: bigint
}

/** The acknowledgements in a writer's ledger so far (writer.ts). */
export function readLedger(node: string, file: string): Acknowledgement[] {
  return linesOf(file)
    .filter((line) => !line.startsWith('-'))
    .map((line) => {
      const [database = '', n = '', began = '', ended = ''] = line.split(' ')
      return { node, database, n: Number(n), began: BigInt(began), ended: BigInt(ended) }
    })
}

/** The numbers of transactions that were rolled back, which nobody may ever see. */
export function readRolledBack(file: string): number[] {
  return linesOf(file)
    .filter((line) => line.startsWith('-'))
    .map((line) => Number(line.split(' ')[1]))
}

/** The last line may be incomplete. */
export function linesOf(file: string): string[] {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(Boolean)
}

/** The nodes in the order of their commits. A node appears again for each time it became the writer again. */
export function reigns(acknowledgements: readonly Acknowledgement[]): string[] {
  const sequence: string[] = []
  for (const { node } of [...acknowledgements].sort((a, b) => (a.began < b.began ? -1 : 1))) {
    if (sequence.at(-1) !== node) sequence.push(node)
  }
  return sequence
}

/** Whether leaving out some items of `whole` yields `part`. */
export function isSubsequence(part: readonly string[], whole: readonly string[]): boolean {
  let at = 0
  for (const one of whole) if (one === part[at]) at++
  return at === part.length
}

export interface Loss {
  readonly database: string
  readonly numbers: number[]
}

/**
 * The acknowledged commits that are not in `present`, by database. A node may lose only the end of its commits before
 * another node took over, because a stream loses nothing in the middle. Every other loss is a finding.
 */
export function losses(
  acknowledgements: readonly Acknowledgement[],
  present: ReadonlyMap<string, ReadonlySet<number>>,
): { losses: Loss[]; findings: string[] } {
  const losses: Loss[] = []
  const findings: string[] = []
  for (const [database, numbers] of present) {
    const ordered = acknowledgements
      .filter((one) => one.database === database)
      .sort((a, b) => (a.began < b.began ? -1 : 1))
    const lost = ordered.filter(({ n }) => !numbers.has(n))
    if (lost.length > 0) losses.push({ database, numbers: lost.map(({ n }) => n) })
    ordered.forEach((one, i) => {
      const follower = ordered[i + 1]
      const inMiddle = !numbers.has(one.n) && follower?.node === one.node && numbers.has(follower.n)
      if (inMiddle)
        findings.push(`${database}: ${one.n} of ${one.node} is lost, but not ${follower.n}, which came after it`)
    })
  }
  return { losses, findings }
}
