import { jsonText } from '../../output/output.ts'

/** Writes one JSON document part by part, without buffering it. Each item of an array gets a line of its own. */
export class JsonWriter {
  readonly #write: (text: string) => void
  /** The open arrays and objects, outermost first. */
  readonly #open: { readonly end: string; isEmpty: boolean }[] = []

  constructor(write: (text: string) => void) {
    this.#write = write
  }

  /** Inside an object the array needs a name. */
  beginArray(name?: string): void {
    this.#begin(name, '[', ']')
  }

  beginObject(name?: string): void {
    this.#begin(name, '{', '}')
  }

  field(name: string, value: unknown): void {
    this.#next(name)
    this.#write(jsonText(value))
  }

  item(value: unknown): void {
    this.#next()
    this.#write(jsonText(value))
  }

  /** Ends the array or object that was begun last. */
  end(): void {
    const ended = this.#open.pop()
    if (ended === undefined) throw new Error('nothing is open')
    this.#write(ended.isEmpty ? ended.end : `\n${this.#indent()}${ended.end}`)
    if (this.#open.length === 0) this.#write('\n')
  }

  #begin(name: string | undefined, begin: string, end: string): void {
    this.#next(name)
    this.#write(begin)
    this.#open.push({ end, isEmpty: true })
  }

  #next(name?: string): void {
    const inside = this.#open.at(-1)
    if (inside !== undefined) {
      this.#write(`${inside.isEmpty ? '' : ','}\n${this.#indent()}`)
      inside.isEmpty = false
    }
    if (name !== undefined) this.#write(`${jsonText(name)}: `)
  }

  #indent(): string {
    return '  '.repeat(this.#open.length)
  }
}
