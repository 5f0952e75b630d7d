import type { Outcome } from './suite.ts'

/** On a terminal, one line that is overwritten; elsewhere a line for each script. */
export class Progress {
  readonly #total: number
  #done = 0

  constructor(total: number) {
    this.#total = total
  }

  done({ script, checks, plainS, mountS, differences }: Outcome): void {
    const differ = differences.length === 0 ? 'the same' : `${differences.length} not the same`
    const text =
      `${++this.#done}/${this.#total} ${script}: ${checks} checks, ${differ}; ` +
      `${plainS.toFixed(1)} s on the plain directory, ${mountS.toFixed(1)} s on the mount`
    process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`)
  }

  clear(): void {
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
  }
}
