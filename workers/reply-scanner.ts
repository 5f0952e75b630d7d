/** The framing of Redis's protocol, RESP 2: https://redis.io/docs/latest/develop/reference/protocol-spec/ */

/** What came in place of a reply is none, or is longer than any that the queues need (I10). */
export class UnreadableReplyError extends Error {
  constructor(problem: string) {
    super(`what answers there does not speak its protocol (${problem})`)
    this.name = 'UnreadableReplyError'
  }
}

/** The schedules of 16,384 databases, in one list, take some 16 MiB and 300,000 values. */
const REPLY_LIMITS = { bytes: 32 << 20, values: 1 << 20 } as const
const MAX_DEPTH = 32
/** A 64-bit number and its sign. */
const MAX_DIGITS = 20

const CR = 0x0d
const LF = 0x0a
const LENGTH = /^(?:-1|[0-9]{1,15})$/
const NUMBER = /^[+-]?[0-9]{1,19}$/

/** Where the next byte belongs. */
type Place = 'type' | 'line' | 'end of line' | 'content' | 'content cr' | 'content lf'

/** Follows a stream of values without retaining any, and rejects one at the first byte that shows what is wrong. */
export class ReplyScanner {
  readonly #maxBytes: number
  readonly #maxValues: number
  #complete = 0
  #place: Place = 'type'
  #type = ''
  /** Of a line, as far as it matters. */
  #line = ''
  #contentLeft = 0
  /** How many values each open array lacks, the outermost first. */
  readonly #lacking: number[] = []
  /** Of the value that has begun. */
  #bytes = 0
  #values = 0

  constructor({ bytes, values }: { readonly bytes: number; readonly values: number } = REPLY_LIMITS) {
    this.#maxBytes = bytes
    this.#maxValues = values
  }

  /** The number of values that have come whole. */
  get complete(): number {
    return this.#complete
  }

  /** Whether the bytes so far end between two values. */
  get between(): boolean {
    return this.#place === 'type' && this.#lacking.length === 0
  }

  /** Takes the next bytes. Throws UnreadableReplyError, after which the scanner is of no more use. */
  scan(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      const next = this.#step(chunk, at)
      this.#bytes += next - at
      at = next
      if (this.#bytes > this.#maxBytes) this.#tooLong()
      if (this.between) this.#bytes = this.#values = 0
    }
  }

  /** Returns where the next step begins. */
  #step(chunk: Buffer, at: number): number {
    switch (this.#place) {
      case 'type':
        this.#type = String.fromCharCode(chunk[at]!)
        if (!'+-:$*'.includes(this.#type)) throw new UnreadableReplyError(`a reply begins with byte ${chunk[at]}`)
        this.#line = ''
        this.#place = 'line'
        return at + 1
      case 'line':
        return this.#readLine(chunk, at)
      case 'end of line':
        this.#expect(chunk, at, LF)
        this.#endLine()
        return at + 1
      case 'content': {
        const end = Math.min(chunk.length, at + this.#contentLeft)
        this.#contentLeft -= end - at
        if (this.#contentLeft === 0) this.#place = 'content cr'
        return end
      }
      case 'content cr':
        this.#expect(chunk, at, CR)
        this.#place = 'content lf'
        return at + 1
      case 'content lf':
        this.#expect(chunk, at, LF)
        this.#endValue()
        return at + 1
    }
  }

  #readLine(chunk: Buffer, at: number): number {
    const cr = chunk.indexOf(CR, at)
    const end = cr < 0 ? chunk.length : cr
    if (this.#type !== '+' && this.#type !== '-') {
      if (this.#line.length + end - at > MAX_DIGITS) throw new UnreadableReplyError('a number of too many digits')
      this.#line += chunk.toString('latin1', at, end)
    }
    if (cr < 0) return end
    this.#place = 'end of line'
    return cr + 1
  }

  #endLine(): void {
    const [type, line] = [this.#type, this.#line]
    if (type === '+' || type === '-') return this.#endValue()
    if (!(type === ':' ? NUMBER : LENGTH).test(line)) throw new UnreadableReplyError(`"${type}" without a number`)
    const length = Number(line)
    if (type === ':' || length < 0) return this.#endValue()
    if (type === '$') {
      if (this.#bytes + length > this.#maxBytes) this.#tooLong()
      this.#contentLeft = length
      this.#place = length === 0 ? 'content cr' : 'content'
      return
    }
    this.#values += length
    if (this.#values > this.#maxValues) throw new UnreadableReplyError(`a reply of more than ${this.#maxValues} values`)
    if (length === 0) return this.#endValue()
    if (this.#lacking.length === MAX_DEPTH) throw new UnreadableReplyError(`arrays more than ${MAX_DEPTH} deep`)
    this.#lacking.push(length)
    this.#place = 'type'
  }

  #endValue(): void {
    this.#place = 'type'
    for (let last = this.#lacking.length - 1; last >= 0; last--) {
      this.#lacking[last]!--
      if (this.#lacking[last]! > 0) return
      this.#lacking.pop()
    }
    this.#complete++
  }

  #expect(chunk: Buffer, at: number, byte: number): void {
    if (chunk[at] !== byte) throw new UnreadableReplyError('a line or a text does not end where it should')
  }

  #tooLong(): never {
    throw new UnreadableReplyError(`a reply of more than ${this.#maxBytes >> 20} MiB`)
  }
}
