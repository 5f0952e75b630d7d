import type { Bench } from './bench.ts'
import { Episode } from './episode.ts'
import type { Finding } from './finding.ts'
import type { Program, Step } from './program.ts'

/** Makes a program shorter as long as it shows the same kind of finding. */

export interface Shrunk {
  readonly program: Program
  readonly finding: Finding
}

const MAX_TRIES = 150

let folders = 0

export async function shrink(bench: Bench, program: Program, finding: Finding): Promise<Shrunk> {
  let best: Shrunk = { program, finding }
  let tries = 0
  const improves = async (candidate: Program): Promise<boolean> => {
    if (tries++ > MAX_TRIES) return false
    const { finding: found } = await Episode.play(bench, candidate, `s${folders++}`)
    if (found?.kind !== finding.kind) return false
    best = { program: candidate, finding: found }
    return true
  }
  if (!(await improves({ ...program }))) return best
  for (let before = Infinity; before > best.program.steps.length;) {
    before = best.program.steps.length
    await withoutSteps(() => best.program, improves)
  }
  if (best.program.pieceBytes > 0) await improves({ ...best.program, pieceBytes: 0 })
  await withSmallerNumbers(() => best.program, improves)
  return best
}

/** Leaves out parts of the program, large ones first. */
async function withoutSteps(current: () => Program, improves: (program: Program) => Promise<boolean>): Promise<void> {
  for (let size = Math.ceil(current().steps.length / 2); ; size = Math.floor(size / 2)) {
    for (let at = current().steps.length - size; at > -size;) {
      const { steps } = current()
      const shorter = steps.filter((_, i) => i < at || i >= at + size)
      if (shorter.length < steps.length) await improves({ ...current(), steps: shorter })
      at -= size
    }
    if (size <= 1) return
  }
}

/** Halves each number. */
async function withSmallerNumbers(
  current: () => Program,
  improves: (program: Program) => Promise<boolean>,
): Promise<void> {
  for (let i = 0; i < current().steps.length; i++) {
    const { words } = current().steps[i] as Step
    for (let w = 1; w < words.length; w++) {
      const numbers = [...(words[w] ?? '').matchAll(/\b\d+\b/g)].length
      for (let n = 0; n < numbers; n++) {
        while (await improves(halved(current(), i, w, n)));
      }
    }
  }
}

function halved(program: Program, i: number, w: number, n: number): Program {
  const step = program.steps[i] as Step
  let seen = 0
  const smaller = (step.words[w] ?? '').replaceAll(/\b\d+\b/g, (digits) =>
    seen++ === n && Number(digits) > 4 ? String(Math.floor(Number(digits) / 2)) : digits,
  )
  if (smaller === step.words[w]) return { ...program, steps: [] }
  const words = step.words.with(w, smaller)
  return { ...program, steps: program.steps.with(i, { ...step, words }) }
}
