/** Prints the events with the seconds since the start, in colour on a terminal. */

const COLOURS = { dim: 2, bold: 1, green: 32, red: 31, cyan: 36 } as const

export type Colour = keyof typeof COLOURS

export class Story {
  readonly #startedAt = performance.now()
  readonly #out: NodeJS.WriteStream
  readonly #coloured: boolean

  constructor(out: NodeJS.WriteStream = process.stdout, environment: NodeJS.ProcessEnv = process.env) {
    this.#out = out
    this.#coloured = out.isTTY && environment['NO_COLOR'] === undefined
  }

  /** The seconds since the start. */
  get seconds(): number {
    return (performance.now() - this.#startedAt) / 1000
  }

  title(text: string): void {
    this.#print(`\n${this.paint('bold', text)}`)
  }

  chapter(text: string): void {
    this.#print(`\n${this.#clock()}  ${this.paint('bold', text)}`)
  }

  tell(text: string): void {
    this.#print(`${this.#clock()}  ${text}`)
  }

  /** Details of the last event. */
  detail(text: string): void {
    for (const line of text.split('\n')) this.#print(`${' '.repeat(8)}  ${this.paint('dim', line)}`)
  }

  proved(text: string): void {
    this.#print(`${this.#clock()}  ${this.paint('green', '✓')} ${text}`)
  }

  failed(text: string): void {
    this.#print(`${this.#clock()}  ${this.paint('red', '✗')} ${text}`)
  }

  paint(colour: Colour, text: string): string {
    return this.#coloured ? `\x1b[${COLOURS[colour]}m${text}\x1b[0m` : text
  }

  #clock(): string {
    return this.paint('cyan', `${this.seconds.toFixed(1)} s`.padStart(8))
  }

  #print(line: string): void {
    this.#out.write(`${line}\n`)
  }
}

/** A duration as text. */
export function spoken(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`
}

/** `count` with its noun. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`
}
