/**
 * A command of one of a program's processes: one of application.c, or one that the fuzzer carries out itself:
 *
 *   kill               the process ends, as by SIGKILL
 *   kill-node          the node ends, as by SIGKILL, and every process of the program; the node is started again
 *   kill-node-in MS S  the same, MS milliseconds after statement S was sent to slot 0
 *   freeze NAME        ltxd's local client stops, as by SIGSTOP, as soon as it has the file open; or it does not
 *   thaw               the local client continues
 */
export interface Step {
  /** The number of the process. */
  readonly by: number
  readonly words: readonly string[]
}

/** What the applications do, on the mount and in a plain directory alike. */
export interface Program {
  readonly seed: number
  /** The databases, relative to the program's directory. */
  readonly names: readonly string[]
  /** Writes are cut to this size; 0: they are not. */
  readonly pieceBytes: number
  readonly steps: readonly Step[]
}

export function render({ steps, pieceBytes }: Program): string {
  const head = pieceBytes === 0 ? [] : [`writes are cut to ${pieceBytes} bytes`]
  return [...head, ...steps.map(renderStep)].join('\n')
}

export function renderStep({ by, words }: Step): string {
  const [name, ...rest] = words
  const shown = rest.map((word) => (/^[\w./-]+$/.test(word) ? word : JSON.stringify(word)))
  return [`p${by}`, name, ...shown].join(' ')
}
